"""What is still to be done, and how long it will take as far as is known."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Batch:
    """Runs that may be trained in one go.

    Attributes:
        runs: Their ids, in order.
        home: What a worker has to load for them: backbone and images.
        kind: What runs of about equal cost have in common; of one home.
        cost: What one run is thought to cost before any was timed, on any scale that is the same
            for all batches.
    """

    runs: tuple[str, ...]
    home: str
    kind: str
    cost: float = 1.0


@dataclass(eq=False)
class Pile:
    """What is left of a batch; ``limit`` is how many may be given at once."""

    runs: deque[str]
    kind: Kind
    limit: int | None = None


@dataclass(eq=False)
class Kind:
    """What is known of the runs of a kind; ``seconds`` are those of a worker of speed 1."""

    home: Home
    cost: float
    queued: int = 0
    unfinished: int = 0
    timed: int = 0
    seconds: float = 0.0


@dataclass(eq=False)
class Home:
    """The queue of a home; the work in it is kept summed, timed kinds apart from others."""

    place: int
    queue: list[tuple[float, int, Pile]] = field(default_factory=list)
    workers: int = 0
    known: float = 0.0
    guessed: float = 0.0


class Workload:
    """Runs in piles by what has to be loaded for them; sums of their time are kept up to date.

    Attributes:
        homes: The piles by home, in the order of the batches.
    """

    def __init__(self, batches: Sequence[Batch], *, longest_first: bool) -> None:
        """Queue batches.

        Args:
            batches: The work; each run stands in one of them.
            longest_first: Whether runs that take long come first, else the order is the batches'.
        """
        self.homes: dict[str, Home] = {}
        self._kinds: dict[str, Kind] = {}
        self._kind_of: dict[str, Kind] = {}
        self._order = itertools.count()
        self._longest_first = longest_first
        self._timed_cost = self._timed_seconds = 0.0
        self._known = self._guessed = 0.0
        for batch in batches:
            home = self.homes.setdefault(batch.home, Home(len(self.homes)))
            kind = self._kinds.setdefault(batch.kind, Kind(home, max(batch.cost, 1e-12)))
            if kind.home is not home:
                raise ValueError(f"the kind '{batch.kind}' has two homes")
            if not self._kind_of.keys().isdisjoint(batch.runs):
                raise ValueError("a run stands in two batches")
            self._kind_of.update(dict.fromkeys(batch.runs, kind))
            self._push(Pile(deque(batch.runs), kind))
            self._unfinished(kind, len(batch.runs))

    def __len__(self) -> int:
        """Return how many runs are unfinished, queued or not."""
        return len(self._kind_of)

    @property
    def any_timed(self) -> bool:
        """Whether any run has been timed."""
        return self._timed_cost > 0

    @property
    def seconds(self) -> float:
        """What all unfinished runs take one worker of speed 1."""
        return self._known + self._rate * self._guessed

    @property
    def seconds_queued(self) -> float:
        """What all queued runs take one worker of speed 1."""
        return sum(self.seconds_in(home) for home in self.homes.values())

    @property
    def any_guessed(self) -> bool:
        """Whether any queued run is of a kind that was never timed."""
        return any(kind.queued and not kind.timed for kind in self._kinds.values())

    def seconds_in(self, home: Home) -> float:
        """Return what the queued runs of a home take one worker of speed 1."""
        return home.known + self._rate * home.guessed

    def seconds_of(self, kind: Kind) -> float:
        """Return what a run of a kind takes a worker of speed 1."""
        return kind.seconds / kind.timed if kind.timed else self._rate * kind.cost

    def kind_of(self, run: str) -> Kind:
        """Return the kind of an unfinished run."""
        return self._kind_of[run]

    def first(self, home: Home) -> Pile | None:
        """Return the pile that is next at a home, without those that are used up."""
        while home.queue and not home.queue[0][2].runs:
            heapq.heappop(home.queue)
        return home.queue[0][2] if home.queue else None

    def remove(self, pile: Pile, among: int, gone: Iterable[str]) -> None:
        """Take runs from the head of a pile.

        Args:
            pile: The pile.
            among: How many runs the head has.
            gone: Which of them are taken.
        """
        wanted = set(gone)
        head = [pile.runs.popleft() for _ in range(among)]
        kept = [run for run in head if run not in wanted]
        pile.runs.extendleft(reversed(kept))
        self._queue(pile.kind, len(kept) - among)

    def put_back(self, runs: Iterable[str], limit: int | None = None) -> None:
        """Queue unfinished runs again, before all others.

        Args:
            runs: The runs.
            limit: How many of them may be given at once.
        """
        again: dict[Kind, deque[str]] = {}
        for run in runs:
            again.setdefault(self._kind_of[run], deque()).append(run)
        for kind, own in again.items():
            self._push(Pile(own, kind, limit), first=True)

    def drop(self, run: str) -> None:
        """Forget a run that is finished and not queued."""
        self._unfinished(self._kind_of.pop(run), -1)

    def time(self, kind: Kind, seconds: float) -> None:
        """Learn from a run of a kind what such runs take a worker of speed 1."""
        queued, unfinished = kind.queued, kind.unfinished
        self._queue(kind, -queued)
        self._unfinished(kind, -unfinished)
        kind.seconds += seconds
        kind.timed += 1
        self._timed_seconds += seconds
        self._timed_cost += kind.cost
        self._queue(kind, queued)
        self._unfinished(kind, unfinished)

    @property
    def _rate(self) -> float:
        """Seconds for a unit of cost, from the kinds that were timed."""
        return self._timed_seconds / self._timed_cost if self._timed_cost else 1.0

    def _push(self, pile: Pile, *, first: bool = False) -> None:
        place = next(self._order)
        order = -self.seconds_of(pile.kind) if self._longest_first else place
        heapq.heappush(pile.kind.home.queue, (-math.inf if first else order, place, pile))
        self._queue(pile.kind, len(pile.runs))

    def _queue(self, kind: Kind, change: int) -> None:
        kind.queued += change
        if kind.timed:
            kind.home.known += change * self.seconds_of(kind)
        else:
            kind.home.guessed += change * kind.cost

    def _unfinished(self, kind: Kind, change: int) -> None:
        kind.unfinished += change
        if kind.timed:
            self._known += change * self.seconds_of(kind)
        else:
            self._guessed += change * kind.cost
