"""Count what each backbone of the catalog costs, and write the table of the documentation.

Run it from the root of the repository whenever the catalog changes::

    python tools/describe_backbones.py

It writes ``src/prognobench/backbones/catalog/costs.json`` and the table in
``docs/backbones.md``. Networks are built without values, so that nothing is fetched.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from prognobench.backbones.catalog import backbone_names, get_entry
from prognobench.backbones.catalog.costs import cost_of
from prognobench.backbones.counting import count_cost

ROOT = Path(__file__).parent.parent
COSTS = ROOT / "src/prognobench/backbones/catalog/costs.json"
PAGE = ROOT / "docs/backbones.md"
BEGIN, END = "<!-- the table of the catalog -->", "<!-- end of the table -->"


def table() -> str:
    """Return the catalog as a table in Markdown."""
    lines = [
        "| name | backbone | parameters | GFLOPs | input | features | pretraining | licence "
        "| weights |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in backbone_names():
        entry, cost = get_entry(name), cost_of(name)
        if cost is None:
            raise SystemExit(f"{name} has not been counted")
        accept = " (**accept first**)" if entry.weights.terms else ""
        lines.append(
            f"| `{name}` | {entry.title} | {cost.parameters / 1e6:.1f} M "
            f"| {cost.flops / 1e9:.1f} | {entry.input_size} | {entry.feature_dim} "
            f"| {entry.pretraining} | {entry.license}{accept} | {entry.weights.origin} |"
        )
    return "\n".join(lines)


def page(text: str) -> str:
    """Return the page with the table between its marks replaced."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def main() -> None:
    """Write the costs and the table."""
    costs = {name: asdict(count_cost(get_entry(name))) for name in backbone_names()}
    COSTS.write_text(json.dumps(costs, indent=2) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
