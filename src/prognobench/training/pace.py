"""How many runs are trained in one pass: measured while they train, and remembered."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
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

COMPILING = 120.0
"""Seconds of steps that must be left for compilation to be tried. On an H100 it takes 9 to 16 s,
and steps of ViT-B take 0.55 of their time afterwards."""

LONG_STEP = 0.2
"""Seconds. On a CPU, one run's step that takes longer leaves no core idle: measured, passes of
several runs were then never faster, and they need several times the memory."""


@dataclass(frozen=True)
class Manner:
    """How a step is taken.

    Attributes:
        runs: Number of runs in one pass.
        fused_attention: Whether attention is one operator of torch.
        compiled: Whether layers that repeat are compiled.
    """

    runs: int
    fused_attention: bool
    compiled: bool = False


class Pace:
    """Chooses the manner of the next steps; which one is chosen changes results by rounding only.

    All manners that come into question are tried on real steps, so that measuring costs nothing
    but the difference. What was found is kept in the cache under ``key``.
    """

    def __init__(
        self,
        key: dict[str, Any],
        device: torch.device,
        most: int = LADDER[-1],
        *,
        compiles: bool = False,
    ) -> None:
        """Start from what the cache knows.

        Args:
            key: All that the time of a step depends on beside the device.
            device: Where steps are computed.
            most: The largest number of runs in one pass.
            compiles: Whether compilation comes into question.
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
        # On a CPU torch's own operator is often slower than its parts.
        self._fused_attention = device.type != "cpu"
        self._compiles = compiles
        self._compiled: bool | None = None
        self._times: list[float] = []
        self._found: dict[Manner, float] = {}
        self._whole = False
        self.manner = Manner(1, self._fused_attention)
        self._settled = self._recall()

    def took(self, seconds: float, left: int, steps_left: int) -> None:
        """Take note of a step in the present manner.

        Args:
            seconds: How long it took.
            left: Runs that are training or waiting.
            steps_left: Steps of a run that are still to be taken, all runs together, at most.
        """
        self._times.append(seconds / self.manner.runs)
        if len(self._times) < WARM_STEPS + TIMED_STEPS:
            return
        self._found[self.manner] = float(np.median(self._times[WARM_STEPS:]))
        self._times = []
        if self.manner.compiled:
            if self._compiled is None:
                plain = self._found[replace(self.manner, compiled=False)]
                self._compiled = self._found[self.manner] < GAIN * plain
                self._note()
                self.manner = replace(self.manner, compiled=self._compiled)
            return
        most = min(self._most, left)
        if not self._settled:
            following = self._following(most)
            if following is not None:
                self.manner = following
                return
            self._settle(most)
        worth = self._found[self.manner] * steps_left > COMPILING
        if self._compiles and self._compiled is not False and worth and self.manner.runs <= left:
            self.manner = replace(self.manner, compiled=True)

    def failed(self) -> bool:
        """Say that the present manner cannot be done, and return whether there is another."""
        self._times = []
        if self.manner.compiled:
            self.manner, self._compiled = replace(self.manner, compiled=False), False
            self._note()
            return True
        if self.manner.runs == 1:
            return False
        self._most = self.manner.runs // 2
        self._found = {m: time for m, time in self._found.items() if m.runs <= self._most}
        if self._found:
            self._settle(LADDER[-1])
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

    def _settle(self, most: int) -> None:
        """Stay with the best manner.

        Args:
            most: The largest number of runs that could be tried.
        """
        alone = self.manner.fused_attention != self._fused_attention
        self._whole = alone or most == LADDER[-1] or self._best() != self.manner
        self.manner, self._settled = self._best(), True
        self._note()

    def _note(self) -> None:
        """Keep what was found for another time."""
        found = [{**asdict(manner), "seconds": time} for manner, time in self._found.items()]
        known = {**asdict(self.manner), "compiled": self._compiled, "whole": self._whole}
        with contextlib.suppress(OSError):  # a cache that cannot be written is measured again
            write_sealed(self._path, {**known, "found": found})

    def _recall(self) -> bool:
        """Take up what was found before; return whether there is nothing more to find."""
        known = read_sealed(self._path) or {}
        runs, fused, whole = (known.get(key) for key in ("runs", "fused_attention", "whole"))
        if not isinstance(runs, int) or not isinstance(fused, bool) or runs not in range(1, 10**4):
            return False
        compiled = known.get("compiled")
        self._compiled = compiled if isinstance(compiled, bool) else None
        self.manner = Manner(min(runs, self._most), fused)
        self._whole = bool(whole)
        return self._whole


class Steady:
    """One manner for all steps, where there is nothing to measure."""

    def __init__(
        self, runs: int = 1, *, fused_attention: bool = True, compiled: bool = False
    ) -> None:
        """Fix the manner."""
        self.manner = Manner(runs, fused_attention, compiled)

    def took(self, seconds: float, left: int, steps_left: int) -> None:
        """Take note of nothing."""

    def failed(self) -> bool:
        """Go on without compilation or with half as many runs; return whether that is possible."""
        if self.manner.compiled:
            self.manner = replace(self.manner, compiled=False)
            return True
        if self.manner.runs == 1:
            return False
        self.manner = replace(self.manner, runs=self.manner.runs // 2)
        return True
