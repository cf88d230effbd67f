"""The loop of every executor: hands runs to workers, keeps what comes back, survives their loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from prognobench.execution.interruption import heard
from prognobench.execution.scheduler import Offer, Scheduler
from prognobench.plan import ControlRun, Run
from prognobench.results.ledger import Ledger
from prognobench.results.records import RunResult

LOOK_EVERY = 2.0
"""Seconds between two looks at the runs that other drivers do."""

KEPT_TOGETHER = 100
"""Results that go to the ledger at once, at most: each go waits for the disk."""


@dataclass(frozen=True)
class Joined:
    """A worker is there, with versions and hardware of its machine."""

    worker: str
    environment: Mapping[str, Any]


@dataclass(frozen=True)
class Started:
    """A worker began a run."""

    worker: str
    run: str


@dataclass(frozen=True)
class Ended:
    """A worker ended a run.

    Attributes:
        worker: The worker.
        run: The run.
        outcome: Its result, or why it failed.
        seconds: Time since the worker ended the one before, or was given its share.
        more: Whether the next run of this worker has ended as well, and comes right after.
    """

    worker: str
    run: str
    outcome: RunResult | Exception
    seconds: float
    more: bool = False


@dataclass(frozen=True)
class Free:
    """A worker has ended all that it was given."""

    worker: str


@dataclass(frozen=True)
class Left:
    """A worker is gone.

    Attributes:
        worker: The worker.
        reason: Why, in words.
        blame: Whether what it did may be the cause.
    """

    worker: str
    reason: str
    blame: bool


Event = Joined | Started | Ended | Free | Left


class Pool(Protocol):
    """Workers, wherever they are."""

    def begin(self, worker: str, runs: Sequence[str]) -> None:
        """Have a worker that is free do runs that belong together."""

    def events(self) -> Iterable[Event]:
        """Return what happened, after waiting a moment for something to happen."""


@dataclass(frozen=True)
class Progress:
    """Where the work stands after a run.

    Attributes:
        finished: Runs finished in this go, failed ones and those of other drivers included.
        total: Runs to be done in this go.
        run: The run just finished; None when it was another driver's.
        failed: Why it failed; None when it did not.
        seconds_left: Estimated time for the rest.
    """

    finished: int
    total: int
    run: Run | ControlRun | None
    failed: str | None
    seconds_left: float


@dataclass
class Drive:
    """One go at a set of runs.

    Attributes:
        scheduler: What is to be done, and who does what.
        runs: The runs by id.
        pool: The workers.
        ledger: Where results go.
        report: Called after each run.
        failures: How many runs failed so far.
    """

    scheduler: Scheduler
    runs: Mapping[str, Run | ControlRun]
    pool: Pool
    ledger: Ledger
    report: Callable[[Progress], None]
    failures: int = 0
    _environments: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _free: dict[str, None] = field(default_factory=dict)
    _looked: float = 0.0
    _ended: list[Ended] = field(default_factory=list)

    def work(self) -> int:
        """Go on until every run has ended, here or elsewhere.

        Returns:
            How many runs failed here.
        """
        with heard() as check_for_interruption:
            try:
                while self.scheduler.unfinished:
                    for event in self.pool.events():
                        self._take(event)
                        check_for_interruption()
                    check_for_interruption()
                    if self.scheduler.elsewhere:
                        self._look_elsewhere()
            finally:
                if self._ended:  # an interruption came before the last of those that come at once
                    self._keep()
        return self.failures

    def _take(self, event: Event) -> None:
        match event:
            case Joined(worker, environment):
                self.scheduler.join(worker)
                self._environments[worker] = environment
                self._employ(worker)
            case Started(_, run):
                self.ledger.start(run)
            case Ended(more=more):
                self._ended.append(event)
                if not more or len(self._ended) == KEPT_TOGETHER:
                    self._keep()
            case Free(worker):
                self._employ(worker)
                self._ask_again()
            case Left(worker, reason, blame):
                self._free.pop(worker, None)
                environment = dict(self._environments.pop(worker, {}))
                for run in self.scheduler.leave(worker, blame=blame):
                    why = self.scheduler.reason_given_up(run, reason)
                    self.ledger.fail(run, why, environment)
                    self._tell(run, why)
                self._employ_all()

    def _employ_all(self) -> None:
        waiting, self._free = self._free, {}
        for worker in waiting:
            self._employ(worker)

    def _ask_again(self) -> None:
        """Offer work to the worker that waits longest: what it was refused may be right by now."""
        if self._free and self.scheduler.queued:
            worker = next(iter(self._free))
            del self._free[worker]
            self._employ(worker)

    def _employ(self, worker: str) -> None:
        """Give a worker something to do; one for whom there is nothing waits."""
        while (offer := self.scheduler.offer(worker)) is not None:
            taken = self._claim(worker, offer)
            if taken:
                self.pool.begin(worker, taken)
                return
        self._free[worker] = None

    def _claim(self, worker: str, offer: Offer) -> Sequence[str]:
        claimed = self.ledger.claim(offer.runs, offer.count)
        self.scheduler.take(worker, offer, claimed.granted, claimed.held_elsewhere)
        return claimed.granted

    def _keep(self) -> None:
        """Give the ledger what a worker's runs came to."""
        ended, self._ended = self._ended, []
        worker = ended[0].worker
        environment = dict(self._environments[worker])
        results = {own.run: own.outcome for own in ended if not isinstance(own.outcome, Exception)}
        kept = self.ledger.finish(results, environment) if results else set()
        for own in ended:
            failed = None
            if isinstance(own.outcome, Exception):
                error = own.outcome
                failed = f"{type(error).__name__}: {' '.join(str(error).split())}"
                if self.ledger.fail(own.run, failed, environment):
                    kept.add(own.run)
            if own.run not in kept:
                self.scheduler.lost_claim(worker, own.run)
                continue
            self.scheduler.finished(worker, own.run, own.seconds)
            self._tell(own.run, failed)

    def _tell(self, run: str | None, failed: str | None) -> None:
        self.failures += failed is not None
        left = self.scheduler.unfinished
        self.report(
            Progress(
                len(self.runs) - left,
                len(self.runs),
                None if run is None else self.runs[run],
                failed,
                self.scheduler.seconds_left,
            )
        )

    def _look_elsewhere(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY:
            if not self.scheduler.held and not self.scheduler.queued:
                time.sleep(LOOK_EVERY / 4)
            return
        self._looked = now
        done, given_back = self.ledger.look(tuple(self.scheduler.elsewhere))
        if done:
            self.scheduler.done_elsewhere(done)
            self._tell(None, None)
        if given_back:
            self.scheduler.given_back(given_back)
            self._employ_all()


def timed(
    results: Iterable[tuple[str, RunResult | Exception]],
) -> Iterator[tuple[str, RunResult | Exception, float]]:
    """Yield a worker's results, each with the seconds since the one before was asked for more."""
    began = time.perf_counter()
    for run, outcome in results:
        yield run, outcome, time.perf_counter() - began
        began = time.perf_counter()
