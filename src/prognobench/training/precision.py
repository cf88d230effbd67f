"""What a network computes in: float32, or bfloat16 where it is asked for; never TF32."""

from __future__ import annotations

import contextlib

import torch


def computing_in(precision: torch.dtype, device: torch.device) -> torch.autocast:
    """Return the context in which a model computes in float32 or, by autocast, in bfloat16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision is torch.bfloat16)


def full_float32() -> contextlib.AbstractContextManager[None]:
    """Return the context in which float32 convolutions are not computed in TF32, torch's default.

    TF32 has three digits, and only some devices have it.
    """
    cudnn = torch.backends.cudnn
    return cudnn.flags(enabled=True, deterministic=cudnn.deterministic, allow_tf32=False)
