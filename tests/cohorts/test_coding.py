from pathlib import Path

import pandas as pd
import pytest

from prognobench.cohorts.coding import code_endpoint
from prognobench.errors import UserError

FILE = Path("my.csv")


def coded(values, **named):
    found = code_endpoint(pd.Series(values, dtype="str"), "ICU", FILE, **named)
    return [None if pd.isna(value) else int(value) for value in found]


def test_usual_words_are_understood_in_any_case():
    words = ["1", "0", "TRUE", "False", "Yes", "no", "1.0", None, "N/A"]
    assert coded(words) == [1, 0, 1, 0, 1, 0, 1, None, None]


def test_named_values_decide():
    assert coded(["Dead", "alive"], positive=["dead"], negative=["Alive"]) == [1, 0]
    assert coded(["severe", "critical", "no"], positive=["severe", "critical"]) == [1, 1, 0]
    assert coded(["no", "yes"], positive=["no"], negative=["yes"]) == [1, 0]
    assert coded(["2", "1"], positive=[2], negative=[1]) == [1, 0]


def test_an_unquoted_yes_of_yaml_is_true_and_still_understood():
    assert coded(["yes", "no"], positive=[True]) == [1, 0]
    assert coded(["yes", "no"], positive=[False], negative=[True]) == [0, 1]


def test_a_named_value_wins_over_a_word_for_missing():
    assert coded(["none", "icu"], positive=["icu"], negative=["none"]) == [0, 1]


def test_other_words_are_named_and_not_guessed():
    with pytest.raises(UserError, match=r"'ICU' of my.csv has 'Would have been stated', 'maybe'"):
        coded(["Y", "N", "Would have been stated", "maybe"])
    with pytest.raises(UserError, match="'alive'"):
        coded(["dead", "alive"], positive=["dead"])
    with pytest.raises(UserError, match="'2'"):
        coded(["0", "1", "2"])


def test_a_value_cannot_be_both():
    with pytest.raises(UserError, match="both an event and none"):
        coded(["no"], positive=["no"])
