"""Every code block of README and docs works: it is run, or read as what it claims to be."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
import yaml
from blocks import (
    LANGUAGES,
    RADIOGRAPHS,
    Block,
    blocks,
    documents,
    extras,
    groups,
    markers,
    own_commands,
    parse_command,
)
from workspaces import PREPARED, Workspace, prepared, real_data

from prognobench.cohorts.load import CohortSpec, check_options
from prognobench.cohorts.source import get_source
from prognobench.spec import BenchmarkSpec, parse_spec

BASH = shutil.which("bash") or "bash"
PAGES = [name for name in documents() if blocks(name)]
MARKERS = markers()


def check(block: Block) -> None:
    """Raise where a block is not what it claims to be; nothing is run."""
    assert block.language in LANGUAGES, f"a block is marked '{block.language}'"
    unknown = set(block.needs) - MARKERS - extras() - {RADIOGRAPHS}
    assert not unknown, f"nothing is known of the needs {unknown}"
    if block.language == "bash":
        subprocess.run([BASH, "-n", "-c", block.source], check=True)
        for words in own_commands(block.source):
            parse_command(words)
    elif block.language == "python":
        ast.parse(block.source)
    elif block.language == "yaml":
        check_yaml(yaml.safe_load(block.source))


def check_yaml(data: dict) -> None:
    """Raise where YAML is no spec and no part of one."""
    if "backbones" in data:
        # What is to be known of a model of the hub comes with it, when the page is run.
        kept = [own for own in data["backbones"] if not str(own).startswith("hf-hub:")]
        data = {**data, "backbones": kept}
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
        check(Block(language, source, 1))


def test_an_unknown_need_would_be_found():
    # It would otherwise be a package that is never there, and its block never run.
    with pytest.raises(AssertionError, match="netwrok"):
        check(Block("bash", "true", 1, ("netwrok",)))


@pytest.mark.parametrize("page", documents())
def test_no_block_is_left_out(page):
    text = (Workspace.repository / page).read_text(encoding="utf-8")
    assert "not run" not in " ".join(re.findall(r"<!--(.*?)-->", text, re.DOTALL))


def case(page: str, needs: tuple[str, ...]) -> str:
    """Return the name of a page's blocks with the same needs."""
    return ", ".join((page, *needs))


def cases():
    """Yield the pages with what their blocks need, under the markers among it."""
    for page in PAGES:
        for needs, found in groups(page).items():
            if any(block.language in ("bash", "python") for block in found):
                own = [getattr(pytest.mark, need) for need in needs if need in MARKERS]
                own.append(pytest.mark.timeout(5400 if "slow" in needs else 1500))
                yield pytest.param(page, needs, marks=own, id=case(page, needs))


def missing(need: str) -> str | None:
    """Say why blocks with a need cannot be run here; None where they can."""
    if need == RADIOGRAPHS and not real_data().is_dir():
        return "the real radiographs are not here"
    if need == "gpu" and not torch.cuda.is_available():
        return "no CUDA device was found"
    if need in extras() - MARKERS | {"ray"} and find_spec(need) is None:
        return f"the extra '{need}' is not installed"
    return None


def command(block: Block, here: Workspace, earlier: list[str]) -> list[str]:
    """Return what runs a block; ``earlier`` are the Python blocks before it, and are added to."""
    source = here.as_here(block.source)
    if block.language == "python":
        earlier.append(source)
        return [sys.executable, "-c", "\n".join(earlier)]
    return [BASH, "-euo", "pipefail", "-c", source]


def not_printed(text: str, output: str) -> list[str]:
    """Return the lines of a block that do not stand in the output, in this order."""
    # Numbers and their units are printed with spaces that do not break, which look like others.
    found, rest = (
        [],
        [own.rstrip() for own in output.replace("\N{NO-BREAK SPACE}", " ").splitlines()],
    )
    for line in text.splitlines():
        pattern = re.compile(re.escape(line.rstrip()).replace(r"\.\.\.", ".*"))
        place = next((at for at, own in enumerate(rest) if pattern.fullmatch(own)), None)
        if place is None:
            found.append(line)
        else:
            rest = rest[place + 1 :]
    return found


def run_blocks(name: str, found: list[Block], here: Workspace) -> None:
    """Run blocks one after the other; raise at the first that fails."""
    spoken: list[str] = []
    output = ""
    for block in found:
        where = f"{name}:{block.line}"
        if block.language == "yaml":
            first = block.source.splitlines()[0]
            if first.startswith("# ") and first.endswith(".yaml"):
                (here.folder / first[2:]).write_text(block.source, encoding="utf-8")
        elif block.language == "text":
            lines = not_printed(block.source, output) if block.printed else []
            assert not lines, f"{where}: not printed: {lines}\n{output}"
        else:
            done = subprocess.run(
                command(block, here, spoken),
                cwd=here.folder,
                env=here.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{where}\n{done.stdout}\n{done.stderr}"
            output = done.stdout
    for verify in here.afterwards:
        verify()


def test_what_is_prepared_is_for_blocks_that_there_are():
    assert set(PREPARED) <= {own.id for own in cases()}


@pytest.mark.docs
@pytest.mark.parametrize(("page", "needs"), list(cases()))
def test_the_blocks_of_a_page_run_in_order(page, needs, request, tmp_path):
    """Later blocks see what earlier ones made, as a reader's would; Python blocks share names.

    Blocks that need the same are run together, in a folder of their own.
    """
    for need in needs:
        reason = missing(need)
        if reason:
            pytest.skip(reason)
    with prepared(case(page, needs), tmp_path, request) as here:
        run_blocks(page, groups(page)[needs], here)


@pytest.mark.parametrize(
    "broken",
    [
        [Block("bash", "false\ntrue", 1)],
        [Block("bash", "cat missing.txt | sort", 1)],
        [Block("python", "x = 1", 1), Block("python", "assert x == 2", 2)],
        [Block("bash", "echo one two", 1), Block("text", "one ...\nthree", 2, printed=True)],
        [Block("bash", "echo one; echo two", 1), Block("text", "two\none", 2, printed=True)],
    ],
)
def test_a_broken_block_fails(broken, tmp_path):
    with pytest.raises(AssertionError, match="a page:"):
        run_blocks("a page", broken, Workspace(tmp_path, tmp_path, dict(os.environ)))


def test_a_block_runs_with_what_stands_for_its_placeholders(tmp_path):
    here = Workspace(tmp_path, tmp_path, dict(os.environ), {"head.example.org": "127.0.0.1"})
    printed = Block("text", "at ...1", 2, printed=True)
    run_blocks("a page", [Block("bash", "echo at head.example.org", 1), printed], here)
