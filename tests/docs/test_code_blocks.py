"""Every code block of README and docs works: it is run, or read as what it claims to be."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
import yaml
from blocks import LANGUAGES, Block, blocks, documents, own_commands, parse_command
from workspaces import PREPARED, real_data, shims

from prognobench.cohorts.load import CohortSpec, check_options
from prognobench.cohorts.source import get_source
from prognobench.spec import BenchmarkSpec, parse_spec

BASH = shutil.which("bash") or "bash"
PAGES = [name for name in documents() if blocks(name)]


def check(block: Block) -> None:
    """Raise where a block is not what it claims to be; nothing is run."""
    assert block.language in LANGUAGES, f"a block is marked '{block.language}'"
    if block.language == "bash":
        subprocess.run([BASH, "-n", "-c", block.source], check=True)
        for words in own_commands(block.source):
            parse_command(words)
    elif block.language == "python":
        ast.parse(block.source)
    elif block.language == "yaml":
        check_yaml(yaml.safe_load(block.source), block.reason is None)


def check_yaml(data: dict, whole: bool) -> None:
    """Raise where YAML is no spec and no part of one; ``whole`` asks for files it names, too."""
    if not whole:
        assert set(data) <= set(BenchmarkSpec.model_fields)
        return
    if "name" in data:
        parse_spec(data, "the page")
    elif set(data) == {"cohort"} and "source" in data["cohort"]:
        asked = CohortSpec.model_validate(data["cohort"]).settings()
        source = asked.pop("source")
        check_options(source, get_source(source).options, asked)
    else:
        unknown = set(data) - set(BenchmarkSpec.model_fields)
        assert not unknown, f"unknown keys {unknown}"
        rest = {} if "tasks" in data else {"cohort": {"source": "synthetic"}, "endpoints": ["icu"]}
        rest |= {"name": "x", "backbones": ["demo_vit"], "strategies": ["linear"]}
        parse_spec({**rest, **data}, "page")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_what_it_claims_to_be(page):
    for block in blocks(page):
        try:
            check(block)
        except BaseException as error:
            pytest.fail(f"{page}:{block.line}: {type(error).__name__}: {error}")


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("bash", "prognobench run spec.yaml --outptu there"),
        ("bash", "if true; then"),
        ("bash", "prognobench rnu spec.yaml"),
        ("yaml", "name: x\ncohort: {source: synthetic}\nendpoints: [icu]\nbackbones: [demo_vitt]"),
        ("yaml", "cohort: {source: dicom, root: x, tabel: y}"),
        ("yaml", "recipe: {epoch: 3}"),
        ("python", "print("),
        ("", "anything"),
    ],
)
def test_a_wrong_block_would_be_found(language, source):
    with pytest.raises(BaseException):  # noqa: B017 - each kind has an error of its own
        check(Block(language, source, 1, None))


def command(block: Block, earlier: list[str]) -> list[str]:
    """Return what runs a block; ``earlier`` are the Python blocks before it, and are added to."""
    if block.language == "python":
        earlier.append(block.source)
        return [sys.executable, "-c", "\n".join(earlier)]
    return [BASH, "-euo", "pipefail", "-c", block.source]


@pytest.mark.docs
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run_in_order(page, tmp_path):
    """Later blocks see what earlier ones made, as a reader's would; Python blocks share names."""
    wanted = [
        block
        for block in blocks(page)
        if block.reason is None and all(find_spec(name) for name in block.needs)
    ]
    if not any(block.language in ("bash", "python") for block in wanted):
        pytest.skip("the page has no block to run")
    workspace = tmp_path / "work"
    workspace.mkdir()
    if real_data().is_dir():
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared" / "data").symlink_to(real_data())
    for prepare in PREPARED.get(page, ()):
        prepare(workspace)
    environment = {
        **os.environ,
        "PATH": f"{shims(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    spoken: list[str] = []
    for block in wanted:
        if block.language == "yaml":
            first = block.source.splitlines()[0]
            if first.startswith("# ") and first.endswith(".yaml"):
                (workspace / first[2:]).write_text(block.source, encoding="utf-8")
            continue
        if block.language == "text":
            continue
        if "../shared/data" in block.source and not real_data().is_dir():
            pytest.skip("the real radiographs are not here")
        done = subprocess.run(
            command(block, spoken),
            cwd=workspace,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{page}:{block.line}\n{done.stdout}\n{done.stderr}"
