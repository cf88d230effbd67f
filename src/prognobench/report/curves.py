"""Curves as Plotly data: the estimate over the shots, or the level, with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from prognobench.report import words
from prognobench.report.content import Cell
from prognobench.report.marks import COLOURS, DASHES, SYMBOLS, Figure, hover, label

PANELS_A_ROW = 3

ABSCISSA = {
    "few_shot": "training patients a class",
    "few_shot_one_site": "training patients a class, all of one site",
    "train_size": "share of the training patients",
    "imbalance_patients": "share of events, at a fixed number of training patients",
    "imbalance_events": "share of events, at a fixed number of training events",
}
"""What each regime that varies the training part varies."""


def curves(cells: Sequence[Cell]) -> Figure | None:
    """Draw estimates over what the regime varies, a panel a backbone, a line a strategy.

    Args:
        cells: The cells of one task and one regime that varies the training part.
    """
    points = [(cell, row) for cell in cells for row in cell.ranked]
    if not points:
        return None
    backbones = sorted({row["backbone"] for _, row in points})
    strategies = sorted({row["strategy"] for _, row in points})
    metric = cells[0].metric
    columns = min(PANELS_A_ROW, len(backbones))
    lines = math.ceil(len(backbones) / columns)
    traces: list[dict[str, Any]] = []
    for panel, backbone in enumerate(backbones, start=1):
        for number, strategy in enumerate(strategies):
            own = [
                p for p in points if (p[1]["backbone"], p[1]["strategy"]) == (backbone, strategy)
            ]
            traces += _curve(
                own,
                panel,
                number,
                not any(trace.get("legendgroup") == label(strategy) for trace in traces),
            )
    height = 90 + 260 * lines
    axis = ABSCISSA[cells[0].regime]
    places = sorted({cell.varied for cell in cells if cell.varied is not None})
    ticks = [_tick(cells[0], place) for place in places]
    layout: dict[str, Any] = {
        "height": height,
        "margin": {"l": 55, "r": 10, "t": 75, "b": 50},
        "grid": {
            "rows": lines,
            "columns": columns,
            "pattern": "independent",
            "xgap": 0.08,
            "ygap": 0.28,
        },
        "legend": {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        "annotations": [],
    }
    for panel, backbone in enumerate(backbones, start=1):
        end = "" if panel == 1 else str(panel)
        layout[f"xaxis{end}"] = {
            "type": "log",
            "tickvals": places,
            "ticktext": ticks,
            "title": {"text": axis if panel > len(backbones) - columns else ""},
        }
        layout[f"yaxis{end}"] = {
            "title": {"text": label(metric.title) if panel % columns == 1 or columns == 1 else ""}
        }
        if panel > 1:
            layout[f"yaxis{end}"]["matches"] = "y"
        layout["annotations"].append(
            {
                "text": label(backbone),
                "xref": f"x{end} domain",
                "yref": f"y{end} domain",
                "x": 0,
                "y": 1.02,
                "xanchor": "left",
                "yanchor": "bottom",
                "showarrow": False,
            }
        )
    caption = (
        f"{metric.title} over {axis}, a panel a backbone; bands "
        f"are {words.level(cells[0].confidence)} intervals. A click on "
        "a strategy in the legend hides it, a double click shows it alone."
    )
    alternative = (
        f"Curves of {metric.title} for {len(backbones)} backbones and {len(strategies)} "
        f"strategies over {axis}, at {words.listing(ticks)}; the same numbers are in the tables."
    )
    return Figure({"data": traces, "layout": layout}, caption, alternative, height)


def _tick(cell: Cell, place: float) -> str:
    return str(place) if cell.shots is not None else f"{100 * place:g} %"


def _curve(
    points: Sequence[tuple[Cell, Mapping[str, Any]]], panel: int, number: int, legend: bool
) -> list[dict[str, Any]]:
    """Return a band and a line for one candidate."""
    if not points:
        return []
    colour = COLOURS[number % len(COLOURS)]
    name = label(points[0][1]["strategy"])
    where = {"xaxis": f"x{panel}", "yaxis": f"y{panel}", "legendgroup": name, "name": name}
    banded = [(c.varied, r["ci_low"], r["ci_high"]) for c, r in points if r["ci_low"] is not None]
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": [place for place, _, _ in banded] + [place for place, _, _ in reversed(banded)],
        "y": [low for _, low, _ in banded] + [high for _, _, high in reversed(banded)],
        "fill": "toself",
        "fillcolor": f"rgba({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))}, 0.1)",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        **where,
    }
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [cell.varied for cell, _ in points],
        "y": [row["estimate"] for _, row in points],
        "line": {"color": colour, "width": 2, "dash": DASHES[number % len(DASHES)]},
        "marker": {"color": colour, "size": 7, "symbol": SYMBOLS[number % len(SYMBOLS)]},
        "hovertext": [hover(row, cell) for cell, row in points],
        "hoverinfo": "text",
        "showlegend": legend,
        **where,
    }
    return [band, line]
