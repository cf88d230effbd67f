"""The trackers of a command: whatever becomes of them, the benchmark goes on."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from prognobench.errors import UserError
from prognobench.sinks.records import Benchmark, Ended

NAMES = ("mlflow", "wandb")


class Sink(Protocol):
    """A tracker."""

    def begin(self, benchmark: Benchmark) -> None:
        """Begin a benchmark, or go on with one that was begun before."""

    def progress(self, finished: int, total: int, failed: int) -> None:
        """Say how far it is."""

    def end(self, ended: Ended) -> None:
        """Keep what it came to."""

    def close(self, whole: bool) -> None:
        """Let go; ``whole`` says whether it came to its end."""


class Sinks:
    """Several trackers as one; one that fails is named once and left out from then on."""

    def __init__(self, sinks: dict[str, Sink], warn: Callable[[str], None]) -> None:
        self._sinks, self._warn = dict(sinks), warn

    @classmethod
    def named(cls, names: Sequence[str], warn: Callable[[str], None]) -> Self:
        """Return the trackers of these names.

        Args:
            names: Of :data:`NAMES`.
            warn: Called with a sentence when one fails.

        Raises:
            UserError: When the client of one is not installed.
        """
        found: dict[str, Sink] = {}
        for name in dict.fromkeys(names):
            try:
                found[name] = importlib.import_module(f"prognobench.sinks.to_{name}").SINK()
            except ImportError as error:
                raise UserError(
                    f"--sink {name}: its client is not installed ({error.name} is missing): "
                    f"pip install 'prognobench[{name}]'"
                ) from error
        return cls(found, warn)

    def begin(self, benchmark: Benchmark) -> None:
        """Begin a benchmark with each."""
        self._each(lambda sink: sink.begin(benchmark))

    def progress(self, finished: int, total: int, failed: int) -> None:
        """Say to each how far the benchmark is."""
        self._each(lambda sink: sink.progress(finished, total, failed))

    def end(self, ended: Ended) -> None:
        """Give each what the benchmark came to."""
        self._each(lambda sink: sink.end(ended))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> None:
        """Close each."""
        self._each(lambda sink: sink.close(kind is None))

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._sinks)

    def _each(self, tell: Callable[[Sink], None]) -> None:
        for name, sink in list(self._sinks.items()):
            try:
                tell(sink)
            except Exception as error:  # a tracker's trouble, of whatever kind, is not ours
                del self._sinks[name]
                self._warn(
                    f"the sink {name} failed and is left out ({type(error).__name__}: "
                    f"{' '.join(str(error).split())[:200]}); the results are in the output folder"
                )
