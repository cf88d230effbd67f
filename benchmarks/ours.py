"""Our side of a comparison: a spec's runs, from image files to stored predictions.

Started as ``python ours.py SPEC.yaml OUTPUT OUT.json``, with an empty cache: images are decoded,
features computed and numbers of runs measured here, inside the time that counts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch

from prognobench.execution.benchmark import register, require_weights, run_benchmark
from prognobench.execution.prepare import prepare
from prognobench.results.store import ResultsStore
from prognobench.spec import load_spec
from prognobench.training import features


def main() -> None:
    started = time.time()
    stages = {"embedding": 0.0}
    extract = features.extract_features

    def timed(*arguments):
        began = time.perf_counter()
        found = extract(*arguments)
        stages["embedding"] += time.perf_counter() - began
        return found

    features.extract_features = timed
    spec = load_spec(Path(sys.argv[1]))
    prepared = prepare(spec)
    stages["prepare"] = time.time() - started
    store = ResultsStore(Path(sys.argv[2]))
    pending = register(prepared, store)
    require_weights([run.entry for run in pending])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    began = time.perf_counter()
    failed = run_benchmark(prepared, pending, store, device, lambda _: None)
    stages["runs"] = time.perf_counter() - began
    store.close()
    if failed:
        raise SystemExit(f"{failed} runs failed")
    known = {"started": started, "ended": time.time(), "stages": stages, "runs": len(pending)}
    Path(sys.argv[3]).write_text(json.dumps(known))


if __name__ == "__main__":
    main()
