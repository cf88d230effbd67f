"""Turn the published file of TorchXRayVision's DenseNet-121 into safetensors, once.

The file is a pickle of a whole module, so that loading it runs code of its authors. That is done
here, where you ask for it by name, and nowhere in the product; it takes the package
torchxrayvision. Usage::

    python tools/convert_xrv.py PUBLISHED.pt xrv_densenet121_all.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file


def convert(published: Path, target: Path) -> None:
    """Write the tensors of a pickled module.

    Args:
        published: The file as its authors publish it; it is trusted.
        target: The safetensors file to write.
    """
    module = torch.load(published, map_location="cpu", weights_only=False)
    state = module if isinstance(module, dict) else module.state_dict()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, target)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
