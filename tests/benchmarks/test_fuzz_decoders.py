"""benchmarks/fuzz_decoders.py at a few hundred files, and what it would find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FILES = 300


def test_broken_files_end_as_images_or_named_drops(tmp_path):
    # In a process of its own: the memory of other tests' processes is none of its business.
    program = Path(__file__).parents[2] / "benchmarks" / "fuzz_decoders.py"
    output = tmp_path / "found.json"
    command = [sys.executable, str(program), "--files", str(FILES), "--output", str(output)]
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads(output.read_text())
    assert found["violations"] == []
    assert sum(found["outcomes"].values()) == sum(found["headers"].values()) == FILES
    assert 30 < found["outcomes"]["decoded"] < FILES - 30
    assert found["headers"]["readable"] > 10
    assert len(found["outcomes"]) > 10
    assert found["worst_seconds"] < 30
    assert found["peak_process_mib"] < 2048


def test_every_sound_file_is_decoded():
    import fuzz_decoders
    from mutations import sound_files
    from prognobench.images.decode import ImageError, decode_bytes

    failed = {}
    for name, data in sound_files().items():
        try:
            decode_bytes(data)
        except ImageError as error:
            failed[name] = str(error)
    # Two files of other makers are there for their sequences, and one breaks the standard.
    assert set(failed) == {"dicom UN_sequence", "dicom nested_priv_SQ", "dicom JPEG-lossy"}
    assert fuzz_decoders.broken_file(5, sound_files()) == fuzz_decoders.broken_file(
        5, sound_files()
    )


@pytest.mark.parametrize("number", range(3))
def test_every_kind_of_harm_is_a_drop_or_an_image(number, tmp_path):
    from crafted import CRAFTED, HEAVY
    from prognobench.images.decoders import decode_files

    files = {}
    for name in set(CRAFTED) - HEAVY:
        files[name] = tmp_path / name
        files[name].write_bytes(CRAFTED[name](np.random.default_rng(number)))
    found = list(decode_files(files, lambda *_: {"sizes": [32]}))
    assert {own.name for own in found} == set(files)
    assert not [own for own in found if own.unexpected or (own.failure is None) != bool(own.images)]


def test_what_should_not_be_is_a_violation():
    import fuzz_decoders
    from prognobench.images.decoders import Outcome

    square = np.zeros((fuzz_decoders.SIZE,) * 2, np.uint8)
    assert fuzz_decoders.wrong_with(Outcome("a", images=[square])) == []
    assert fuzz_decoders.wrong_with(Outcome("a", failure="broken")) == []
    for bad in (
        Outcome("a"),
        Outcome("a", images=[square[:9]]),
        Outcome("a", failure=" "),
        Outcome("a", failure="x", unexpected="KeyError"),
        Outcome("a", failure="x", seconds=1e3),
    ):
        assert fuzz_decoders.wrong_with(bad)
