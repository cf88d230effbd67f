"""Figures as SVG: drawn by matplotlib, coloured by the page's style sheet where it has one.

The same drawing is set into the page, where ink and lines take the colours of light, dark or
print, and written to a file of its own with fixed colours, for a paper.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

INK, MUTED, LINE, PAPER = "#1b1f24", "#57606a", "#d5dae1", "#ffffff"
"""Colours that the page replaces by its own."""

DARK_TEXT = "#10151a"
"""Text on a light square, in dark pages too."""

COLOURS = ("#1f83c9", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c")
"""Colours of the data: they suit light and dark, and are told apart by the colour-blind (Okabe and
Ito 2008, Color Universal Design), helped by shapes and dashes."""

SYMBOLS = ("o", "s", "D", "^", "P", "X", "*", "h", "v", "<", ">", "p")
DASHES = ("-", "--", ":", "-.")
GREY = "#8c8c8c"

WIDTH = 760
"""Pixels of a figure across the page."""

HALF = 420
"""Pixels of a figure that has another beside it."""

PANELS = {1: HALF, 2: 640}
"""Pixels of a figure by the panels beside each other; :data:`WIDTH` or more with more."""

_PAGE_COLOURS = {
    INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)", PAPER: "var(--paper)"
}  # fmt: skip

_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "prognobench",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "lines.linewidth": 1.8,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Figure:
    """A figure with its words.

    Attributes:
        name: What it is, for file names, such as ``forest``.
        title: Its heading.
        svg: The drawing as it is set into the page.
        file: The drawing as a file of its own.
        data: The numbers that are drawn.
        caption: What it shows and how to read it.
        alternative: The short text for those who do not see it.
        width: Its width in pixels.
    """

    name: str
    title: str
    svg: str
    file: str
    data: pd.DataFrame
    caption: str
    alternative: str
    width: int


class Sheet:
    """A drawing under way.

    Attributes:
        axes: Its panels, row by row.
        canvas: The matplotlib figure.
    """

    def __init__(self, width: float, height: float, rows: int = 1, columns: int = 1, **how: Any):
        """Begin a drawing of ``rows`` by ``columns`` panels, its size in pixels."""
        self.canvas = Canvas((width / 72, height / 72), layout="constrained")
        FigureCanvasSVG(self.canvas)
        panels = self.canvas.subplots(rows, columns, squeeze=False, **how)
        self.axes: list[Axes] = list(panels.flat)
        self._width = width
        self._told: dict[str, str] = {}

    def tell(self, artist: Any, text: str) -> None:
        """Show ``text`` when the pointer rests on an artist."""
        name = f"told{len(self._told)}"
        artist.set_gid(name)
        self._told[name] = text

    def finish(
        self, name: str, title: str, data: pd.DataFrame, *, caption: str, alternative: str
    ) -> Figure:
        """Return the drawing as a figure."""
        stream = io.StringIO()
        # With an engine, even one that does nothing, saving draws everything once or twice more for
        # the layout to settle.
        if (engine := self.canvas.get_layout_engine()) is not None:
            engine.execute(self.canvas)
        self.canvas.set_layout_engine(None)
        self.canvas.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        drawn = stream.getvalue()
        body = _page_svg(drawn, self._told, alternative)
        return Figure(
            name,
            title,
            body,
            _file_svg(drawn, alternative),
            data,
            caption,
            alternative,
            int(self._width),
        )


@contextmanager
def own_style() -> Iterator[None]:
    """Draw in the report's style within the block."""
    with mpl.rc_context(_STYLE):
        yield


def colour(number: int) -> str:
    """Return the colour of the data series with a number."""
    return COLOURS[number % len(COLOURS)]


def numbered(svg: str, number: int) -> str:
    """Return a page's drawing with names that no other drawing of the page has."""
    return re.sub(r'(\sid="|href="#|url\(#)([\w.-]+)', rf"\g<1>f{number}-\g<2>", svg)


def _page_svg(drawn: str, told: Mapping[str, str], alternative: str) -> str:
    svg = drawn[drawn.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r' width="([\d.]+)pt" height="([\d.]+)pt"', r' width="\1" height="\2"', svg, count=1
    )
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    for fixed, themed in _PAGE_COLOURS.items():
        svg = svg.replace(fixed, themed)
    referred = set(re.findall(r'(?:href="#|url\(#)([\w.-]+)', svg))

    def kept(match: re.Match[str]) -> str:
        name = match[1]
        if name in told:
            return f' class="told"><title>{html.escape(told[name])}</title>'
        return f' id="{name}">' if name in referred else ">"

    svg = re.sub(r'(?<=<g) id="([^"]*)">', kept, svg)
    svg = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", svg)
    svg = re.sub(r"\s*\n\s*", "\n", svg).replace("<g>\n</g>\n", "")
    label = f' role="img" aria-label="{html.escape(alternative)}"'
    return svg.replace("<svg", f"<svg{label}", 1).strip()


def _file_svg(drawn: str, alternative: str) -> str:
    described = f"<title>{html.escape(alternative)}</title>"
    head, mark, rest = drawn.partition('version="1.1">')
    return f'{head}{mark.removesuffix(">")} style="background: #ffffff">\n {described}{rest}'


def log_ticks(axis: Any, values: Sequence[float]) -> None:
    """Give a logarithmic axis ticks at powers of ten, at 1, 2 and 5 where it is short."""
    import math

    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    steps = (1, 2, 5) if math.log10(max(values) / min(values)) < 2 else (1,)
    axis.set_major_locator(
        FixedLocator([step * 10.0**power for power in range(low, high + 1) for step in steps])
    )
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def short(value: float) -> str:
    """Return a number as it stands at an axis: 20k, 1.5M."""
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"
