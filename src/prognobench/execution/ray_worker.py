"""A worker on a Ray cluster: one device, its backbone kept loaded; it writes no result."""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from prognobench.backbones.entry import BackboneEntry
from prognobench.backbones.fetch import on_disk
from prognobench.execution.drive import timed
from prognobench.execution.environment import describe_environment
from prognobench.execution.groups import Group
from prognobench.execution.processes import in_words
from prognobench.execution.task_images import TaskImages
from prognobench.execution.worker import Worker

LONGEST_WAIT = 20.0
"""Seconds after which a worker answers, even when there is nothing to tell."""


@dataclass(frozen=True)
class Message:
    """What a worker tells.

    Attributes:
        what: ``began``, ``done``, ``failed``, ``stopped`` (the worker itself failed) or ``free``.
        run: The run.
        content: A result, or kind and text of an error.
        seconds: As in :class:`~prognobench.execution.drive.Ended`.
        model: Files of what was trained, by their names, where they are kept.
    """

    what: str
    run: str = ""
    content: Any = None
    seconds: float = 0.0
    model: dict[str, bytes] | None = None


class RayWorker:
    """Does runs in a thread and answers meanwhile; made an actor by the driver."""

    def __init__(self, device: str, *, keep_models: bool) -> None:
        """Choose a device of this machine: ``cuda`` is the one that Ray has assigned."""
        self._models = Path(tempfile.mkdtemp(prefix="prognobench-models-")) if keep_models else None
        self._worker = Worker(torch.device(device), self._models)
        self._messages: queue.Queue[Message] = queue.Queue()
        if device == "cpu":
            torch.set_num_threads(1)

    def describe(self, entries: Sequence[BackboneEntry]) -> dict[str, Any]:
        """Say what this machine is, and what it lacks.

        Args:
            entries: The backbones that will be needed.

        Returns:
            ``environment``, ``version`` of this package and ``missing``: backbones without weights.
        """
        return {
            "environment": describe_environment(self._worker.device),
            "version": version("prognobench"),
            "missing": sorted({entry.name for entry in entries if not on_disk(entry)}),
        }

    def begin(self, group: Group, images: TaskImages) -> None:
        """Start runs that belong together; :meth:`messages` tells what comes of them."""
        threading.Thread(target=self._do, args=(group, images), daemon=True).start()

    def messages(self) -> list[Message]:
        """Wait until there is something to tell, a while at most, and return it."""
        found = []
        try:
            found.append(self._messages.get(timeout=LONGEST_WAIT))
            while True:
                found.append(self._messages.get_nowait())
        except queue.Empty:
            return found

    def _do(self, group: Group, images: TaskImages) -> None:
        def began(*runs: str) -> None:
            for run in runs:
                self._messages.put(Message("began", run))

        try:
            for run, outcome, seconds in timed(self._worker.work(group, images, began)):
                if isinstance(outcome, Exception):
                    self._messages.put(Message("failed", run, in_words(outcome), seconds))
                else:
                    self._messages.put(Message("done", run, outcome, seconds, self._model(run)))
        except Exception as error:
            self._messages.put(Message("stopped", content=in_words(error)))
        self._messages.put(Message("free"))

    def _model(self, run: str) -> dict[str, bytes] | None:
        """Return the files of a run's model, and delete them here: the driver keeps them."""
        folder = self._models / run if self._models else None
        if folder is None or not folder.is_dir():
            return None
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        shutil.rmtree(folder)
        return found
