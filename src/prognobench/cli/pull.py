"""``prognobench pull``: fetch weights ahead of an offline run."""

from __future__ import annotations

from typing import Annotated

import typer


def pull(
    backbones: Annotated[list[str], typer.Argument(help="Backbones to fetch the weights of.")],
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the terms of gated weights, once.")
    ] = False,
) -> None:
    """Fetch the weights of backbones, verify them and record their SHA-256.

    Example: prognobench pull resnet18 dinov2_vits14
    """
    from rich.console import Console

    from prognobench.backbones.catalog import get_entry
    from prognobench.backbones.fetch import accept_terms, fetch, resolved

    console = Console()
    entries = [get_entry(name) for name in dict.fromkeys(backbones)]
    for entry in entries:
        if accept_license:
            accept_terms(entry)
        path = fetch(entry)
        digest = resolved(entry).weights.sha256
        console.print(f"{entry.name}: {path} (SHA-256 {digest})", highlight=False, soft_wrap=True)
