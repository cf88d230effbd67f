"""A Ray cluster works off the pending runs: one actor a device; this process writes all results.

Nodes are looked for all the time: those that are added get actors, and what was done on those
that are gone is done again elsewhere. Ray carries runs and results between processes of one user
by its own transport, which is pickle: whoever can reach a Ray cluster can run code on it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from prognobench.errors import UserError
from prognobench.execution.drive import Drive, Ended, Event, Free, Joined, Left, Progress, Started
from prognobench.execution.groups import as_batches, grouped
from prognobench.execution.processes import as_error
from prognobench.execution.ray_worker import Message, RayWorker
from prognobench.execution.scheduler import Scheduler
from prognobench.execution.task_images import TaskImages
from prognobench.files import atomic_folder
from prognobench.plan import ControlRun, Run
from prognobench.results.ledger import Ledger

LOOK_EVERY = 2.0
"""Seconds between two looks at which nodes there are."""

WAIT = 0.5
"""Seconds that the loop waits for something to happen."""

MEMORY_A_WORKER = 1.5 * 2**30
"""Bytes that a worker on a CPU is given room for: its libraries, a backbone and images."""

MOST_FAILED_STARTS = 3
"""Processes that end before they are ready until a node, or the whole cluster, is given up."""

PAUSE_SECONDS = 2.0
"""How long to wait before a cluster is asked once more."""

_ENDS = {"done", "failed"}
"""Messages that say that a run has ended."""

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be connected to a Ray cluster.

    Args:
        address: ``ray://host:10001`` (from anywhere), ``host:6379`` or ``auto`` (from a machine
            of the cluster); None starts Ray in this process, with this machine alone.

    Raises:
        UserError: When Ray is not installed, or no cluster answers.
    """
    # Ray would copy the working folder to every node when it is started by `uv run`, and report
    # its use to its makers.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError(
            "--executor ray needs the extra 'ray': install prognobench[ray], or leave it out"
        ) from None
    try:
        if address:
            _connect(ray, address)
        else:
            ray.init(address="local", include_dashboard=False, log_to_driver=False)
    except (ConnectionError, TimeoutError, ValueError, RuntimeError) as error:
        sentence = " ".join(str(error).split())[:200]
        raise UserError(
            f"no Ray cluster can be used at {address or 'this machine'} ({sentence}): start one "
            "with `ray start --head`, or name its address with --ray-address"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    """Connect to a cluster that may need a second try to start the process that serves us.

    Raises:
        ConnectionAbortedError: When the cluster answers, and that process ends every time.
        ConnectionError: When no cluster answers.
    """
    for tries_left in reversed(range(MOST_FAILED_STARTS)):
        try:
            ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
        except ConnectionAbortedError:
            if not tries_left:
                raise
            _log.warning("the cluster could not start a process for this client: trying again")
            time.sleep(PAUSE_SECONDS)
        else:
            return


@dataclass(frozen=True)
class Place:
    """Room for one worker on a node: a whole GPU, or a core."""

    node: str
    cuda: bool
    cores: float = 1.0


def places_of(node: Mapping[str, Any], device: str) -> list[Place]:
    """Return the workers that a node has room for.

    Args:
        node: As ``ray.nodes()`` tells of it.
        device: ``auto`` takes the GPUs of a node that has any, and else its cores; ``cuda`` and
            ``cpu`` take nothing else.
    """
    resources, name = node.get("Resources", {}), node["NodeID"]
    cores, devices = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    if devices and device != "cpu":
        share = 1.0 if cores >= devices else 0.0
        return [Place(name, cuda=True, cores=share)] * devices
    if device == "cuda":
        return []
    room = int(resources["memory"] // MEMORY_A_WORKER) if "memory" in resources else cores
    return [Place(name, cuda=False)] * min(cores, max(1, room))


class RayPool:
    """Workers on the nodes of a cluster."""

    def __init__(
        self,
        runs: Mapping[str, Run | ControlRun],
        images: Mapping[tuple[str, int], TaskImages],
        device: str,
        models: Path | None,
    ) -> None:
        """Make ready; workers are started when events are first asked for.

        Args:
            runs: All that may be given to them.
            images: Images of each task by its name and the input size.
            device: ``auto``, ``cuda`` or ``cpu``.
            models: Folder for what each run trained; None to keep nothing of it.
        """
        self._runs, self._images, self._device, self._models = runs, images, device, models
        self._entries = list({id(run.entry): run.entry for run in runs.values()}.values())
        self._sent: dict[tuple[str, int], Any] = {}
        self._actors: dict[str, Any] = {}
        self._places: dict[str, Place] = {}
        self._asked: dict[Any, str] = {}
        self._listening: set[str] = set()
        self._starting: set[str] = set()
        self._busy: set[str] = set()
        self._given: dict[str, dict[str, bool]] = {}
        self._nodes: set[str] = set()
        self._failed: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._count, self._looked = 0, -LOOK_EVERY

    def begin(self, worker: str, runs: Sequence[str]) -> None:
        """Have a worker that is free do runs that belong together."""
        import ray

        group = tuple(self._runs[run] for run in runs)
        key = (group[0].task.name, group[0].entry.image_size)
        if key not in self._sent:
            own = self._images[key]
            # A memory-mapped file of this machine is no use to another.
            self._sent[key] = ray.put(replace(own, pixels=np.array(own.pixels)))
        self._actors[worker].begin.remote(group, self._sent[key])
        self._busy.add(worker)
        self._given[worker] = dict.fromkeys(runs, False)
        self._ask(worker)

    def events(self) -> Iterator[Event]:
        """Wait a moment for workers to say something, and yield what they say."""
        import ray

        self._look()
        if not self._asked:
            time.sleep(WAIT)
            return
        asked = list(self._asked)
        if ray.wait(asked, timeout=WAIT)[0]:
            for answer in ray.wait(asked, num_returns=len(asked), timeout=0)[0]:
                yield from self._answered(answer)

    def close(self) -> None:
        """End all workers."""
        import ray

        for actor in self._actors.values():
            with contextlib.suppress(Exception):
                ray.kill(actor)
        self._actors.clear()

    def _answered(self, answer: Any) -> Iterator[Event]:
        import ray

        name = self._asked.pop(answer)
        self._listening.discard(name)
        try:
            found = ray.get(answer)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            yield from self._lost(name, error)
            return
        if name in self._starting:
            yield from self._ready(name, found)
            return
        for place, message in enumerate(found, start=1):
            more = place < len(found) and found[place].what in _ENDS
            yield self._event(name, message, more)
        # One that is free, and was given nothing else, has nothing to tell.
        if name in self._busy and name not in self._listening:
            self._ask(name)

    def _event(self, name: str, message: Message, more: bool) -> Event:
        match message.what:
            case "began":
                self._given[name][message.run] = True
                return Started(name, message.run)
            case "free":
                self._busy.discard(name)
                return Free(name)
            case "stopped":
                raise as_error(*message.content)
            case "failed":
                del self._given[name][message.run]
                return Ended(name, message.run, as_error(*message.content), message.seconds, more)
        del self._given[name][message.run]
        if self._models and message.model:
            with atomic_folder(self._models / message.run) as temporary:
                for file, content in message.model.items():
                    beside = temporary / Path(file).name
                    beside.write_bytes(content)
        return Ended(name, message.run, message.content, message.seconds, more)

    def _ask(self, name: str) -> None:
        self._asked[self._actors[name].messages.remote()] = name
        self._listening.add(name)

    def _look(self) -> None:
        """Start workers on nodes that are new."""
        import ray

        now = time.monotonic()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        nodes = [node for node in ray.nodes() if node["Alive"]]
        alive = {node["NodeID"] for node in nodes}
        for node in nodes:
            if node["NodeID"] not in self._nodes:
                self._nodes.add(node["NodeID"])
                for place in places_of(node, self._device):
                    self._start(place)
        if self._actors:
            return
        if refused := [self._refused[node] for node in alive if node in self._refused]:
            raise UserError(refused[0])
        if not self._count:
            wanted = "GPU" if self._device == "cuda" else "core or GPU"
            raise UserError(
                f"no node of the Ray cluster has a {wanted} for workers: give it one, or choose "
                "another --device"
            )

    def _start(self, place: Place) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._count += 1
        name = f"worker {self._count}"
        remote = ray.remote(RayWorker).options(
            num_cpus=place.cores,
            num_gpus=1 if place.cuda else 0,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
        )
        device = "cuda" if place.cuda else "cpu"
        self._actors[name] = remote.remote(device, keep_models=self._models is not None)
        self._places[name] = place
        self._starting.add(name)
        self._asked[self._actors[name].describe.remote(self._entries)] = name

    def _ready(self, name: str, about: Mapping[str, Any]) -> Iterator[Event]:
        self._starting.discard(name)
        node = self._places[name].node
        reason = None
        if about["missing"]:
            missing = " ".join(about["missing"])
            reason = f"a node lacks weights: fetch them there with `prognobench pull {missing}`"
        elif about["version"] != version("prognobench"):
            reason = (
                f"a node has prognobench {about['version']} and this machine "
                f"{version('prognobench')}: install the same version everywhere"
            )
        if reason:
            self._refuse(node, reason)
            self._end(name)
            return
        self._failed.pop(node, None)
        yield Joined(name, about["environment"])

    def _lost(self, name: str, error: Exception) -> Iterator[Event]:
        """See to a worker that does not answer any more: its node may be gone, or only it."""
        self._looked = -LOOK_EVERY
        sentence = " ".join(str(error).split())
        place, busy, starting = self._places[name], name in self._busy, name in self._starting
        given = self._given.get(name, {})
        self._end(name)
        gone = self._is_gone(place.node, sentence)
        # The connection broke, and not the process: it is no fault of what was done.
        unavailable = type(error).__name__ == "ActorUnavailableError"
        if busy and given and not any(given.values()):
            # What it began last was not told any more, and is an attempt all the same.
            yield Started(name, next(iter(given)))
        if not starting:
            why = "its node is gone" if gone else f"it was ended: {sentence[:200]}"
            yield Left(name, why, blame=busy and not (gone or unavailable))
        if gone:
            self._nodes.discard(place.node)
            return
        if starting:
            self._failed[place.node] = self._failed.get(place.node, 0) + 1
            if self._failed[place.node] >= MOST_FAILED_STARTS:
                self._refuse(place.node, f"no worker can start on a node: {sentence[:200]}")
        if place.node not in self._refused:
            self._start(place)

    def _is_gone(self, node: str, sentence: str) -> bool:
        import ray

        alive = {own["NodeID"] for own in ray.nodes() if own["Alive"]}
        return node not in alive or "node has died" in sentence or "node was" in sentence

    def _refuse(self, node: str, reason: str) -> None:
        if node not in self._refused:
            _log.warning("a node takes no part: %s", reason)
        self._refused[node] = reason

    def _end(self, name: str) -> None:
        import ray

        with contextlib.suppress(Exception):
            ray.kill(self._actors[name])
        del self._actors[name], self._places[name]
        self._starting.discard(name)
        self._busy.discard(name)
        self._listening.discard(name)
        self._given.pop(name, None)


def execute_on_ray(
    pending: Sequence[Run | ControlRun],
    images: Mapping[tuple[str, int], TaskImages],
    ledger: Ledger,
    report: Callable[[Progress], None],
    *,
    device: str,
    models: Path | None = None,
) -> int:
    """Do runs on the cluster that this process is connected to; a failure stops nothing.

    Args:
        pending: The runs to do, in order.
        images: Images of each task by its name and the input size.
        ledger: Where results go, each as soon as it is there.
        report: Called after each run.
        device: ``auto``, ``cuda`` or ``cpu``, on every node.
        models: Folder for what each run trained; None to keep nothing of it.

    Returns:
        How many runs failed.
    """
    groups = grouped(pending, images)
    runs = {run.id: run for run in pending}
    scheduler = Scheduler(as_batches(groups, images), shared=True)
    with contextlib.closing(RayPool(runs, images, device, models)) as pool:
        return Drive(scheduler, runs, pool, ledger, report).work()
