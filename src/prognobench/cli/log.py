"""The log of a command in its output folder: what was done when, and nothing of any patient.

It holds what it is told in our own words: identities of runs, names of candidates, counts, times,
and kinds of errors with the places in the code. Sentences of errors and warnings of libraries are
left out, since they may name patients, files or DICOM identifiers; the reasons of failed runs stand
in ``results.db``, beside the predictions.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

import prognobench
from prognobench.errors import UserError

FOLDER = "logs"


class Log:
    """The log of one command.

    Attributes:
        path: The file.
    """

    def __init__(self, output: Path, verb: str) -> None:
        """Begin ``logs/<UTC time>-<verb>-<process>.log`` in an output folder.

        Raises:
            UserError: When it cannot be written.
        """
        began = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.path = output / FOLDER / f"{began}-{verb}-{os.getpid()}.log"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handler = logging.FileHandler(self.path, encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"the log {self.path} cannot be written ({error.strerror}): make the folder "
                "writable, or name another with --output"
            ) from error
        formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s")
        formatter.converter = time.gmtime
        self._handler.setFormatter(formatter)
        # A logger of its own, unknown to the libraries: nothing of theirs comes in.
        self._logger = logging.Logger(f"prognobench.{verb}")
        self._logger.addHandler(self._handler)

    def say(self, event: str, **facts: object) -> None:
        """Note what happened, with facts such as ``run=3f2a``."""
        self._logger.info(_line(event, facts))

    def wrong(self, event: str, **facts: object) -> None:
        """Note what went wrong."""
        self._logger.error(_line(event, facts))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


@contextlib.contextmanager
def logged(output: Path, verb: str, **facts: object) -> Iterator[Log]:
    """Keep a log while the block runs, and note how it ended.

    Args:
        output: The output folder, which is there.
        verb: The verb.
        **facts: What it was asked, without anything of a patient.
    """
    log = Log(output, verb)
    began = time.monotonic()
    log.say(f"prognobench {prognobench.__version__} {verb}", **facts)
    try:
        yield log
    except UserError:
        log.wrong("ended: the input is wrong; the sentence was shown on the terminal")
        raise
    except typer.Exit as error:
        log.say("ended", exit_code=error.exit_code, seconds=round(time.monotonic() - began, 1))
        raise
    except (KeyboardInterrupt, SystemExit):
        log.say("interrupted", seconds=round(time.monotonic() - began, 1))
        raise
    except BaseException as error:
        log.wrong(f"broken: {type(error).__name__}", at=" < ".join(_places(error)))
        raise
    else:
        log.say("ended", exit_code=0, seconds=round(time.monotonic() - began, 1))
    finally:
        log.close()


def _places(error: BaseException) -> Iterator[str]:
    """Yield where an exception passed, innermost first, without the folders of this machine."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        yield f"{'/'.join(Path(frame.filename).parts[-3:])}:{frame.lineno} {frame.name}"


def _line(event: str, facts: Mapping[str, Any]) -> str:
    told = (f"{key}={' '.join(str(value).split())}" for key, value in facts.items())
    return " ".join([event, *told])
