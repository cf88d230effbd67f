"""benchmarks/near_duplicates.py at a size that takes seconds."""

from __future__ import annotations

import json


def test_the_scaling_counts_what_it_searched(tmp_path):
    import near_duplicates

    path = tmp_path / "scaling.json"
    near_duplicates.main(["--synthetic", "40", "--output", str(path)])
    (found,) = json.loads(path.read_text())["sizes"]
    assert found["images"] == 40
    assert found["pairs"]["true"] == 1
    assert found["compared"] >= 40
    assert found["seconds"].keys() == {"features", "candidates", "comparing"}
    assert found["seconds_per_1000_images"] > 0
    assert found["by_change"]["cropped by 15 %"] == {"copies": 1, "candidates": 1, "found": 1}
