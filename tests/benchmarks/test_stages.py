"""benchmarks/stages.py: stages add up, and operators have their kinds."""

from __future__ import annotations

import time
from collections import defaultdict
from types import SimpleNamespace

import pytest

from prognobench.backbones.catalog import get_entry


def test_stages_and_operators_add_up():
    import stages

    found = stages.measure([("small", get_entry("demo_vit"), "lora", 4)], steps=2)
    case = found["small"]
    assert {"forward pass", "loss and backward pass", "making the model"} <= set(case["seconds"])
    assert all(value > -1e-3 for value in case["seconds"].values())
    assert sum(case["operators"].values()) == pytest.approx(1)
    assert case["operators"]["matrix products"] > 0.1
    assert 0 < case["share_of_ceiling"] < 1
    assert "| forward pass |" in stages.table(found)


def test_what_a_stage_calls_is_not_counted_twice():
    import stages

    def busy(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    owner = SimpleNamespace(inner=lambda: busy(0.05))
    owner.outer = lambda: (owner.inner(), busy(0.1))
    spent = defaultdict(float)
    with stages.timed(spent, [(owner, "inner", "inner"), (owner, "outer", "outer")]):
        owner.outer()
    assert spent["inner"] == pytest.approx(0.05, rel=0.3)
    assert spent["outer"] == pytest.approx(0.1, rel=0.3)


def test_operators_have_their_kinds():
    import stages

    kinds = {
        "aten::addmm": "matrix products",
        "aten::mkldnn_convolution": "convolutions",
        "aten::native_layer_norm": "normalisation",
        "aten::linalg_vector_norm": "optimiser",
        "aten::_fused_adamw_": "optimiser",
        "aten::_scaled_dot_product_flash_attention_for_cpu": "attention",
        "aten::copy_": "copies",
        "aten::gelu": "elementwise and others",
    }
    assert {name: stages.kind_of(name) for name in kinds} == kinds
