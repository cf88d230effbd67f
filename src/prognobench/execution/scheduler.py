"""Which worker does which runs next: pure bookkeeping, with no clock, no training and no network.

A worker asks when it has nothing to do, and is given a part of a batch of runs that may be trained
in one go. It stays with the backbone and the images that it has loaded as long as there is work
for them, then takes work from where most is left for each worker. What it is given gets smaller as
the work runs out (guided self-scheduling: Polychronopoulos and Kuck 1987, IEEE Transactions on
Computers C-36:1425), so that all workers are busy until the end. How long runs take is learnt from
those that ended, how fast a worker is from how long its own took.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from prognobench.execution.workload import Batch, Home, Pile, Workload

MOST_KILLS = 3
"""A run whose worker died this often while it was held is given up."""

MOST_REMOVALS = 10
"""A run whose worker was taken away this often, through no fault of the run, is given up."""

LONGEST_SHARE = 600.0
"""Seconds that what a worker is given should take at most: so much can be idle at the end, at most,
where workers are few, and so much is trained again in the worst case when a worker dies."""

TRIAL = 8
"""Of runs that nobody has timed yet, a worker is given so many at most where work is shared."""

FRACTION = 4
"""A worker is given its part of what is left, divided by this."""

SPEED_MEMORY = 0.7
"""Weight of what was known of a worker's speed against what was measured last."""

_FURTHER = 64


@dataclass(eq=False)
class _Worker:
    home: Home | None = None
    speed: float = 1.0
    timed: bool = False
    held: dict[str, None] = field(default_factory=dict)
    given: int = 0
    taken: float = 0.0


@dataclass(frozen=True, eq=False)
class Offer:
    """Runs that a worker may take.

    Attributes:
        runs: What it may choose from, in order.
        count: How many it shall take.
    """

    runs: tuple[str, ...]
    count: int
    _pile: Pile


class Scheduler:
    """Keeps who does what of a workload.

    Attributes:
        elsewhere: Runs that another driver does.
    """

    def __init__(self, batches: Sequence[Batch], *, shared: bool = False) -> None:
        """Queue batches.

        Args:
            batches: The work; each run stands in one of them.
            shared: Whether several workers share the work, or may come to. Batches are split
                then, and runs that take long come first; else one worker takes whole batches in
                their order.
        """
        self._load = Workload(batches, longest_first=shared)
        self._shared = shared
        self._workers: dict[str, _Worker] = {}
        self._kills: Counter[str] = Counter()
        self._removals: Counter[str] = Counter()
        self._speeds = 0.0
        self._holding = 0
        self.elsewhere: dict[str, None] = {}

    @property
    def unfinished(self) -> int:
        """How many runs are queued, held by a worker or done elsewhere."""
        return len(self._load)

    @property
    def queued(self) -> int:
        """How many runs no worker holds, those done elsewhere not counted."""
        return len(self._load) - self._holding - len(self.elsewhere)

    @property
    def held(self) -> int:
        """How many runs workers hold."""
        return self._holding

    @property
    def workers(self) -> tuple[str, ...]:
        """The workers that are there."""
        return tuple(self._workers)

    @property
    def seconds_left(self) -> float:
        """Estimated time until all is done; NaN before any run has ended."""
        return self._load.seconds / (self._speeds or 1.0) if self._load.any_timed else math.nan

    def join(self, worker: str) -> None:
        """Let a worker take part."""
        if worker in self._workers:
            raise ValueError(f"the worker '{worker}' is there already")
        self._workers[worker] = _Worker()
        self._speeds += 1.0

    def leave(self, worker: str, *, blame: bool) -> list[str]:
        """Take a worker out that died or was taken away, and queue again what it held.

        One of the runs that it held may have killed it. They are queued in smaller and smaller
        parts, at last one by one, so that the others get away from it before it is given up.

        Args:
            worker: The worker.
            blame: Whether what it held may be the cause.

        Returns:
            The runs that are given up; they count as finished.
        """
        gone = self._workers.pop(worker)
        self._speeds -= gone.speed
        self._holding -= len(gone.held)
        if gone.home:
            gone.home.workers -= 1
        given_up = []
        again: dict[int | None, list[str]] = {}
        for run in gone.held:
            (self._kills if blame else self._removals)[run] += 1
            kills = self._kills[run]
            if kills >= MOST_KILLS or self._removals[run] >= MOST_REMOVALS:
                given_up.append(run)
                self._load.drop(run)
                continue
            limit = (None, math.ceil(len(gone.held) / TRIAL), 1)[kills]
            again.setdefault(limit, []).append(run)
        for limit, runs in again.items():
            self._load.put_back(runs, limit)
        return given_up

    def offer(self, worker: str) -> Offer | None:
        """Return what a worker without work may take; nothing changes before :meth:`take`.

        Returns:
            The offer; None when nothing is queued, or when what is left would be done sooner by
            the others.
        """
        own = self._workers[worker]
        home = own.home
        if home is None or self._load.first(home) is None:
            home = self._most_needed()
        pile = self._load.first(home) if home else None
        if home is None or pile is None:
            return None
        seconds = self._load.seconds_of(pile.kind)
        if self._better_left(seconds, own):
            return None
        count = self._share(home, own, seconds, pile) if self._shared else len(pile.runs)
        count = min(count, len(pile.runs), pile.limit or len(pile.runs))
        further = count + min(count, _FURTHER)
        return Offer(tuple(itertools.islice(pile.runs, further)), count, pile)

    def take(
        self, worker: str, offer: Offer, taken: Sequence[str], elsewhere: Iterable[str] = ()
    ) -> None:
        """Give a worker runs of an offer.

        Args:
            worker: Who takes them.
            offer: The last offer made to anybody.
            taken: Those of its runs that the worker takes.
            elsewhere: Those of its runs that another driver does.
        """
        own, home = self._workers[worker], offer._pile.kind.home
        aside = dict.fromkeys(elsewhere)
        self._load.remove(offer._pile, len(offer.runs), {*taken, *aside})
        self.elsewhere |= aside
        if not taken:
            return
        if own.home is not home:
            if own.home:
                own.home.workers -= 1
            own.home = home
            home.workers += 1
        own.held = dict.fromkeys(taken)
        self._holding += len(taken)
        own.given, own.taken = 0, 0.0

    def finished(self, worker: str, run: str, seconds: float) -> None:
        """Take note that a worker has ended a run, well or not.

        Args:
            worker: The worker.
            run: The run.
            seconds: Time since it ended the run before, or since it was given this share.
        """
        own = self._workers[worker]
        del own.held[run]
        self._holding -= 1
        kind = self._load.kind_of(run)
        self._load.drop(run)
        own.given += 1
        own.taken += seconds
        if not own.held and kind.timed and own.taken > 0:
            self._rate_worker(own, self._load.seconds_of(kind) * own.given / own.taken)
        self._load.time(kind, seconds * own.speed)

    def lost_claim(self, worker: str, run: str) -> None:
        """Take note that a worker ended a run which another driver has taken over meanwhile."""
        del self._workers[worker].held[run]
        self._holding -= 1
        self.elsewhere[run] = None

    def done_elsewhere(self, runs: Iterable[str]) -> None:
        """Take note that other drivers have ended runs."""
        for run in runs:
            del self.elsewhere[run]
            self._load.drop(run)

    def given_back(self, runs: Sequence[str]) -> None:
        """Queue runs again that no other driver does any longer."""
        for run in runs:
            del self.elsewhere[run]
        self._load.put_back(runs)

    def reason_given_up(self, run: str, cause: str) -> str:
        """Return in words why a run is given up.

        Args:
            run: One of those that :meth:`leave` returned.
            cause: How the last worker ended.
        """
        kills, removals = self._kills[run], self._removals[run]
        if kills >= MOST_KILLS:
            return f"its worker died {kills} times while doing it, at last: {cause}"
        return f"its worker was taken away {removals} times, at last: {cause}"

    def _most_needed(self) -> Home | None:
        homes = [home for home in self._load.homes.values() if self._load.first(home)]
        if not homes or not self._shared:
            return homes[0] if homes else None
        return max(homes, key=lambda home: self._load.seconds_in(home) / (1 + home.workers))

    def _better_left(self, seconds: float, own: _Worker) -> bool:
        """Return whether faster workers, now busy, would end sooner without a slow one's help.

        That is never so while some of what is queued has not been timed: guesses that are too low
        would send workers away for nothing.
        """
        if self._load.any_guessed:
            return False
        left = self._load.seconds_queued / self._speeds
        if seconds / own.speed <= left:
            return False
        busy = [worker.speed for worker in self._workers.values() if worker.held]
        fastest = max(busy, default=0.0)
        return own.speed < fastest and seconds / own.speed > left + seconds / fastest

    def _share(self, home: Home, own: _Worker, seconds: float, pile: Pile) -> int:
        if not own.timed:
            return 1  # it may be a hundred times slower than the others
        here = home.workers + (own.home is not home)
        left = min(
            self._load.seconds_in(home) / here, self._load.seconds_queued / len(self._workers)
        )
        count = max(1, int(own.speed * left / (FRACTION * seconds)))
        if not pile.kind.timed:
            return min(count, TRIAL)
        return min(count, max(1, int(own.speed * LONGEST_SHARE / seconds)))

    def _rate_worker(self, own: _Worker, measured: float) -> None:
        """Learn from the share that a worker ended how fast it is beside the others."""
        measured = min(max(measured, 0.01), 100.0)
        kept = SPEED_MEMORY if own.timed else 0.0
        self._speeds -= own.speed
        own.speed = kept * own.speed + (1 - kept) * measured
        own.timed = True
        self._speeds += own.speed
