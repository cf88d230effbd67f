"""The figures of one cell, as Plotly data: every point with its interval.

Figures are plain dictionaries, drawn in the browser, where the colours of text and grid are set
for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.marks import (
    COLOURS,
    MIDDLE_GREY,
    SYMBOLS,
    Figure,
    chance_line,
    error_bars,
    hover,
    label,
    short_name,
)

ROW_HEIGHT = 26

HEAT = ((0.0, "#F2F6FA"), (1.0, "#4F9BD0"))
"""Colours of the heatmap, light enough throughout for dark text on them."""


def forest(cell: Cell) -> Figure | None:
    """Draw each candidate's estimate with its interval, and the chance line."""
    rows = cell.ranked
    if not rows:
        return None
    metric, chance = cell.metric, rows[0]["chance"]
    kinds = (
        (True, "cannot be told apart from the best", "circle", COLOURS[0]),
        (False, "worse than the best", "circle-open", COLOURS[1]),
    )
    traces = []
    for best, name, symbol, colour in kinds:
        own = [row for row in rows if bool(row["best_group"]) is best]
        if own:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": name,
                    "y": [short_name(row) for row in own],
                    "x": [row["estimate"] for row in own],
                    "error_x": error_bars(own, colour),
                    "marker": {"symbol": symbol, "color": colour, "size": 9},
                    "hovertext": [hover(row, cell) for row in own],
                    "hoverinfo": "text",
                }
            )
    height = 110 + ROW_HEIGHT * len(rows)
    layout = {
        "height": height,
        "margin": {"l": 10, "r": 20, "t": 40, "b": 45},
        "xaxis": {"title": {"text": label(metric.title)}, "zeroline": False},
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [short_name(row) for row in rows],
            "autorange": "reversed",
            "automargin": True,
        },
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        **chance_line(chance, "x"),
    }
    held = words.level(cell.confidence)
    caption = (
        f"{metric.title} of each candidate with its {held} interval, the best first; the dashed "
        "line is chance. Whether two candidates differ is told by the paired difference in the "
        "table, not by whether their intervals overlap."
    )
    first = rows[0]
    alternative = (
        f"Forest plot of {len(rows)} candidates. Best estimate: {words.candidate(first)}, "
        f"{metric.title} {words.value_with_interval(first, metric, metric)}."
    )
    return Figure({"data": traces, "layout": layout}, caption, alternative, height)


def heatmap(cell: Cell) -> Figure | None:
    """Draw the estimate of each backbone and strategy, its interval below it."""
    if not cell.ranked:
        return None
    backbones = list(dict.fromkeys(row["backbone"] for row in cell.rows))
    strategies = sorted({row["strategy"] for row in cell.rows})
    place = {(row["backbone"], row["strategy"]): row for row in cell.rows}
    values, texts, hovers, notes = [], [], [], []
    for backbone in backbones:
        own = [place.get((backbone, strategy)) for strategy in strategies]
        values.append([row["estimate"] if row else None for row in own])
        texts.append([_square(row) for row in own])
        hovers.append([hover(row, cell) if row else "" for row in own])
        notes += [
            {
                "x": label(strategy),
                "y": label(backbone),
                "text": label(str(row["state"]).replace("not_applicable", "n/a").replace("_", " ")),
                "showarrow": False,
                "font": {"size": 11},
            }
            for strategy, row in zip(strategies, own, strict=True)
            if row and row["estimate"] is None
        ]
    trace = {
        "type": "heatmap",
        "x": [label(name) for name in strategies],
        "y": [label(name) for name in backbones],
        "z": values,
        "text": texts,
        "texttemplate": "%{text}",
        "textfont": {"size": 11, "color": "#10151A"},
        "hovertext": hovers,
        "hoverinfo": "text",
        "hoverongaps": False,
        "colorscale": HEAT,
        "reversescale": not cell.metric.higher_is_better,
        "xgap": 3,
        "ygap": 3,
        "colorbar": {"title": {"text": label(cell.metric.title)}, "thickness": 12},
    }
    height = 90 + 52 * len(backbones)
    layout = {
        "height": height,
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "xaxis": {"type": "category", "side": "top", "showgrid": False},
        "yaxis": {
            "type": "category",
            "autorange": "reversed",
            "automargin": True,
            "showgrid": False,
        },
        "annotations": notes,
    }
    caption = (
        f"{cell.metric.title} of each backbone (rows) and strategy (columns), the "
        f"{words.level(cell.confidence)} interval below it. Bold: cannot be told apart from the "
        "best. n/a: the strategy does not apply to the backbone."
    )
    alternative = (
        f"Heatmap of {cell.metric.title} for {len(backbones)} backbones and {len(strategies)} "
        "strategies; the same numbers are in the table."
    )
    return Figure({"data": [trace], "layout": layout}, caption, alternative, height)


def cost(cell: Cell) -> Figure | None:
    """Draw estimates over trained parameters and over training time."""
    rows = [row for row in cell.ranked if row["trainable_parameters"] and row["train_seconds"]]
    if not rows:
        return None
    strategies = sorted({row["strategy"] for row in rows})
    backbones = sorted({row["backbone"] for row in rows})
    shapes = {name: SYMBOLS[i % len(SYMBOLS)] for i, name in enumerate(backbones)}
    traces: list[dict[str, Any]] = []
    for panel, column in enumerate(("trainable_parameters", "train_seconds"), start=1):
        for number, strategy in enumerate(strategies):
            own = [row for row in rows if row["strategy"] == strategy]
            colour = COLOURS[number % len(COLOURS)]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "legendgroup": label(strategy),
                    "showlegend": False,
                    "x": [row[column] for row in own],
                    "y": [row["estimate"] for row in own],
                    "error_y": error_bars(own, colour),
                    "marker": {
                        "color": colour,
                        "size": 10,
                        "symbol": [shapes[row["backbone"]] for row in own],
                    },
                    "hovertext": [hover(row, cell) for row in own],
                    "hoverinfo": "text",
                    "xaxis": f"x{panel}",
                    "yaxis": f"y{panel}",
                }
            )
    # The legend has its own marks: a strategy's first point would lend it a backbone's shape.
    for number, strategy in enumerate(strategies):
        colour = COLOURS[number % len(COLOURS)]
        key = _legend_mark(strategy, colour, "circle")
        traces.append({**key, "legendgroup": label(strategy)})
    traces += [_legend_mark(name, MIDDLE_GREY, shape) for name, shape in shapes.items()]
    title = {"title": {"text": label(cell.metric.title)}}
    layout = {
        "height": 420,
        "margin": {"l": 55, "r": 10, "t": 10, "b": 50},
        "grid": {"rows": 1, "columns": 2, "pattern": "independent", "xgap": 0.12},
        "xaxis": {
            "title": {"text": "trained parameters"},
            **_log_axis([row["trainable_parameters"] for row in rows]),
        },
        "xaxis2": {
            "title": {"text": "training time a run, seconds"},
            **_log_axis([row["train_seconds"] for row in rows]),
        },
        "yaxis": title,
        "yaxis2": {"matches": "y"},
        "legend": {"font": {"size": 12}},
    }
    caption = (
        f"What {cell.metric.title} costs: trained parameters (left) and mean training time of a "
        "run (right), both on logarithmic scales. Colours are strategies, shapes are backbones."
    )
    alternative = (
        f"Scatter plots of {cell.metric.title} against trained parameters and training time for "
        f"{len(rows)} candidates; the same numbers are in the table."
    )
    return Figure({"data": traces, "layout": layout}, caption, alternative, 420)


def _legend_mark(name: str, colour: str, symbol: str) -> dict[str, Any]:
    """Return a trace without points that stands in the legend."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label(name),
        "x": [None],
        "y": [None],
        "marker": {"color": colour, "size": 10, "symbol": symbol},
        "hoverinfo": "skip",
    }


def _square(row: Mapping[str, Any] | None) -> str:
    """Return the text of a square of the heatmap: the estimate over its interval."""
    if row is None or row["estimate"] is None:
        return ""
    estimate = words.number(row["estimate"])
    if row["best_group"]:
        estimate = f"<b>{estimate}</b>"
    return f"{estimate}<br>{words.interval(row['ci_low'], row['ci_high'])}"


def _log_axis(values: Sequence[float]) -> dict[str, Any]:
    """Return a logarithmic axis with ticks at 1, 2 and 5, or at powers of ten on a long one."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if math.log10(max(values) / min(values)) < 2 else (1,)
    ticks = [step * 10.0**power for power in range(low, high + 1) for step in steps]
    names = [
        f"{tick / 1e6:g}M" if tick >= 1e6 else f"{tick / 1e3:g}k" if tick >= 1e3 else f"{tick:g}"
        for tick in ticks
    ]
    return {"type": "log", "tickvals": ticks, "ticktext": names}
