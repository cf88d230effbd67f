import pytest

from prognobench.errors import UserError
from prognobench.evaluation.columns import COLUMNS, describe_column
from prognobench.evaluation.metrics import SHOWN
from prognobench.evaluation.tables import RESULT_COLUMNS, RUN_COLUMNS, leaderboard_columns


@pytest.mark.parametrize("metric", ["mcc", "auroc"])
def test_every_column_has_its_words_and_no_words_are_left_over(metric):
    columns = {*RESULT_COLUMNS, *leaderboard_columns(metric, SHOWN)}
    assert all(describe_column(name).endswith(".") for name in columns)
    assert set(COLUMNS) <= columns | set(RUN_COLUMNS)


def test_an_unknown_column_is_named_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'estimate'"):
        describe_column("estimat")
