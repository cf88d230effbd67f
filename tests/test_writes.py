"""Every write goes through ``prognobench.files``; clocks that may jump measure nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import prognobench

SOURCE = Path(prognobench.__file__).parent

WRITERS = {"write_text", "write_bytes", "touch", "copyfile", "copy2", "copytree", "move", "rename"}
"""Methods and functions that write or rename by themselves."""

PATH_WRITERS = {"to_parquet", "to_csv", "savefig", "save", "save_file", "save_pretrained", "tofile"}
"""Those that are given where to write: it has to be a temporary path."""

TEMPORARY = {"temporary", "stream", "folder", "text", "beside", "buffer"}
"""Names of what they may be given: what ``atomic_path`` and ``atomic_folder`` gave, or memory."""

ALLOWED = {
    ("files.py", "write_text"): "atomic_path gives the path",
    ("backbones/download.py", "open"): "a part that the next try goes on with, never read as whole",
    ("images/append_only.py", "open"): "each line is sealed, so that a torn one is passed over",
    ("images/pixel_file.py", "open"): "a row counts once its sealed line stands in the index",
    ("images/pixel_file.py", "touch"): "an empty file of pixels is one without rows",
    ("images/decoder_process.py", "open"): "it is where nothing is kept",
    ("execution/processes.py", "write_text"): "it tells the system whom to end first, no file",
}
"""What writes by itself, and why that is right."""

CLOCKS = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow")}
CLOCKS_ALLOWED = {
    "files.py",
    "results/store.py",
    "results/shared.py",
    "images/file_digests.py",
    "sinks/to_mlflow.py",
}
"""The age of leftovers, which a lock guards besides, when a run began, for people to read, when a
value was logged, and whether a file was changed a moment ago, of which the file system tells the
time of day."""


def calls(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute):
                yield called.attr, ast.unparse(called.value), node
            elif isinstance(called, ast.Name):
                yield called.id, "", node


def _keywords(node):
    return {keyword.arg for keyword in node.keywords}


def writes(source, place):
    """Return the calls of a module that write to a path that nobody makes whole."""
    found = []
    for name, owner, node in calls(source):
        given = [ast.unparse(argument) for argument in node.args]
        words = {word for argument in given for word in argument.replace("(", " ").split()}
        temporary = bool((words | {owner}) & TEMPORARY) or any(
            word.startswith(tuple(TEMPORARY)) for word in words
        )
        own = name in WRITERS and owner != "" and not temporary
        # pandas gives the text back where it is told no path.
        text = name == "to_csv" and not given and "path_or_buf" not in _keywords(node)
        own |= name in PATH_WRITERS and not temporary and not text
        own &= not (name == "rename" and not given)  # columns of a table
        modes = [one.value for one in node.args if isinstance(one, ast.Constant)]
        written = any(set("wax+") & set(mode) for mode in modes if isinstance(mode, str))
        own |= name == "open" and "temporary" not in owner and written
        if own and (place, name) not in ALLOWED:
            found.append(f"{place}:{node.lineno} {ast.unparse(node)[:80]}")
    return found


def clocks(source, place):
    return [
        f"{place}:{node.lineno}"
        for name, owner, node in calls(source)
        if (owner.rpartition(".")[2], name) in CLOCKS and place not in CLOCKS_ALLOWED
    ]


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8")


def test_every_write_is_atomic():
    assert not [line for place, source in modules() for line in writes(source, place)]


def test_durations_are_measured_by_clocks_that_never_jump():
    assert not [line for place, source in modules() for line in clocks(source, place)]


@pytest.mark.parametrize(
    "source",
    [
        "(output / 'a').write_text('x')",
        "table.to_csv(output / 'a.csv')",
        "table.to_csv(path_or_buf=output / 'a.csv')",
        "figure.savefig(path)",
        "with path.open('w') as stream: pass",
        "with open(path, 'ab') as stream: pass",
        "shutil.copyfile(a, b)",
        "image.save(target, format='PNG')",
    ],
)
def test_a_write_of_its_own_would_be_found(source):
    assert writes(source, "report/page.py")


def test_a_jumping_clock_would_be_found():
    assert clocks("import time\nbegan = time.time()", "training/pace.py")
    assert clocks("datetime.datetime.now()", "report/page.py")
