"""What a benchmark may ask of its images, beyond the one rule of decoding."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ImagesSpec(BaseModel):
    """How images become what the models see, beyond the rule of `docs/images.md`.

    Attributes:
        percentiles: Two percentiles of each image's own values that become black and white,
            such as ``[2, 98]`` (Ruffini et al. 2025); windows of DICOM files then play no part.
            By default black and white are what the file says.
        lung_crop: Whether images are cut to the square around the lungs, where the cohort gives
            them (columns ``lung_box`` and ``lung_mask``).
        lung_margin: What is kept around the lungs on each side, in shares of their width and
            height.
        without_lungs: What becomes of images of which the lungs are not given: ``whole`` shows
            all of them, ``drop`` takes them out of the cohort. Both are counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    percentiles: tuple[float, float] | None = None
    lung_crop: bool = False
    lung_margin: float = Field(default=0.05, ge=0, le=1)
    without_lungs: Literal["whole", "drop"] = "whole"

    @field_validator("percentiles")
    @classmethod
    def _in_order(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 <= value[0] < value[1] <= 100:
            raise ValueError(
                "two percentiles from 0 to 100 were expected, the lower one first, such as [2, 98]"
            )
        return value

    def identity(self) -> dict[str, Any]:
        """Return what of it can change a result, as plain data; nothing where nothing is asked.

        Which images are left is part of a task's identity, so ``without_lungs`` is not here.
        """
        asked: dict[str, Any] = {}
        if self.percentiles is not None:
            asked["percentiles"] = list(self.percentiles)
        if self.lung_crop:
            asked["lung_margin"] = self.lung_margin
        return asked
