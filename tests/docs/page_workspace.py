"""Where the blocks of a page of the documentation are run."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from blocks import REPOSITORY


@dataclass
class Workspace:
    """Where the blocks of a page are run.

    Attributes:
        folder: The folder that the reader stands in.
        beside: A folder around it, for what the reader does not see.
        environment: The variables that the blocks are run with.
        names: What stands here for names that a reader would replace, such as hosts.
        afterwards: What is looked at when all blocks have run; each raises where it is not so.
        closing: What ends with the blocks.
        fixture: Gives a fixture of pytest by its name.
    """

    repository: ClassVar[Path] = REPOSITORY
    folder: Path
    beside: Path
    environment: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    closing: ExitStack = field(default_factory=ExitStack)
    fixture: Callable[[str], Any] | None = None

    def as_here(self, source: str) -> str:
        """Return lines of a page with the names of this machine."""
        for name, own in self.names.items():
            source = source.replace(name, own)
        return source

    def first_in_path(self, folder: Path) -> None:
        """Have programs looked for in a folder before all others."""
        self.environment["PATH"] = f"{folder}{os.pathsep}{self.environment['PATH']}"


def program(path: Path, text: str) -> None:
    """Write a program of text."""
    path.write_text(text, encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def free_port() -> int:
    """Return a port of the loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
