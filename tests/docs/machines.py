"""What stands for the reader's machines: new environments, a clone, Ray, SLURM and PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import pytest
from blocks import REPOSITORY
from page_workspace import Workspace, free_port, program

PIP = """#!/bin/sh
# pip by way of uv, which links what is in its cache. The package itself is the wheel of this
# checkout, and of the others those versions are taken that were tested.
echo "$@" >>"{log}"
for word; do
  case "$word" in
    prognobench*) word="$word @ file://{wheel}" ;;
  esac
  set -- "$@" "$word"
  shift
done
exec "{uv}" pip "$@" --quiet --python "{environment}" --constraints "{constraints}"
"""


def _uv() -> str:
    found = shutil.which("uv")
    if found is None:
        pytest.skip("uv is not installed")
    return found


def environments(here: Workspace) -> None:
    """Make a new virtual environment the reader's, with a ``pip`` that installs this checkout."""
    uv, environment, log = _uv(), here.beside / "environment", here.beside / "pip.log"
    built = here.beside / "built"
    command = [uv, "build", "--quiet", "--wheel", "--out-dir", str(built), str(REPOSITORY)]
    subprocess.run(command, check=True)
    (wheel,) = built.glob("*.whl")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    subprocess.run([uv, "venv", "--quiet", "--python", version, str(environment)], check=True)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    constraints = here.beside / "constraints.txt"
    constraints.write_text("\n".join(project["tool"]["uv"]["constraint-dependencies"]))
    programs = environment / "bin"
    text = PIP.format(uv=uv, wheel=wheel, environment=environment, constraints=constraints, log=log)
    program(programs / "pip", text)
    here.first_in_path(programs)

    def extras_are_there() -> None:
        asked = set(re.findall(r"prognobench\[(\w+)\]", log.read_text(encoding="utf-8")))
        assert asked
        done = subprocess.run(
            [programs / "prognobench", "doctor"],
            env=here.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        lacking = set(re.findall(r"prognobench\[(\w+)\]", done.stdout))
        assert lacking, done.stdout
        assert not asked & lacking, done.stdout

    here.afterwards.append(extras_are_there)


def clone(here: Workspace) -> None:
    """Clone the repository into the folder, with what is changed in it, and have Python with pip.

    What the blocks write, they write into the clone.
    """
    git = shutil.which("git")
    if git is None or not (REPOSITORY / ".git").exists():
        pytest.skip("this is no checkout of git")
    subprocess.run([git, "clone", "--quiet", str(REPOSITORY), str(here.folder)], check=True)
    listed = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        own, other = REPOSITORY / name, here.folder / name
        if own.is_file():
            other.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(own, other)
        else:
            other.unlink(missing_ok=True)
    for name in ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH"):
        here.environment.pop(name, None)


def new_python(here: Workspace) -> None:
    """Make the reader's Python one with pip and nothing else."""
    environment = here.beside / "python"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    here.first_in_path(environment / "bin")


def _limited(here: Workspace, files: tuple[str, ...]) -> None:
    for name in ("PYTEST_CURRENT_TEST", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT"):
        here.environment.pop(name, None)
    here.environment["PYTEST_ADDOPTS"] = " ".join(files)


def quick_tests(here: Workspace) -> None:
    """Limit pytest to a few files with tests of each kind, since these blocks ask for all tests."""
    several = (
        "tests/test_plain_yaml.py",
        "tests/execution/test_processes.py::test_processes_end_when_their_parent_is_killed",
    )
    _limited(here, (*several, "tests/report/test_browser.py"))


def gpu_tests(here: Workspace) -> None:
    """Limit pytest to tests that need a GPU, without this one."""
    _limited(here, ("tests/benchmarks/test_gpu.py", "tests/execution/test_worker.py"))


SMALL_SCRIPTS = """#!/bin/sh
# The measurements of the page at the small sizes that they offer; those of all cells take hours.
case "$1" in
  benchmarks/speed.py) set -- "$@" --quick --cells linear ;;
  benchmarks/growth.py) set -- "$@" --quick ;;
esac
exec "{python}" "$@"
"""


def small_scripts(here: Workspace) -> None:
    """Have ``python`` run the scripts of ``benchmarks`` at small sizes."""
    program(here.beside / "bin" / "python", SMALL_SCRIPTS.format(python=sys.executable))


def _start(here: Workspace, command: list[str]) -> None:
    """Start a program that is ended, with what it started, after the blocks."""
    process = subprocess.Popen(
        command,
        env=here.environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def end() -> None:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    here.closing.callback(end)


def _ray_programs(here: Workspace) -> list[str]:
    """Give Ray a folder of its own, so that no other cluster of this machine is found."""
    # Its sockets are below it, and their paths may have about a hundred characters.
    folder = tempfile.mkdtemp(prefix="ray-")
    here.closing.callback(shutil.rmtree, folder, ignore_errors=True)
    here.environment |= {
        "RAY_TMPDIR": folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "150",  # 30 are few on a busy machine
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    ray = str(Path(sys.executable).with_name("ray"))
    program(here.beside / "bin" / "ray", f'#!/bin/sh\nexec "{ray}" "$@"\n')
    return [ray, "start", "--block", "--num-cpus=1", f"--object-store-memory={100 * 2**20}"]


def ray_cluster(here: Workspace) -> None:
    """Start a Ray cluster of two nodes on the loopback, with Ray's own commands."""
    node = _ray_programs(here)
    port, client = free_port(), free_port()
    address = f"127.0.0.1:{port}"
    # "auto" would also find the cluster of another program of this machine.
    here.environment["RAY_ADDRESS"] = address
    head = [f"--port={port}", f"--ray-client-server-port={client}", "--node-ip-address=127.0.0.1"]
    _start(here, [*node, "--head", *head, "--include-dashboard=false"])
    _wait_for_nodes(here, node[0], address, 1)
    _start(here, [*node, f"--address={address}"])
    _wait_for_nodes(here, node[0], address, 2)
    here.names |= {
        "head.example.org:6379": address,
        "head.example.org:10001": f"127.0.0.1:{client}",
    }


def _wait_for_nodes(here: Workspace, ray: str, address: str, count: int) -> None:
    command = [ray, "status", "--address", address]
    until = time.monotonic() + 120
    while time.monotonic() < until:
        done = subprocess.run(
            command, env=here.environment, capture_output=True, text=True, check=False
        )
        if len(re.findall(r"\bnode_\w+", done.stdout)) >= count:
            return
        time.sleep(0.5)
    raise AssertionError(f"no Ray cluster: {done.stdout}{done.stderr}")


SBATCH = """#!/usr/bin/env bash
# A job of SLURM on two nodes, both of them this machine; it ends before this command does, and
# what it started ends with it. It knows of no cluster but its own.
unset RAY_ADDRESS RAY_AUTH_MODE RAY_AUTH_TOKEN
export SLURM_JOB_ID={job} SLURM_JOB_NUM_NODES=2 SLURM_JOB_NODELIST="127.0.0.[1-2]"
export SLURM_CPUS_PER_TASK=1
script=$1
shift
grep -q "^#SBATCH --nodes=" "$script"
setsid sh -c 'echo $$ >"{group}"; exec bash "$@"' sh "$script" "$@" && ended=0 || ended=$?
for signal in TERM KILL; do
  kill -"$signal" -- "-$(cat "{group}")" 2>/dev/null && sleep 3
done
exit "$ended"
"""
SCONTROL = """#!/bin/sh
[ "$*" = "show hostnames 127.0.0.[1-2]" ] || exit 1
printf '127.0.0.1\\n127.0.0.2\\n'
"""
SRUN = """#!/bin/sh
# A step on one node, named or the other one.
while :; do
  case "$1" in
    --nodes=1 | --ntasks=1 | --nodelist=127.0.0.1 | --exclude=127.0.0.1 | --overlap) shift ;;
    -*) echo "srun: $1" >&2; exit 1 ;;
    *) break ;;
  esac
done
exec "$@"
"""


def slurm(here: Workspace) -> None:
    """Lay the script beside the page, with commands that do here what those of SLURM do."""
    shutil.copy(REPOSITORY / "docs" / "how_to" / "slurm.sh", here.folder / "slurm.sh")
    programs = here.beside / "bin"
    # The script makes its port of the job's number.
    job = 10_000 + free_port() % 10_000
    program(programs / "sbatch", SBATCH.format(job=job, group=here.beside / "job"))
    program(programs / "scontrol", SCONTROL)
    program(programs / "srun", SRUN)


def postgres(here: Workspace) -> None:
    """Start a PostgreSQL server, the page's database on it."""
    assert here.fixture is not None
    here.names["postgresql://me@db.example.org/bench"] = here.fixture("database")
