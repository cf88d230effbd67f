"""How many runs are trained in one pass: measured while they train, and remembered."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prognobench.files import cache_folder, identity, read_sealed, write_sealed

LADDER = (1, 4, 8, 16, 32)
"""Numbers of runs that are tried, one after another, as long as each gains."""

WARM_STEPS, TIMED_STEPS = 1, 3
GAIN = 0.95
"""A manner is better when a run's step takes less than this share of what it took before."""

LONG_STEP = 0.2
"""Seconds. On a CPU, one run's step that takes longer leaves no core idle: measured, passes of
several runs were then never faster, and they need several times the memory."""


@dataclass(frozen=True)
class Manner:
    """How a step is taken.

    Attributes:
        runs: Number of runs in one pass.
        fused_attention: Whether attention is one operator of torch.
    """

    runs: int
    fused_attention: bool


class Pace:
    """Chooses the manner of the next steps; which one is chosen changes results by rounding only.

    All manners that come into question are tried on real steps, so that measuring costs nothing
    but the difference. What was found is kept in the cache under ``key``.
    """

    def __init__(self, key: dict[str, Any], device: torch.device, most: int = LADDER[-1]) -> None:
        """Start from what the cache knows.

        Args:
            key: All that the time of a step depends on beside the device.
            device: Where steps are computed.
            most: The largest number of runs in one pass.
        """
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        whole = {
            **key,
            "device": name,
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
        }
        self._path: Path = cache_folder("pace") / f"{identity(whole, 32)}.json"
        self._most = most
        # On a CPU torch's own operator has no rule for a stacked dimension.
        self._fused_attention = device.type != "cpu"
        self._times: list[float] = []
        self._found: dict[Manner, float] = {}
        self.manner = Manner(1, self._fused_attention)
        self._settled = self._recall()

    def took(self, seconds: float, left: int) -> None:
        """Take note of a step in the present manner.

        Args:
            seconds: How long it took.
            left: Runs that are training or waiting.
        """
        if self._settled:
            return
        self._times.append(seconds)
        if len(self._times) < WARM_STEPS + TIMED_STEPS:
            return
        self._found[self.manner] = float(np.median(self._times[WARM_STEPS:])) / self.manner.runs
        self._times = []
        most = min(self._most, left)
        following = self._following(most)
        if following is None:
            alone = self.manner.fused_attention != self._fused_attention
            self._settle(whole=alone or most == LADDER[-1] or self._best() != self.manner)
        else:
            self.manner = following

    def failed(self) -> bool:
        """Say that the present manner cannot be done, and return whether there is another."""
        if self.manner.runs == 1:
            return False
        self._times = []
        self._most = self.manner.runs // 2
        self._found = {m: time for m, time in self._found.items() if m.runs <= self._most}
        if self._found:
            self._settle(whole=True)
        else:
            self.manner, self._settled = Manner(self._most, self._fused_attention), True
        return True

    def _following(self, most: int) -> Manner | None:
        """Return what to try next; None when enough was tried."""
        now, time = self.manner, self._found[self.manner]
        other = Manner(1, not self._fused_attention)
        if now == other:
            return None
        if now.runs == 1 and not self._fused_attention and time > LONG_STEP:
            return other
        higher = [min(runs, most) for runs in LADDER if now.runs < min(runs, most)]
        if higher and self._best() == now:
            return Manner(higher[0], self._fused_attention)
        # What one run alone may use besides matters where it is alone that it is fastest.
        alone = now.runs > 1 and self._best().runs == 1 and not self._fused_attention
        return other if alone else None

    def _best(self) -> Manner:
        """Return the manner that is fastest; with fewer runs where more gain next to nothing."""
        chosen, *others = sorted(self._found, key=lambda manner: manner.runs)
        for manner in others:
            if self._found[manner] < GAIN * self._found[chosen]:
                chosen = manner
        return chosen

    def _settle(self, *, whole: bool) -> None:
        """Stay with the best manner.

        Args:
            whole: Whether there were runs enough to try all that might be better.
        """
        self.manner, self._settled = self._best(), True
        times = {f"{m.runs} {m.fused_attention}": time for m, time in self._found.items()}
        with contextlib.suppress(OSError):  # a cache that cannot be written is measured again
            write_sealed(self._path, {**asdict(self.manner), "whole": whole, "seconds": times})

    def _recall(self) -> bool:
        """Take up what was found before; return whether there is nothing more to find."""
        known = read_sealed(self._path) or {}
        runs, fused, whole = (known.get(key) for key in ("runs", "fused_attention", "whole"))
        if not isinstance(runs, int) or not isinstance(fused, bool) or runs not in range(1, 10**4):
            return False
        self.manner = Manner(min(runs, self._most), fused)
        return bool(whole)


class Steady:
    """One manner for all steps, where there is nothing to measure."""

    def __init__(self, runs: int = 1, *, fused_attention: bool = True) -> None:
        """Fix the manner."""
        self.manner = Manner(runs, fused_attention)

    def took(self, seconds: float, left: int) -> None:
        """Take note of nothing."""

    def failed(self) -> bool:
        """Go on with half as many runs, and return whether that is possible."""
        if self.manner.runs == 1:
            return False
        self.manner = Manner(self.manner.runs // 2, self.manner.fused_attention)
        return True
