"""The tables of a downloaded image collection, wherever below its folder they were put."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from prognobench.cohorts.dicom_headers import tree_files
from prognobench.errors import UserError


def collection_table(root: Path, patterns: tuple[str, ...], without: str = "") -> Path:
    """Return the one table of a collection, having seen that there are DICOM files as well.

    Args:
        root: The folder of the download.
        patterns: What the table's name may look like, in any case; the first that is there
            counts.
        without: What its name must not look like.

    Raises:
        UserError: Naming all that the folder lacks, or the tables of which one must be chosen.
    """
    if not root.is_dir():
        raise UserError(f"the folder {root} does not exist: check the root")
    files = sorted(tree_files(root))
    names = {path: path.rpartition("/")[2].lower() for path in files}
    found: list[str] = []
    for pattern in patterns:
        matching = [path for path in files if fnmatch(names[path], pattern.lower())]
        found = [path for path in matching if not fnmatch(names[path], without.lower())]
        if found:
            break
    lacking = [] if found else [f"the table {patterns[0]}"]
    if not any(name.endswith(".dcm") for name in names.values()):
        lacking.append("any DICOM file (.dcm)")
    if lacking:
        raise UserError(
            f"the folder {root} lacks {' and '.join(lacking)}: give as root the folder of the "
            "download, and put the table into it"
        )
    if len(found) > 1:
        raise UserError(
            f"the folder {root} has {len(found)} tables like {pattern}, such as {found[0]} and "
            f"{found[1]}: leave one of them there"
        )
    return root / found[0]
