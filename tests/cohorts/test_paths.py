import pytest

from prognobench.cohorts.paths import relative_path
from prognobench.errors import UserError


@pytest.mark.parametrize("text", ["a/b.png", "./a/b.png", "a\\b.png", " a//b.png "])
def test_one_form(text):
    assert relative_path(text, "t.csv") == "a/b.png"


@pytest.mark.parametrize(
    "text",
    ["/etc/passwd", "\\\\server\\x.png", "C:/x.png", "c:\\x.png", "../x.png", "a/../../x.png"],
)
def test_no_way_out(text):
    with pytest.raises(UserError, match=r"absolute|leads out"):
        relative_path(text, "t.csv")


@pytest.mark.parametrize("text", ["", ".", "a\x00b.png", "a\nb.png"])
def test_no_path_at_all(text):
    with pytest.raises(UserError, match="no path"):
        relative_path(text, "t.csv")
