"""Putting a file into the standard cache of the Hugging Face hub.

The hub's own client begins again when a download was interrupted (huggingface_hub 1.x writes to a
name of its own each time), which for weights of gigabytes on a hospital's line may never end. So
the file is fetched by :mod:`prognobench.backbones.download` and then put where the client looks
for it; the layout is the documented one ("Understand caching" of huggingface_hub).
"""

from __future__ import annotations

import os
from pathlib import Path

from prognobench.backbones.entry import HubFile
from prognobench.files import atomic_path, write_text


def place_in_hub_cache(arrived: Path, file: HubFile, commit: str, etag: str) -> Path:
    """Move a file into the hub's cache.

    Args:
        arrived: The whole file; it is moved.
        file: Which file of the hub it is.
        commit: The commit that its revision stands for.
        etag: What the hub calls the content, under which the cache keeps it once.

    Returns:
        Its path in the cache.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    base = Path(constants.HF_HUB_CACHE) / repo_folder_name(
        repo_id=file.repository, repo_type="model"
    )
    blob = base / "blobs" / etag
    pointer = base / "snapshots" / commit / file.filename
    for folder in (blob.parent, pointer.parent):
        folder.mkdir(parents=True, exist_ok=True)
    if file.revision != commit:
        write_text(base / "refs" / file.revision, commit)
    _move(arrived, blob)
    pointer.unlink(missing_ok=True)
    try:
        pointer.symlink_to(os.path.relpath(blob, pointer.parent))
    except OSError:
        # As the hub's client does where there are no symbolic links.
        _move(blob, pointer)
    return pointer


def _move(file: Path, target: Path) -> None:
    import shutil

    try:
        file.replace(target)
    except OSError:
        # Another file system: copied beside the target, then renamed.
        with atomic_path(target) as beside:
            shutil.copyfile(file, beside)
        file.unlink()
