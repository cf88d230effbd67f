"""Do the intervals hold what they promise, on data whose truth is known?"""

import numpy as np
import pytest
from scipy.special import expit
from simulated import cross_validated
from sklearn import metrics as sk

from prognobench.evaluation.metrics import METRICS
from prognobench.evaluation.sample import Sample
from prognobench.evaluation.tables import leaderboard

REPETITIONS = 60
EFFECT = 1.3
# With 60 repetitions of a 95 % interval the coverage has a standard deviation of 0.03.
LOWEST_COVERAGE = 0.86


def truth():
    random = np.random.default_rng(99)
    target = np.arange(400_000) % 10 < 3
    logit = EFFECT * (target - 0.5) + random.normal(size=len(target))
    return sk.matthews_corrcoef(target, logit >= 0), sk.roc_auc_score(target, expit(logit))


def naive_interval(stored):
    """The interval that takes images for independent patients."""
    target, score = np.concatenate(
        [table[["target", "probability"]].to_numpy() for table in stored.values()]
    ).T
    equal = np.full(len(target), 1 / len(target))
    weights = np.random.default_rng(0).multinomial(len(target), equal, size=200).astype(float)
    values = METRICS["mcc"](Sample(target.astype(int), score, score, {"fixed": 0.5}, weights))
    return np.quantile(values, [0.025, 0.975])


@pytest.fixture(scope="module")
def simulated():
    """Intervals of one candidate, and differences to an equal one, over many cohorts."""
    rows = []
    for repetition in range(REPETITIONS):
        random = np.random.default_rng(repetition)
        runs, stored = cross_validated(random, {"a": EFFECT, "b": EFFECT}, patients=150)
        board = leaderboard(runs, stored.__getitem__, replicates=200)
        first = board[board["strategy"] == "a"].iloc[0]
        naive = naive_interval({k: v for k, v in stored.items() if k.startswith("a")})
        rows.append((first, board["best_group"].all(), naive))
    return rows


def covered(intervals, value):
    return np.mean([low <= value <= high for low, high in intervals])


def halved(low, high):
    middle, quarter = (low + high) / 2, (high - low) / 4
    return middle - quarter, middle + quarter


def test_intervals_cover_the_truth_and_narrower_ones_would_not(simulated):
    mcc, auroc = truth()
    of_mcc = [(row["ci_low"], row["ci_high"]) for row, _, _ in simulated]
    of_auroc = [(row["auroc_ci_low"], row["auroc_ci_high"]) for row, _, _ in simulated]
    for intervals, value in ((of_mcc, mcc), (of_auroc, auroc)):
        assert covered(intervals, value) >= LOWEST_COVERAGE
        assert covered([halved(*ends) for ends in intervals], value) < LOWEST_COVERAGE
    # Three images a patient, taken for independent, promise too much.
    assert covered([naive for _, _, naive in simulated], mcc) < LOWEST_COVERAGE


def test_two_equal_candidates_are_rarely_told_apart(simulated):
    assert np.mean([together for _, together, _ in simulated]) >= LOWEST_COVERAGE
