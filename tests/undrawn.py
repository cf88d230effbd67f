"""Reports without figures, where a test is about what else is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prognobench.report import page
from prognobench.report.gallery import Gallery


@contextmanager
def undrawn() -> Iterator[None]:
    """Draw no figures within the block: in a small report that takes longer than all else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "gallery", lambda *_: Gallery((), {}))
        yield
