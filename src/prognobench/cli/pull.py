"""``prognobench pull``: fetch weights ahead of an offline run."""

from __future__ import annotations

from typing import Annotated

import typer

from prognobench.cli.completion import complete_backbone


def pull(
    backbones: Annotated[
        list[str],
        typer.Argument(
            metavar="BACKBONE ...",
            help="Backbones to fetch the weights of.",
            autocompletion=complete_backbone,
        ),
    ],
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the terms of gated weights, once.")
    ] = False,
) -> None:
    """Fetch the weights of backbones, verify them and record their SHA-256."""
    from prognobench.backbones.catalog import get_entry
    from prognobench.backbones.catalog.any_timm import fetch_description
    from prognobench.backbones.fetch import accept_terms, fetch, fetched_commit, resolved
    from prognobench.cli.console import results_console

    console = results_console()
    for name in dict.fromkeys(backbones):
        fetch_description(name)
    entries = [get_entry(name) for name in dict.fromkeys(backbones)]
    for entry in entries:
        if accept_license:
            accept_terms(entry)
        path = fetch(entry)
        digest = resolved(entry).weights.sha256
        commit = fetched_commit(entry)
        words = f"SHA-256 {digest}" + (f", commit {commit}" if commit else "")
        console.print(f"{entry.name}: {path} ({words})", highlight=False, soft_wrap=True)
