"""A Ray cluster of several nodes on this machine ends as the local executor does."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_benchmark import SMALL, all_predictions, same_results
from typer.testing import CliRunner

from prognobench.cli import app
from prognobench.cli.options import Device, Executor
from prognobench.cli.run import run_spec
from prognobench.errors import UserError
from prognobench.execution import ray as ray_executor
from prognobench.execution.prepare import prepare
from prognobench.execution.ray import (
    MEMORY_A_WORKER,
    MOST_FAILED_STARTS,
    Place,
    connected,
    places_of,
)
from prognobench.execution.ray_worker import RayWorker
from prognobench.execution.scheduler import Scheduler
from prognobench.results.store import ResultsStore
from prognobench.spec import parse_spec

# As the executor does, and before anything imports Ray.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
# On a busy machine the process that serves a client takes longer than Ray's 30 seconds to start.
os.environ.setdefault("RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S", "150")
needs_ray = [pytest.mark.ray, pytest.mark.timeout(600)]


def node(**resources):
    return {"NodeID": "n", "Alive": True, "Resources": resources}


def test_a_node_has_a_worker_for_each_gpu_or_else_for_each_core():
    gpu = Place("n", cuda=True)
    core = Place("n", cuda=False)
    assert places_of(node(CPU=16.0, GPU=2.0), "auto") == [gpu, gpu]
    assert places_of(node(CPU=1.0, GPU=2.0), "auto") == [Place("n", cuda=True, cores=0.0)] * 2
    assert places_of(node(CPU=3.0), "auto") == [core] * 3
    assert places_of(node(CPU=3.0), "cuda") == []
    assert places_of(node(CPU=2.0, GPU=1.0), "cpu") == [core, core]
    assert places_of(node(GPU=1.0), "cpu") == []
    assert places_of(node(CPU=64.0, memory=3 * MEMORY_A_WORKER), "auto") == [core] * 3
    assert places_of(node(CPU=4.0, memory=1.0), "auto") == [core]


def test_without_ray_a_sentence_says_what_to_install(monkeypatch, tmp_path):
    original = builtins.__import__

    def without(name, *arguments, **named):
        if name.split(".")[0] == "ray":
            raise ModuleNotFoundError(name)
        return original(name, *arguments, **named)

    path = tmp_path / "spec.yaml"
    path.write_text(parse_spec(SMALL, "spec").as_yaml())
    command = ["run", str(path), "--output", str(tmp_path / "out"), "--executor", "ray"]
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"install prognobench\[ray\]"), connected(None):
        pass
    ended = CliRunner().invoke(app, command)
    assert isinstance(ended.exception, UserError)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("strategy", ["linear", "bitfit"])
def test_a_worker_takes_no_other_weights_than_the_driver_knows(strategy, tmp_path, monkeypatch):
    """Also where features of the driver's weights are asked for, which the cache may have."""
    monkeypatch.setenv("PROGNOBENCH_CACHE", str(tmp_path))
    prepared = prepare(parse_spec(SMALL | {"strategies": [strategy]}, "spec"))
    run = prepared.runs[0]
    weights = dataclasses.replace(run.entry.weights, sha256="0" * 64)
    other = dataclasses.replace(run, entry=dataclasses.replace(run.entry, weights=weights))
    worker = RayWorker("cpu", keep_models=False)
    worker.begin((other,), prepared.images()[run.task.name, run.entry.image_size])
    messages = []
    while "free" not in [message.what for message in messages]:
        messages += worker.messages()
    assert not {"done", "failed"} & {message.what for message in messages}
    (stopped,) = [message for message in messages if message.what == "stopped"]
    kind, sentence = stopped.content
    assert kind == "UserError" and "its SHA-256 differs" in sentence
    assert not list(tmp_path.glob("features/*"))


def test_the_script_for_slurm_is_one():
    script = Path(__file__).parents[2] / "docs" / "how_to" / "slurm.sh"
    subprocess.run([shutil.which("bash") or "bash", "-n", str(script)], check=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What this machine comes to without Ray."""
    output = tmp_path_factory.mktemp("alone") / "out"
    run_spec(parse_spec(LONGER, "spec"), output, None, Device.CPU)
    return output


LONGER = SMALL | {
    "regimes": [
        {"name": "full_data", "folds": 3},
        {"name": "few_shot", "shots": [2, 4], "episodes": 3, "folds": 3},
    ],
    "strategies": ["linear", "bitfit", "lora"],
    "controls": ["prevalence"],
}
RUNS = 36

SOON = 20.0
"""Seconds: five when the machine is quiet, which one that runs a cluster and tests is not."""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def cluster():
    """A cluster whose head does no work, with two nodes of one core each."""
    cluster_utils = pytest.importorskip("ray.cluster_utils", reason="the extra 'ray' is missing")
    port = free_port()
    made = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "ray_client_server_port": port,
            "object_store_memory": 100 * 2**20,
        },
    )
    made.client = f"ray://127.0.0.1:{port}"
    made.nodes = [add(made), add(made)]
    yield made
    made.shutdown()


def add(cluster, **resources):
    resources = {"num_cpus": 1, **resources}
    return cluster.add_node(object_store_memory=100 * 2**20, **resources)


def run(output, address, device=Device.AUTO, **changes):
    spec = parse_spec({**LONGER, **changes}, "spec")
    run_spec(spec, output, None, device, executor=Executor.RAY, ray_address=address)


def same_as(alone, output):
    same_results(alone, output)
    assert len(all_predictions(output)) == RUNS


def runs_of(output):
    store = ResultsStore(output)
    table = store.runs()
    store.close()
    return table


@pytest.fixture
def disturb(monkeypatch):
    """Has something done when so many results have been kept; returns whom the driver missed."""
    finish, leave = ResultsStore.finish, Scheduler.leave
    planned, kept, gone = {}, [], []

    def finished(self, results, environment):
        answer = finish(self, results, environment)
        for name in results:
            kept.append(name)
            planned.pop(len(kept), lambda: None)()
        return answer

    def left(self, worker, *, blame):
        gone.append(blame)
        return leave(self, worker, blame=blame)

    monkeypatch.setattr(ResultsStore, "finish", finished)
    monkeypatch.setattr(Scheduler, "leave", left)

    def when(after, action):
        planned[after] = action

    yield when, gone
    assert not planned, "nothing was disturbed"
    assert len(kept) == len(set(kept)), "a run was done twice"


class SimulatedGpu(RayWorker):
    """A core that passes for the GPU that Ray has assigned; the second GPU is slow."""

    def __init__(self, device, *, keep_models):
        import ray

        assert device == "cuda"
        super().__init__("cpu", keep_models=keep_models)
        (number,) = ray.get_gpu_ids()
        self.name = f"GPU {number}, seeing {os.environ['CUDA_VISIBLE_DEVICES']}"
        work = self._worker.work

        def delayed(*given):
            for ended in work(*given):
                time.sleep(0.5 * int(number))
                yield ended

        self._worker.work = delayed

    def describe(self, entries):
        about = super().describe(entries)
        about["environment"] |= {"device": "cuda", "device_name": self.name}
        return about


class TestCluster:
    pytestmark = needs_ray

    def test_it_is_asked_again_when_it_could_not_start_a_process_for_this_client(
        self, cluster, monkeypatch
    ):
        import ray
        from ray.util.client.worker import Worker

        asked, initialise = [], Worker._server_init

        def at_last(self, *given):
            asked.append(self)
            if len(asked) < MOST_FAILED_STARTS:
                raise ConnectionAbortedError("Initialization failure from server")
            initialise(self, *given)

        monkeypatch.setattr(Worker, "_server_init", at_last)
        with connected(cluster.client):
            assert len(ray.nodes()) == 3
        assert len(asked) == MOST_FAILED_STARTS
        monkeypatch.setattr(ray_executor, "MOST_FAILED_STARTS", 1)
        asked.clear()
        with pytest.raises(UserError, match="Initialization failure"), connected(cluster.client):
            pass
        assert len(asked) == 1

    def test_each_gpu_of_a_machine_has_a_worker_and_a_slow_one_is_given_less(
        self, alone, cluster, tmp_path, monkeypatch
    ):
        from ray import cloudpickle

        monkeypatch.setattr(ray_executor, "RayWorker", SimulatedGpu)
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        node = add(cluster, num_cpus=2, num_gpus=2)
        try:
            run(tmp_path / "out", cluster.client, Device.CUDA)
        finally:
            cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
            cluster.remove_node(node)
        same_as(alone, tmp_path / "out")
        runs = runs_of(tmp_path / "out")
        did = [own["device_name"] for own in runs["environment"]]
        assert set(did) == {"GPU 0, seeing 0", "GPU 1, seeing 1"}
        assert did.count("GPU 0, seeing 0") > 1.5 * did.count("GPU 1, seeing 1")
        assert set(runs["attempts"]) == {1}

    def test_ctrl_c_ends_it_soon_and_keeps_what_is_finished(self, alone, cluster, tmp_path):
        output, spec = tmp_path / "out", tmp_path / "spec.yaml"
        spec.write_text(parse_spec(LONGER, "spec").as_yaml())
        command = [sys.executable, "-m", "prognobench", "run", str(spec), "--output", str(output)]
        command += ["--executor", "ray", "--ray-address", cluster.client]
        with (tmp_path / "log").open("w") as log, hearing_ctrl_c():
            driver = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        said = (tmp_path / "log").read_text
        until = time.monotonic() + 400
        while len(done(output)) < 3:
            assert driver.poll() is None, said()
            assert time.monotonic() < until, said()
            time.sleep(0.02)
        began = time.monotonic()
        os.killpg(driver.pid, signal.SIGINT)
        assert driver.wait(timeout=60) == 130, said()
        assert time.monotonic() - began < SOON
        assert "Traceback" not in said()
        kept = done(output)
        assert 3 <= len(kept) < RUNS
        run(output, cluster.client)
        same_as(alone, output)
        assert kept.items() <= done(output).items()

    def test_results_are_those_of_this_machine_whatever_happens(
        self, alone, cluster, tmp_path, disturb
    ):
        """A node is removed in the middle and another added, and a worker is killed."""
        when, gone = disturb
        when(4, lambda: cluster.remove_node(cluster.nodes[0], allow_graceful=False))
        when(8, lambda: add(cluster))
        when(15, kill_a_worker)
        run(tmp_path / "out", cluster.address)
        same_as(alone, tmp_path / "out")
        assert sorted(gone) == [False, True]
        assert 2 <= runs_of(tmp_path / "out")["attempts"].max() <= 3

    def test_models_come_back_and_the_cluster_may_be_this_process(self, alone, tmp_path):
        run(tmp_path / "out", None, save_models=True)
        same_as(alone, tmp_path / "out")
        runs = runs_of(tmp_path / "out")
        trained = runs[(runs["backbone"] != "control") & (runs["strategy"] != "linear")]["run"]
        assert len(trained)
        for name in trained:
            assert list((tmp_path / "out" / "models" / name).glob("*.safetensors")), name


@contextlib.contextmanager
def hearing_ctrl_c():
    """Start processes that hear Ctrl-C, even where this one, in the background, ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def done(output):
    """Return when each run that is finished was, as the database has it."""
    with contextlib.suppress(sqlite3.OperationalError):
        found = sqlite3.connect(f"file:{output / 'results.db'}?mode=ro", uri=True)
        with contextlib.closing(found):
            query = "SELECT run, finished FROM runs WHERE state = 'done'"
            return dict(found.execute(query).fetchall())
    return {}


def kill_a_worker():
    """Kill -9 an actor's process, found by the name that Ray gives it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (entry / "cmdline").read_text().startswith("ray::RayWorker"):
                    os.kill(int(entry.name), signal.SIGKILL)
                    return
        time.sleep(0.2)
    raise AssertionError("no worker was found")
