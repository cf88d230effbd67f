"""Tables of millions of rows as CSV files, in the words that pandas would give them."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute

from prognobench.files import atomic_path
from prognobench.own_process import own_command, own_environment

ROWS_TOGETHER = 16_384
"""Rows that are put together at once: few enough for their memory to be used again."""

LOOK_EVERY = 0.05
"""Seconds between two looks at whether the other process has ended."""

LONG = 500_000
"""Rows from which on another process pays, which takes a second to begin."""

SMALLEST_ALIKE, LARGEST_ALIKE = 1e-3, 1e9
"""Between these Arrow writes a number that is not whole as Python does."""

TEXT = pa.large_string()


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as :meth:`pandas.DataFrame.to_csv` does without its index, but quickly.

    Millions of rows hold few different words: each is put into a field once, and Arrow joins them.

    Args:
        path: Where to.
        table: The table, of two columns or more.
    """
    columns = [_fields(column) for _, column in table.items()]
    comma, end, nothing = (pa.scalar(word, TEXT) for word in (",", "\n", ""))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(table.head(0).to_csv(index=False, lineterminator="\n").encode())
        for first in range(0, len(table), ROWS_TOGETHER):
            rows = slice(first, first + ROWS_TOGETHER)
            *parts, last = (fields(rows) for fields in columns)
            last = compute.binary_join_element_wise(last, end, nothing)
            lines = compute.binary_join_element_wise(*parts, last, comma)
            # One after the other they stand in memory as they shall in the file.
            _, offsets, text = lines.buffers()
            size = int(np.frombuffer(offsets, np.int64)[len(lines)])
            file.write(memoryview(text)[:size])


class InterruptedWritingError(Exception):
    """Nobody waits any more for what is being written."""


def write_csv_beside(path: Path, table: pd.DataFrame, kept: Path, stop: threading.Event) -> None:
    """Write a table as :func:`write_csv` does, by another process where it is long.

    Threads would not do: they take turns at Python, some dozen times for every block of rows.

    Args:
        path: Where to.
        table: The table.
        kept: The table as a Parquet file.
        stop: Set where it shall be left.

    Raises:
        InterruptedWritingError: When it was left.
    """
    if len(table) >= LONG:
        process = subprocess.Popen(  # noqa: S603  a module of this program, and two files
            own_command("prognobench.report.csv_tables", str(kept), str(path)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=own_environment(),
        )
        while process.poll() is None and not stop.wait(LOOK_EVERY):
            pass
        if stop.is_set():
            process.terminate()
            process.wait()
        elif process.returncode == 0:
            return
    if stop.is_set():
        raise InterruptedWritingError
    write_csv(path, table)  # also what says why the other process could not


def _fields(column: pd.Series) -> Callable[[slice], pa.Array]:
    """Return what gives the fields of some rows of a column."""
    if column.dtype == np.float64:
        values = column.to_numpy()
        return lambda rows: _numbers(values[rows])
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes, different = column.cat.codes.to_numpy(), column.cat.categories
    else:
        codes, different = pd.factorize(column)
    words = pa.array([*_words(different.tolist()), ""], TEXT)
    codes = np.where(codes < 0, len(words) - 1, codes)  # a missing value has the code -1
    return lambda rows: words.take(pa.array(codes[rows]))


def _numbers(values: NDArray[np.float64]) -> pa.Array:
    """Return numbers as Python writes them: the shortest digits that say which number it is.

    Arrow finds the same digits; where it puts them otherwise (whole, tiny and huge numbers),
    Python writes each different number once.
    """
    size = np.abs(values)
    with np.errstate(invalid="ignore"):
        alike = (size >= SMALLEST_ALIKE) & (size < LARGEST_ALIKE) & (values != np.rint(values))
    # By their bits: 0 and -0 are written differently.
    codes, bits = pd.factorize(values[~alike].view(np.int64))
    different = bits.view(np.float64).tolist()
    words = pa.array(["" if np.isnan(value) else repr(value) for value in different], TEXT)
    others = words.take(pa.array(codes))
    text = pa.array(np.where(alike, values, 0.5)).cast(TEXT)
    return compute.replace_with_mask(text, pa.array(~alike), others)


def _words(values: list[Any]) -> list[str]:
    """Return values as fields of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    words = []
    for value in values:
        text.seek(0)
        text.truncate()
        writer.writerow([value, ""])
        words.append(text.getvalue()[:-2])
    return words


if __name__ == "__main__":
    write_csv(Path(sys.argv[2]), pd.read_parquet(sys.argv[1]))
