"""The estimate of each backbone and strategy."""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle

from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.drawing import DARK_TEXT, LINE, MUTED, WIDTH, Figure, Sheet
from prognobench.report.figures.marks import Row, cut, frame, kept_words, missing_words, told

MOST_BACKBONES = 30
MOST_STRATEGIES = 12

SHADES = LinearSegmentedColormap.from_list("shades", ["#f2f6fa", "#9cc9e8", "#4f9bd0"])
"""Light enough throughout for dark text on it."""


def heatmap(cell: Cell) -> Figure | None:
    """Draw a square for each backbone (down) and strategy (across)."""
    if not cell.ranked:
        return None
    every = list(dict.fromkeys(row["backbone"] for row in (*cell.ranked, *cell.rows)))
    backbones = every[:MOST_BACKBONES]
    every_strategy = sorted({row["strategy"] for row in cell.rows})
    strategies = every_strategy[:MOST_STRATEGIES]
    place = {(row["backbone"], row["strategy"]): row for row in cell.rows}
    values = [row["estimate"] for row in cell.ranked]
    norm = Normalize(min(values), max(values) if max(values) > min(values) else min(values) + 1)
    shades = SHADES if cell.metric.higher_is_better else SHADES.reversed()
    width = min(WIDTH, 190 + 108 * len(strategies))
    sheet = Sheet(width, 40 + 42 * len(backbones))
    axes = sheet.axes[0]
    for down, backbone in enumerate(backbones):
        for across, strategy in enumerate(strategies):
            row = place.get((backbone, strategy))
            if row is None:
                continue
            known = row["estimate"] is not None
            square = Rectangle(
                (across - 0.47, down - 0.46),
                0.94,
                0.92,
                facecolor=shades(norm(row["estimate"])) if known else "none",
                edgecolor="none" if known else LINE,
            )
            axes.add_patch(square)
            sheet.tell(square, told(row, cell) if known else _without(row))
            mark = "*" if known and cell.is_incomplete(row) else ""
            _write(axes, row, (across, down), mark, bold=known and cell.is_best(row))
    axes.set_xlim(-0.5, len(strategies) - 0.5)
    axes.set_ylim(len(backbones) - 0.5, -0.5)
    axes.set_xticks(range(len(strategies)), [cut(name, 18) for name in strategies])
    axes.set_yticks(range(len(backbones)), [cut(name, 28) for name in backbones])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    caption = (
        f"{cell.metric.title} of each backbone (rows) and strategy (columns), the "
        f"{words.level(cell.confidence)} interval below it; the darker the better. Bold: cannot be "
        "told apart from the best. n/a: the strategy does not apply to the backbone."
        + kept_words(len(backbones), len(every), "backbones")
        + _first_words(len(strategies), len(every_strategy))
        + missing_words(cell.ranked, cell, "With a star")
    )
    alternative = (
        f"Heatmap of {cell.metric.title} for {len(backbones)} backbones and {len(strategies)} "
        "strategies; the same numbers are in the leaderboard."
    )
    columns = ("backbone", "strategy", "metric", "estimate", "ci_low", "ci_high", "state", "reason")
    data = frame(cell.rows, columns)
    return sheet.finish(
        "heatmap", "Backbone by strategy", data, caption=caption, alternative=alternative
    )


def _write(axes: object, row: Row, place: tuple[float, float], mark: str, *, bold: bool) -> None:
    across, down = place
    write = axes.text  # type: ignore[attr-defined]
    centred = {"ha": "center", "va": "center"}
    if row["estimate"] is None:
        state = str(row["state"]).replace("not_applicable", "n/a").replace("_", " ")
        write(across, down, state, color=MUTED, fontsize=10, **centred)
        return
    weight = "bold" if bold else "normal"
    dark = {"color": DARK_TEXT, **centred}
    number = f"{words.number(row['estimate'])}{mark}"
    write(across, down - 0.16, number, fontsize=12, weight=weight, **dark)
    ends = words.interval(row["ci_low"], row["ci_high"])
    write(across, down + 0.22, ends, fontsize=8.5, **dark)


def _first_words(drawn: int, of: int) -> str:
    """Say that only the first strategies are drawn, where it is so."""
    return "" if drawn == of else f" The first {drawn} of {of} strategies are; the data hold all."


def _without(row: Row) -> str:
    return f"{words.candidate(row)}\n{row['state']}: {row['reason'] or ''}"
