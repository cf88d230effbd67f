"""The device that ``--device`` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prognobench.cli.options import Device
from prognobench.errors import UserError

if TYPE_CHECKING:
    import torch


def chosen_device(device: Device) -> torch.device:
    """Return the device.

    Raises:
        UserError: When it is not on this machine.
    """
    from prognobench.execution.environment import choose_device

    try:
        return choose_device(device.value)
    except ValueError as error:
        raise UserError(f"--device {device.value}: {error}, use --device cpu") from error
