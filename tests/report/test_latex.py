"""Tables as LaTeX: escaped, as wide as the page, and taken by LaTeX itself."""

from __future__ import annotations

import re
import shutil
import subprocess

import pandas as pd
import pytest

from prognobench.report.latex import latex
from prognobench.report.page import build
from prognobench.report.tables import plain

PDFLATEX = shutil.which("pdflatex")

DOCUMENT = r"""\documentclass[a4paper]{article}
\usepackage{array,booktabs,longtable,pdflscape,textcomp}
\begin{document}
%s
\end{document}
"""


def test_names_are_escaped():
    data = pd.DataFrame({"a_b": ["x|y", "5 % & $3_2$ −1 <b>"], "n": [1, 2]})
    written = latex(plain("name", "A & B", data))
    assert r"5 \% \& \$3\_2\$ $-$1 \textless{}b\textgreater{} & 2 \\" in written
    assert r"\begin{longtable}{lr}" in written
    assert r"\caption{A \& B}" in written


def test_sentences_get_what_the_other_columns_leave():
    told = plain("name", "Long", pd.DataFrame({"a": ["x"], "b": ["word " * 20], "n": [1]}))
    share = re.search(r"\{l>\{\\raggedright\\arraybackslash\}p\{(0\.\d\d)", latex(told))
    assert share is not None
    assert 0.8 < float(share[1]) < 0.9


def test_what_is_the_same_in_all_rows_goes_to_the_title():
    table = plain("name", "A", pd.DataFrame({"Task": ["mhh, icu"] * 2, "b": ["x", "y"]}))
    written = latex(table)
    assert r"\caption{A (Task: mhh, icu)}" in written
    assert r"\begin{longtable}{l}" in written
    alone = plain("name", "A", pd.DataFrame({"Task": ["mhh, icu"], "b": ["x"]}))
    assert "mhh, icu & x" in latex(alone)


def test_a_wide_table_gets_small_letters_and_then_a_page_that_is_turned():
    def columns(count):
        return plain("n", "T", pd.DataFrame({f"c{at:02}": ["x" * 10, "y"] for at in range(count)}))

    assert r"\normalsize" in latex(columns(3))
    small = latex(columns(7))
    assert r"\footnotesize" in small or r"\scriptsize" in small
    assert "landscape}" not in small.partition("\n")[2]
    assert latex(columns(12)).count("landscape}") == 2


@pytest.mark.skipif(PDFLATEX is None, reason="LaTeX is not installed")
def test_latex_takes_every_table_of_a_report(content, tmp_path):
    """No error and nothing beyond the margin, with hostile names as well."""
    evil = {f"{at}{chr(at)}": [chr(at) * 2, f"a{chr(at)} b"] for at in range(0x21, 0x7F)}
    tables = list(build(content).tables)
    tables += [plain("evil", "\\evil{}", pd.DataFrame({"a": evil.keys(), "b": evil.values()}))]
    (tmp_path / "all.tex").write_text(DOCUMENT % "\n".join(map(latex, tables)), encoding="utf-8")
    command = [
        PDFLATEX,
        "-interaction=nonstopmode",
        "-halt-on-error",
        "-no-shell-escape",
        "all.tex",
    ]
    for _ in range(2):  # longtable learns its widths in the first
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        said = done.stdout.decode(errors="replace")
        assert done.returncode == 0, said[-2000:]
    beyond = [float(own) for own in re.findall(r"Overfull \\hbox \(([\d.]+)pt", said)]
    assert max(beyond, default=0.0) < 10.0, said
    assert "Missing character" not in said
