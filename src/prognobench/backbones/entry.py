"""What the catalog knows of a backbone before anything of it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prognobench.backbones.conversions.names import same_names

ROLES = ("attention_in", "attention_out", "mlp_in", "mlp_out", "convolution", "normalisation")
"""What a module of a backbone does; strategies attach to roles, never to module names.

Besides, :mod:`prognobench.backbones.separate_qkv` makes ``query``, ``key`` and ``value`` out of
``attention_in``, so that an entry need not name them."""


PROJECTIONS = ("query", "key", "value")
"""These roles, in the order of the rows of a fused weight."""


@dataclass(frozen=True)
class PackagedFile:
    """A file that comes with an installed Python package, or with this one.

    Attributes:
        locate: Returns the file's path; called only when the weights are needed.
        package: The package, as it is installed.
    """

    locate: Callable[[], Path]
    package: str


@dataclass(frozen=True)
class HubFile:
    """A file in a repository of the Hugging Face hub.

    Attributes:
        repository: ``owner/name``.
        filename: Its path in the repository.
        revision: The pinned commit, tag or branch.
        gated: Whether the hub asks for an account that has accepted terms.
    """

    repository: str
    filename: str
    revision: str = "main"
    gated: bool = False


@dataclass(frozen=True)
class UrlFile:
    """A file at an address of its own.

    Attributes:
        url: The address.
        filename: The name under which it is kept.
        member: Where it is a zip archive, the one member that holds the weights.
    """

    url: str
    filename: str
    member: str = ""


@dataclass(frozen=True)
class RequestedFile:
    """A file that its authors send on request; nothing fetches it.

    Attributes:
        filename: The name it has as sent.
        contact: Where it is asked for.
    """

    filename: str
    contact: str


@dataclass(frozen=True)
class LocalFile:
    """A file that the user names.

    Attributes:
        path: Its path.
    """

    path: Path


WeightsFile = PackagedFile | HubFile | UrlFile | RequestedFile | LocalFile


@dataclass(frozen=True)
class Weights:
    """A backbone's weights: the published file and how it is read.

    Attributes:
        file: Where the file is.
        origin: Where the weights come from, in words.
        sha256: Digest the file must have, 64 hexadecimal digits; empty where it is not known
            ahead and is recorded at the first fetch.
        convert: From the names of tensors in the file to timm's.
        timm_filter: Whether timm's own renaming for the architecture is applied after that.
        terms: What has to be accepted before use (gated or non-commercial weights); empty when
            nothing has.
    """

    file: WeightsFile
    origin: str
    sha256: str = ""
    convert: Callable[[dict[str, Any]], dict[str, Any]] = same_names
    timm_filter: bool = False
    terms: str = ""


@dataclass(frozen=True)
class BackboneEntry:
    """A pretrained vision encoder.

    Attributes:
        name: Its name in specs and results.
        title: The name in words.
        kind: ``cnn`` or ``vit``.
        architecture: The timm architecture.
        architecture_options: What is passed to ``timm.create_model`` besides.
        feature_dim: Size D of a feature vector.
        input_size: Side of the square input in pixels.
        mean: Mean the pretraining subtracted, one value a channel, on the scale [0, 1].
        std: Standard deviation it divided by, likewise.
        roles: For each role the backbone has, a regular expression that matches the full names
            of its modules (anchored: ``proj`` alone would also match ``patch_embed.proj``).
        weights: The weights file.
        license: Licence of the weights.
        pretraining: What it was pretrained on.
        flexible_input: Whether other input sizes work; a transformer's position embeddings are
            then interpolated (bicubic, antialiased).
        patch_size: What the side must be a multiple of.
        weights_size: The side that the weights were made for, where it is not ``input_size``.
        centre_crop: Share of the side that is kept from the middle, in (0, 1].
        class_token: Whether it is a transformer whose feature is its class token, so that the
            tokens of several blocks can be taken.
        blocks: How many last blocks give their class tokens to the feature.
        patches: Whether the mean of the last block's patch tokens is part of the feature.
    """

    name: str
    title: str
    kind: str
    architecture: str
    feature_dim: int
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    roles: Mapping[str, str]
    weights: Weights
    license: str
    pretraining: str
    flexible_input: bool = False
    patch_size: int = 1
    weights_size: int | None = None
    centre_crop: float = 1.0
    class_token: bool = False
    blocks: int = 1
    patches: bool = False
    architecture_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def image_size(self) -> int:
        """Side in pixels of the images it wants: its input before the crop of its middle."""
        return round(self.input_size / self.centre_crop)

    @property
    def has_projections(self) -> bool:
        """Whether it has the roles ``query``, ``key`` and ``value``, or can be given them.

        It can where it has the role ``attention_in``.
        """
        return "attention_in" in self.roles or all(role in self.roles for role in PROJECTIONS)

    def identity(self) -> dict[str, Any]:
        """Return everything about the backbone that can change a feature, as plain data."""
        return {
            "name": self.name,
            "architecture": self.architecture,
            "architecture_options": dict(self.architecture_options),
            "weights": self.weights.sha256,
            "input_size": self.input_size,
            "centre_crop": self.centre_crop,
            "blocks": self.blocks,
            "patches": self.patches,
            "mean": list(self.mean),
            "std": list(self.std),
        }
