"""The command line, called in the process of the tests."""

from __future__ import annotations

import sys

import pytest

from prognobench.cli import main


@pytest.fixture
def call(capsys, monkeypatch):
    """Call the command line in this process; returns exit code, output and errors."""

    def calling(*words):
        monkeypatch.setattr(sys, "argv", ["prognobench", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return calling
