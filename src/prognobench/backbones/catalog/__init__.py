"""The catalog of backbones: one entry each.

To add a backbone, add an entry to the module of its family, or point an entry point of the group
``prognobench.backbones`` at one in a package of your own. Without any entry, ``timm:NAME`` is a
model of timm and ``hf-hub:OWNER/NAME`` one of the hub.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import entry_points

from prognobench.backbones.catalog import clip, dino, imagenet, medical_text, packaged, radiographs
from prognobench.backbones.catalog.any_timm import is_outside, outside_entry
from prognobench.backbones.catalog.roles import VIT_ROLES
from prognobench.backbones.entry import BackboneEntry
from prognobench.errors import UserError, nearest

__all__ = ["CATALOG", "VIT_ROLES", "backbone_names", "get_entry", "is_catalogued"]

ENTRY_POINT_GROUP = "prognobench.backbones"

CATALOG = (
    *packaged.ENTRIES,
    *imagenet.ENTRIES,
    *clip.ENTRIES,
    *dino.ENTRIES,
    *medical_text.ENTRIES,
    *radiographs.ENTRIES,
)


def backbone_names() -> list[str]:
    """Return the names of all backbones."""
    built_in = (entry.name for entry in CATALOG)
    return sorted({*built_in, *(point.name for point in entry_points(group=ENTRY_POINT_GROUP))})


def is_catalogued(name: str) -> bool:
    """Say whether a name is one of the catalog, and not one of timm or the hub."""
    return not is_outside(name)


def get_entry(name: str, input_size: int | None = None) -> BackboneEntry:
    """Return the entry of a backbone.

    Args:
        name: Its name, or ``timm:NAME`` or ``hf-hub:OWNER/NAME``.
        input_size: Side of the square input in pixels; None for the native one.

    Raises:
        UserError: When there is none of that name (the sentence names the nearest), or it
            cannot take that input size.
    """
    if is_outside(name):
        found: BackboneEntry | None = outside_entry(name)
    else:
        found = next((entry for entry in CATALOG if entry.name == name), None)
    for point in entry_points(group=ENTRY_POINT_GROUP) if found is None else ():
        if point.name == name:
            found = point.load()
    if found is None:
        raise UserError(f"unknown backbone '{name}': {nearest(name, backbone_names())}")
    if not isinstance(found, BackboneEntry):
        raise TypeError(f"the entry point '{name}' of {ENTRY_POINT_GROUP} is no BackboneEntry")
    if input_size is None or input_size == found.input_size:
        return found
    if not found.flexible_input:
        raise UserError(
            f"backbones: {name} takes images of {found.input_size} pixels only, not {input_size}: "
            "leave input_size out"
        )
    if input_size % found.patch_size:
        raise UserError(
            f"backbones: {name} cuts images into patches of {found.patch_size} pixels: an "
            f"input_size of {input_size} is no multiple of that"
        )
    return replace(found, input_size=input_size, weights_size=found.input_size)
