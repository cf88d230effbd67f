"""The part of a benchmark file that names a backbone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from prognobench.backbones.catalog import get_entry, is_catalogued
from prognobench.backbones.entry import BackboneEntry
from prognobench.backbones.fetch import local_copy, resolved
from prognobench.errors import UserError

Channels = Annotated[tuple[float, ...], Field(min_length=1, max_length=3)]


class FeatureSpec(BaseModel):
    """Which tokens of a transformer make the feature, as in the linear evaluation of DINOv2.

    Attributes:
        blocks: How many last blocks give their class token.
        patches: Whether the mean of the last block's patch tokens is added.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    blocks: int = Field(default=1, ge=1, le=12)
    patches: bool = False


class BackboneSpec(BaseModel):
    """A backbone: of the catalog, of timm, of the hub, or a checkpoint of one's own.

    Attributes:
        name: Its name in the catalog, ``timm:NAME``, or ``hf-hub:OWNER/NAME``.
        input_size: Side of the input in pixels; the native one by default.
        weights: A copy of its published file of weights, instead of the cached one; for a
            ``timm:NAME`` any checkpoint of that architecture.
        features: The tokens that make the feature.
        mean: For a ``timm:`` or ``hf-hub:`` model, another mean, a channel each or one for all.
        std: Likewise the standard deviation.
        title: A name for results, such as that of one's own checkpoint.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    input_size: int | None = Field(default=None, ge=32, le=2048)
    weights: Path | None = None
    features: FeatureSpec = FeatureSpec()
    mean: Channels | None = None
    std: Channels | None = None
    title: str | None = Field(default=None, min_length=1, max_length=60)

    def entry(self) -> BackboneEntry:
        """Return its catalog entry, with the digest of its weights where they are on disk.

        Raises:
            UserError: When there is no such backbone, or it cannot be as asked.
        """
        found = get_entry(self.name, self.input_size)
        if self.features != FeatureSpec():
            found = self._with_tokens(found)
        if self.mean is not None or self.std is not None:
            found = self._normalised(found)
        if self.weights is not None:
            own = replace(found.weights, file=local_copy(found, self.weights))
            found = replace(found, weights=own)
        if self.title is not None:
            found = replace(found, title=self.title)
        return resolved(found)

    @property
    def label(self) -> str:
        """The name in results: with what is not the default."""
        if self.title is not None:
            return self.title
        native = get_entry(self.name).input_size
        size = self.input_size or native
        words = [self.name]
        if size != native:
            words.append(f"{size}px")
        if self.features.blocks > 1:
            words.append(f"{self.features.blocks} blocks")
        if self.features.patches:
            words.append("with patches")
        return " ".join(words)

    def _with_tokens(self, entry: BackboneEntry) -> BackboneEntry:
        if not entry.class_token:
            raise UserError(
                f"backbones: the feature of {self.name} is not a class token, so that no tokens "
                "of other blocks can be added: leave 'features' out"
            )
        parts = self.features.blocks + self.features.patches
        return replace(
            entry,
            feature_dim=parts * entry.feature_dim,
            blocks=self.features.blocks,
            patches=self.features.patches,
        )

    def _normalised(self, entry: BackboneEntry) -> BackboneEntry:
        if is_catalogued(self.name):
            raise UserError(
                f"backbones: the mean and std of {self.name} are those of its pretraining and "
                "cannot be changed: leave them out"
            )
        channels = len(entry.mean)

        def full(values: Channels | None, default: tuple[float, ...]) -> tuple[float, ...]:
            if values is None:
                return default
            if len(values) not in {1, channels}:
                raise UserError(
                    f"backbones: {self.name} has {channels} channels: give one mean and std, or "
                    f"{channels}"
                )
            return values * channels if len(values) == 1 else values

        std = full(self.std, entry.std)
        if min(std) <= 0:
            raise UserError(f"backbones: std of {self.name} must be above 0")
        return replace(entry, mean=full(self.mean, entry.mean), std=std)
