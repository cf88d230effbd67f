"""Where maps lie in an output folder; light enough to be asked for where nothing is drawn."""

from __future__ import annotations

from pathlib import Path

from prognobench.files import file_name

FOLDER = "saliency"
"""Folder of the output folder that holds the maps, a folder a task."""

DESCRIPTION = "saliency.json"
"""What was drawn and how, and the examples."""


def task_folder(output: Path, task: str) -> Path:
    """Return the folder of a task's maps.

    Args:
        output: The output folder.
        task: The task's name.
    """
    return output / FOLDER / file_name(task)
