"""Where the files of weights are on this machine."""

from __future__ import annotations

from pathlib import Path

from prognobench.backbones.entry import BackboneEntry, LocalFile, PackagedFile
from prognobench.errors import UserError


def locate(entry: BackboneEntry) -> Path:
    """Return the path of an entry's file of weights; nothing is fetched.

    Raises:
        UserError: When it is not on this machine.
    """
    match entry.weights.file:
        case PackagedFile(locate=find):
            return find()
        case LocalFile(path=path):
            return path
    raise UserError(f"the weights of {entry.name} are not on this machine: name their file")
