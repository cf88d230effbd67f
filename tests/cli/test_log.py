"""The log of a command: what was done, and nothing of any patient."""

from __future__ import annotations

import re

import pytest
import typer

from prognobench.cli.log import logged
from prognobench.errors import UserError

PATIENT = "PAT-4711"


def only_log(folder):
    (path,) = (folder / "logs").iterdir()
    return path, path.read_text(encoding="utf-8")


def test_a_command_leaves_one_file_that_says_what_was_done(tmp_path):
    with logged(tmp_path, "run", limit=3) as log:
        log.say("done", run="3f2a", backbone="demo_vit", strategy="lora\nr=8")
    path, text = only_log(tmp_path)
    assert re.fullmatch(r"\d{8}T\d{6}Z-run-\d+\.log", path.name)
    first, done, last = text.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+Z INFO prognobench \S+ run limit=3", first)
    assert done.endswith("INFO done run=3f2a backbone=demo_vit strategy=lora r=8")
    assert "ended exit_code=0" in last


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UserError(f"the image of {PATIENT} cannot be read"), "the input is wrong"),
        (ValueError(f"patient {PATIENT}"), "broken: ValueError at="),
        (typer.Exit(1), "ended exit_code=1"),
        (KeyboardInterrupt(PATIENT), "interrupted"),
    ],
)
def test_an_error_is_noted_by_its_kind_and_never_by_its_sentence(tmp_path, error, told):
    with pytest.raises(type(error)), logged(tmp_path, "run"):
        raise error
    _, text = only_log(tmp_path)
    assert told in text
    assert PATIENT not in text


def test_where_a_broken_command_broke_is_noted_without_folders_of_the_machine(tmp_path):
    with pytest.raises(ZeroDivisionError), logged(tmp_path, "run"):
        1 / 0  # noqa: B018 - it raises
    _, text = only_log(tmp_path)
    assert "tests/cli/test_log.py:" in text
    assert str(tmp_path.parent) not in text


def test_what_libraries_log_and_warn_of_does_not_come_in(tmp_path):
    import logging
    import warnings

    with logged(tmp_path, "run"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn(f"Invalid value for VR UI: '{PATIENT}'", stacklevel=1)
        logging.getLogger("pydicom").error(PATIENT)
        logging.getLogger().error(PATIENT)
    assert PATIENT not in only_log(tmp_path)[1]


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "logs").write_text("no folder")
    with pytest.raises(UserError, match=r"the log .* cannot be written"), logged(tmp_path, "run"):
        pass
