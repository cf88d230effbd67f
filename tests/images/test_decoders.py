"""Files decoded in processes of their own: how often these are asked, and what ends them."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from make_images import encoded

from prognobench.images import decoder as module
from prognobench.images.decoders import decode_files, stop_decoders
from prognobench.images.store import build_store

ENDED_BY_A_FILE = """
import os, signal
from prognobench.images import decoder_process as process
decode = process._decode
def deadly(data, request):
    if data.endswith(b"deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(data, request)
process._decode = deadly
process.main()
"""


@pytest.fixture
def files(tmp_path):
    drawn = np.random.default_rng(0)
    found = {}
    for place in range(6):
        side = 20 + 40 * place
        found[f"i{place}"] = tmp_path / f"{place}.png"
        noise = drawn.integers(0, 256, (side, side), dtype=np.uint8)
        found[f"i{place}"].write_bytes(encoded(noise))
    return found


@pytest.fixture
def asked(monkeypatch):
    """The requests that processes were asked to answer."""
    sent = []
    original = module.Decoder.ask

    def counting(decoder, request, after=None):
        sent.append(dict(request))
        return original(decoder, request, after)

    monkeypatch.setattr(module.Decoder, "ask", counting)
    return sent


@pytest.fixture
def told(monkeypatch):
    """What processes were told, and how many answers had been read from them by then."""
    found, answers = [], []
    write, read = module._write, module._read

    def writing(process, request):
        found.append((Path(request["read"]).name, len(answers)))
        write(process, request)

    def reading(process, count):
        if count == module.LENGTH.size:
            answers.append(count)
        return read(process, count)

    monkeypatch.setattr(module, "_write", writing)
    monkeypatch.setattr(module, "_read", reading)
    return found


def test_an_empty_store_asks_once_a_file_and_the_largest_first(files, tmp_path, asked):
    made = build_store(files, [16], tmp_path / "store")
    assert not made.failures
    assert asked[0]["read"] == str(files["i5"])
    assert len(asked) == len(files)
    assert made.digests == {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()
    }


def test_a_process_has_the_next_file_at_hand_and_the_last_ones_go_to_who_is_free(files, told):
    found = list(decode_files(files, lambda *_: {"sizes": [8]}))
    assert len(found) == len(files)
    assert sorted(name for name, _ in told) == [f"{place}.png" for place in range(6)]
    # The fifth was sent after the third answer, the last when nothing else was asked for.
    assert [answers for _, answers in told] == [0, 0, 1, 2, 3, 5]


def test_a_file_whose_making_hangs_on_its_digest_has_none_sent_after_it(files, told):
    digests = {}

    def wanted(name, digest):
        digests[name] = digest
        return

    found = list(decode_files(files, wanted))
    assert digests == {own.name: own.digest for own in found}
    assert [answers for _, answers in told] == [0, 1, 2, 3, 4, 5]


def test_a_store_with_images_asks_for_the_digest_first(files, tmp_path, asked):
    last = files.pop("i5")
    build_store(files, [16], tmp_path / "store")
    asked.clear()
    # The same content under another name is not decoded, other content is.
    copy = tmp_path / "copy.png"
    copy.write_bytes(files["i0"].read_bytes())
    made = build_store({"copy": copy, "new": last}, [16], tmp_path / "store")
    assert [sorted(request) for request in asked if request.get("read") == str(copy)] == [["read"]]
    assert len(asked) == 3
    assert sorted(made.stores[16].rows) == ["copy", "new"]


def test_a_file_that_ends_its_process_is_named_with_its_digest_and_stops_nothing(
    files, monkeypatch, asked
):
    deadly = files["i3"]
    deadly.write_bytes(deadly.read_bytes() + b"deadly")
    stop_decoders()
    started = []

    def start():
        started.append(1)
        return subprocess.Popen(
            [sys.executable, "-c", ENDED_BY_A_FILE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    monkeypatch.setattr(module, "_start", start)
    found = {own.name: own for own in decode_files(files, lambda *_: {"sizes": [8]})}
    stop_decoders()
    assert found["i3"].failure == "the decoder broke down on it"
    assert found["i3"].digest == hashlib.sha256(deadly.read_bytes()).hexdigest()
    assert not found["i3"].lasting
    assert len(started) == 3  # the file is tried twice
    assert all(own.images is not None for name, own in found.items() if name != "i3")
