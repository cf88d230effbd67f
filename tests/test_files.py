"""Files are whole or absent, leftovers go, seals are checked, and a cache may be missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from prognobench import files
from prognobench.errors import UserError
from prognobench.files import (
    CACHE_VARIABLE,
    WRITING,
    atomic_folder,
    atomic_path,
    cache_folder,
    file_name,
    in_cache,
    lasting_cache_folder,
    read_sealed,
    remove_leftovers,
    write_sealed,
    write_text,
)
from tmpfs import mounted


def hidden(folder):
    return [path for path in folder.rglob("*") if path.name.startswith(WRITING)]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "below" / "a.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        assert temporary.suffix == ".txt"
        raise RuntimeError
    assert target.read_text() == "old"
    assert not hidden(tmp_path)


def test_file_and_folder_are_flushed_before_and_after_the_renaming(tmp_path, monkeypatch):
    order = []
    kinds = {True: "folder", False: "file"}
    flush = os.fsync
    monkeypatch.setattr(
        files.os,
        "fsync",
        lambda handle: (
            order.append(kinds[files.Path(f"/proc/self/fd/{handle}").is_dir()]),
            flush(handle),
        ),
    )
    replace = files.Path.replace
    monkeypatch.setattr(
        files.Path, "replace", lambda *given: (order.append("rename"), replace(*given))[1]
    )
    write_text(tmp_path / "a.txt", "new")
    assert order == ["file", "rename", "folder"]


def test_a_folder_is_whole_or_absent(tmp_path):
    target = tmp_path / "model"
    with atomic_folder(target) as temporary:
        (temporary / "a").write_text("1")
    with pytest.raises(RuntimeError), atomic_folder(target) as temporary:
        (temporary / "b").write_text("2")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["a"]
    with atomic_folder(target) as temporary:
        (temporary / "c").write_text("3")
    assert [path.name for path in target.iterdir()] == ["c"]
    assert not hidden(tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from prognobench.files import atomic_path, atomic_folder
with atomic_path(Path(sys.argv[1]) / "below" / "a.txt") as file:
    with atomic_folder(Path(sys.argv[1]) / "model") as folder:
        file.write_text("half")
        (folder / "half").write_text("half")
        print("writing", flush=True)
        signal.pause()
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing a file and a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_leftovers_of_the_dead_go_and_the_work_of_the_living_stays(tmp_path, writer):
    others = tmp_path / ".mine-not-theirs.txt"
    others.write_text("another program's")
    assert len(hidden(tmp_path)) == 2
    assert remove_leftovers(tmp_path) == 0
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert remove_leftovers(tmp_path, older_than=3600) == 0
    assert len(hidden(tmp_path)) == 2
    assert remove_leftovers(tmp_path) == 2
    assert not hidden(tmp_path)
    assert others.read_text() == "another program's"


def test_a_link_is_no_leftover(tmp_path):
    (tmp_path / "real").write_text("x")
    (tmp_path / f"{WRITING}link").symlink_to(tmp_path / "real")
    assert remove_leftovers(tmp_path) == 0
    assert (tmp_path / "real").exists()


def test_a_leftover_taken_between_making_and_locking_is_made_again(tmp_path, monkeypatch):
    lock, taken = files._lock, []

    def late(handle, *, wait):
        if not taken:
            taken.append(0)  # before the call, which comes here again
            taken[0] = remove_leftovers(tmp_path)
        return lock(handle, wait=wait)

    monkeypatch.setattr(files, "_lock", late)
    write_text(tmp_path / "a.txt", "whole")
    assert taken == [1]
    assert (tmp_path / "a.txt").read_text() == "whole"


DAMAGE = {
    "nothing": b"",
    "no JSON": b"\x80\x04\x95garbage",
    "another kind": b"[1, 2]",
    "no mapping": b"7",
    "nested without end": b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_sealed_json_is_read_whole_or_not_at_all(tmp_path, damage):
    path = tmp_path / "a.json"
    assert read_sealed(path) is None
    write_sealed(path, {"rows": ["b", "a"], "count": 2})
    assert read_sealed(path) == {"rows": ["b", "a"], "count": 2}
    path.write_bytes(DAMAGE[damage])
    assert read_sealed(path) is None


def test_no_change_of_sealed_json_goes_unseen(tmp_path):
    path = tmp_path / "a.json"
    write_sealed(path, {"rows": ["b", "a"], "count": 2})
    good, value = path.read_bytes(), json.loads(path.read_text())
    for place in range(len(good)):
        for bit in (0, 3, 6):
            path.write_bytes(good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :])
            found = read_sealed(path)
            # White space may change; nothing that is said may.
            assert found is None or {**found, files.SEAL: value[files.SEAL]} == value


@pytest.fixture
def read_only(tmp_path):
    """A folder on a file system that is read-only, with one file in it."""
    with mounted(tmp_path / "read-only") as place:
        (place / "weights").mkdir()
        (place / "weights" / "kept").write_text("read me")
        subprocess.run(["/bin/mount", "-o", "remount,ro", place], check=True)
        yield place


def test_a_cache_that_cannot_be_written_is_read_and_replaced(read_only, monkeypatch, caplog):
    monkeypatch.setenv(CACHE_VARIABLE, str(read_only))
    folder = cache_folder("features", "deep")
    assert not folder.is_relative_to(read_only)
    write_text(folder / "a", "kept for now")
    assert cache_folder("features", "deep") == folder
    assert in_cache("features", "deep", "a").read_text() == "kept for now"
    assert in_cache("weights", "kept").read_text() == "read me"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{read_only} cannot be written to (Read-only file system)" in caplog.text
    with pytest.raises(UserError, match=rf"cannot be written to .* set {CACHE_VARIABLE}"):
        lasting_cache_folder("weights")


def test_a_file_in_the_place_of_the_cache_is_survived(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    assert cache_folder("features").is_dir()
    with pytest.raises(UserError, match="cannot be written to"):
        lasting_cache_folder("weights")


def test_what_replaced_the_cache_ends_with_the_process(tmp_path):
    (tmp_path / "cache").write_text("a file")
    code = "from prognobench.files import cache_folder; print(cache_folder('features'))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, CACHE_VARIABLE: str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written to" in found.stderr
    assert not files.Path(found.stdout.strip()).exists()


HOSTILE = [
    "../../etc/passwd", "..", ".", "", "/", "a/../../b", "a\\..\\..\\b", "C:\\x", "a\0b", "a\nb",
    "~root", "-rf", "$(id)", "a;b", "a*?", "<script>", "con:", "x" * 5000, "é" * 300, "💀" * 100,
    ".hidden", f"{files.WRITING}x", "a:b",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_leads_nowhere_and_can_be_written(tmp_path, text):
    path = tmp_path / "folder" / f"{file_name(text)}-full_data-repeat0-fold0.csv"
    assert path.resolve().parent == (tmp_path / "folder").resolve()
    write_text(path, "whole")
    assert [own.name for own in path.parent.iterdir()] == [path.name]
    assert not path.name.startswith((".", "-", "~"))


def test_names_stay_apart_and_plain_ones_as_they_are():
    assert len({file_name(text) for text in HOSTILE}) == len(HOSTILE)
    assert file_name("synthetic/mortality") == "synthetic-mortality"
    assert file_name("my cohort (v2)/icu") == "my cohort (v2)-icu"
    assert file_name("Köln/icu") == "Köln-icu"
