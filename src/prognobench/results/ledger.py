"""Who may do a run, and where its result goes: one driver alone, or several that share a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from prognobench.results.records import RunResult


@dataclass(frozen=True)
class Claimed:
    """What a driver got of the runs that it asked for.

    Attributes:
        granted: Those it may do now.
        held_elsewhere: Those that another driver does, or has done; the rest are still free.
    """

    granted: tuple[str, ...]
    held_elsewhere: tuple[str, ...] = ()


class Ledger(Protocol):
    """What an executor needs of a store.

    :class:`~prognobench.results.store.ResultsStore` has it for one driver,
    :class:`~prognobench.results.shared.SharedStore` for several.
    """

    def claim(self, runs: Sequence[str], count: int) -> Claimed:
        """Ask for ``count`` of some runs, the first that are free."""

    def start(self, *runs: str) -> None:
        """Note that runs begin."""

    def finish(self, results: Mapping[str, RunResult], environment: dict[str, Any]) -> set[str]:
        """Keep results by their runs; return those kept, not those that others have taken over."""

    def fail(self, run: str, reason: str, environment: dict[str, Any]) -> bool:
        """Note that a run failed; False when another driver has taken it over meanwhile."""

    def look(self, runs: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return which of some runs others have ended, and which are free again."""
