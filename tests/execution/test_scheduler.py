"""The scheduler in virtual time: everything is done once, whoever dies, and nobody waits long."""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prognobench.execution.scheduler import MOST_KILLS, MOST_REMOVALS, Scheduler
from prognobench.execution.workload import Batch


def batches(homes, kinds, runs, cost=lambda home, kind: 1.0):
    return [
        Batch(
            tuple(f"{home}-{kind}-{number}" for number in range(runs)),
            f"home{home}",
            f"{home} {kind}",
            cost(home, kind),
        )
        for home in range(homes)
        for kind in range(kinds)
    ]


class Simulation:
    """Workers in virtual time; ``seconds`` says how long a run takes, ``killer`` who dies of it."""

    def __init__(self, scheduler, speeds, seconds=lambda run: 1.0, killers=(), load=0.0):
        self.scheduler, self.seconds, self.killers, self.load = scheduler, seconds, killers, load
        self.now, self.busy, self.events, self.number = 0.0, 0.0, [], 0
        self.done, self.given_up, self.homes = Counter(), [], {}
        self.speeds, self.idle, self.shares = {}, set(), []
        for speed in speeds:
            self.join(speed)

    def join(self, speed=1.0):
        name = f"w{len(self.speeds)}"
        self.speeds[name] = speed
        self.scheduler.join(name)
        self.employ(name)
        return name

    def employ(self, name):
        self.idle.discard(name)
        offer = self.scheduler.offer(name)
        if offer is None:
            self.idle.add(name)
            return
        share = offer.runs[: offer.count]
        self.scheduler.take(name, offer, share)
        self.shares.append(len(share))
        home = share[0].split("-")[0]
        moment = self.now + (self.load if self.homes.get(name) != home else 0.0)
        self.homes[name] = home
        for run in share:
            if run in self.killers:
                self._at(moment, "dies", name, run, 0.0)
                return
            took = self.seconds(run) / self.speeds[name]
            moment += took
            self._at(moment, "ended", name, run, took)
        self._at(moment, "free", name, "", 0.0)

    def _at(self, moment, *event):
        self.number += 1
        heapq.heappush(self.events, (moment, self.number, *event))

    def leave(self, name, blame):
        self.events = [event for event in self.events if event[3] != name]
        heapq.heapify(self.events)
        self.idle.discard(name)
        self.given_up += self.scheduler.leave(name, blame=blame)
        for other in list(self.idle):
            self.employ(other)

    def step(self):
        self.now, _, what, name, run, took = heapq.heappop(self.events)
        if what == "ended":
            self.busy += took
            self.done[run] += 1
            self.scheduler.finished(name, run, took)
        elif what == "free":
            self.employ(name)
        else:
            self.leave(name, blame=True)
            self.join()

    def finish(self):
        while self.scheduler.unfinished:
            self.step()
        return self


def test_one_worker_takes_whole_batches_in_their_order():
    plan = batches(2, 2, 5)
    simulation = Simulation(Scheduler(plan), [1.0]).finish()
    assert list(simulation.done) == [run for batch in plan for run in batch.runs]
    assert simulation.shares == [5, 5, 5, 5]


@settings(max_examples=60)
@given(st.data())
def test_every_run_is_done_once_whoever_comes_and_goes(data):
    random_ = random.Random(data.draw(st.integers(0, 10**6)))  # noqa: S311
    plan = batches(
        data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 30))
    )
    scheduler = Scheduler(plan, shared=data.draw(st.booleans()))
    speeds = [random_.uniform(0.2, 3.0) for _ in range(data.draw(st.integers(1, 6)))]
    simulation = Simulation(scheduler, speeds, lambda run: random_.uniform(0.1, 9.0))
    removals = 0
    while scheduler.unfinished:
        simulation.step()
        if removals < MOST_REMOVALS - 1 and random_.random() < 0.1:
            removals += 1
            simulation.join(random_.uniform(0.2, 3.0))
            simulation.leave(random_.choice(scheduler.workers), blame=False)
    wanted = {run for batch in plan for run in batch.runs}
    assert set(simulation.done) == wanted
    assert set(simulation.done.values()) == {1}
    assert not simulation.given_up
    assert scheduler.queued == scheduler.held == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_a_run_that_kills_its_workers_is_given_up_and_takes_no_other_with_it(workers):
    plan = batches(1, 1, 100)
    scheduler = Scheduler(plan, shared=workers > 1)
    simulation = Simulation(scheduler, [1.0] * workers, killers={"0-0-37"}).finish()
    assert simulation.given_up == ["0-0-37"]
    assert len(simulation.done) == 99
    assert len(simulation.speeds) == workers + MOST_KILLS
    assert "3 times" in simulation.scheduler.reason_given_up("0-0-37", "killed")


def test_runs_whose_worker_is_taken_away_again_and_again_are_given_up_at_last():
    scheduler = Scheduler(batches(1, 1, 1))
    simulation = Simulation(scheduler, [])
    for number in range(MOST_REMOVALS):
        assert scheduler.unfinished == 1, number
        simulation.leave(simulation.join(), blame=False)
    assert simulation.given_up == ["0-0-0"]


def test_workers_stay_with_what_they_have_loaded():
    loads = Counter()
    scheduler = Scheduler(batches(4, 3, 100), shared=True)
    simulation = Simulation(scheduler, [1.0] * 8, load=1.0)
    while scheduler.unfinished:
        before = dict(simulation.homes)
        simulation.step()
        loads.update(name for name, home in simulation.homes.items() if before.get(name) != home)
    # Two workers a home from the start, and a move or two of each when a home is done.
    assert sum(loads.values()) <= 16


def test_unequal_workers_end_together():
    """Work is timed, so that the slow one is given less; without that it would end long after."""
    speeds = [1.0, 1.0, 4.0, 0.1]
    simulation = Simulation(Scheduler(batches(2, 2, 200), shared=True), speeds).finish()
    ideal = 800 / sum(speeds)
    assert simulation.now < 1.1 * ideal


def test_a_slow_worker_leaves_the_last_runs_to_fast_ones():
    scheduler = Scheduler(batches(1, 1, 40), shared=True)
    simulation = Simulation(scheduler, [1.0, 0.02]).finish()
    assert simulation.now < 60  # one run takes the slow one 50 seconds


def test_workers_that_join_are_used():
    scheduler = Scheduler(batches(1, 1, 400), shared=True)
    simulation = Simulation(scheduler, [1.0, 1.0])
    while simulation.now < 50:
        simulation.step()
    for _ in range(6):
        simulation.join()
    simulation.finish()
    assert simulation.now < 50 + 300 / 8 * 1.3


def test_runs_of_other_drivers_are_waited_for_and_come_back():
    scheduler = Scheduler(batches(1, 1, 4))
    scheduler.join("w")
    offer = scheduler.offer("w")
    a, b, c, d = offer.runs
    scheduler.take("w", offer, [b], [a, c])
    assert (scheduler.held, scheduler.queued, list(scheduler.elsewhere)) == (1, 1, [a, c])
    scheduler.lost_claim("w", b)
    scheduler.done_elsewhere([a, b])
    scheduler.given_back([c])
    offer = scheduler.offer("w")
    assert offer.runs == (c,)
    scheduler.take("w", offer, [c])
    scheduler.finished("w", c, 1.0)
    offer = scheduler.offer("w")
    assert offer.runs == (d,)
    scheduler.take("w", offer, [d])
    scheduler.finished("w", d, 3.0)
    assert scheduler.unfinished == 0
    assert scheduler.seconds_left == 0.0


def test_the_rest_is_estimated_from_what_was_timed():
    scheduler = Scheduler(batches(1, 2, 10, cost=lambda home, kind: 1.0 + kind))
    scheduler.join("w")
    offer = scheduler.offer("w")
    scheduler.take("w", offer, offer.runs[: offer.count])
    assert scheduler.seconds_left != scheduler.seconds_left  # NaN: nothing is known yet
    for run in offer.runs[:4]:
        scheduler.finished("w", run, 3.0)
    # Six more of three seconds, and ten that cost twice as much.
    assert scheduler.seconds_left == pytest.approx(6 * 3 + 10 * 6)


def test_guesses_that_are_far_too_low_send_nobody_away():
    """The second kind is thought to cost nothing and takes longest: the slow one must help."""
    costs, seconds, speeds = (1e6, 1.0), (1.0, 10.0), [1.0, *[0.4] * 7]
    scheduler = Scheduler(batches(1, 2, 80, cost=lambda home, kind: costs[kind]), shared=True)
    simulation = Simulation(scheduler, speeds, lambda run: seconds[int(run.split("-")[1])]).finish()
    assert simulation.now < 1.25 * (80 * 11 / sum(speeds))
