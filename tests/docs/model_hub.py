"""A model hub on the loopback, with files in the published formats."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import shutil
import threading
from functools import cache
from pathlib import Path

import timm
import torch
from page_workspace import Workspace
from safetensors.torch import save_file

from prognobench.backbones.catalog import get_entry

COMMIT = "1" * 40
ASKED = re.compile(r"/(?P<repository>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>[^/]+)")


@cache
def digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Hub(http.server.ThreadingHTTPServer):
    """Serves the files below a folder, ``OWNER/NAME/FILE``, as the hub does.

    ``away`` is a folder: whatever is asked for once it exists is noted, since the reader has then
    left the machine with a network.
    """

    def __init__(self, folder: Path, away: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.away = folder, away
        self.asked: list[str] = []
        self.late: list[str] = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.reply(False)

    def do_GET(self):
        self.reply(True)

    def reply(self, with_body: bool) -> None:
        self.server.asked.append(self.path)
        if self.server.away.exists():
            self.server.late.append(self.path)
        asked = ASKED.fullmatch(self.path)
        path = self.server.folder / asked["repository"] / asked["file"] if asked else None
        if path is None or not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        revision = asked["revision"]
        self.send_response(200)
        self.send_header("Content-Length", str(path.stat().st_size))
        self.send_header("ETag", f'"{digest(path)}"')
        self.send_header("X-Repo-Commit", revision if len(revision) == len(COMMIT) else COMMIT)
        self.end_headers()
        if with_body:
            with path.open("rb") as stream:
                shutil.copyfileobj(stream, self.wfile, 1 << 20)


def hub(here: Workspace) -> None:
    """Start a hub, and have the blocks use it and a cache of their own."""
    folder = here.beside / "hub"
    folder.mkdir()
    own = Hub(folder, here.folder / "data" / "prognobench")
    threading.Thread(target=own.serve_forever, daemon=True).start()
    here.closing.callback(own.server_close)
    here.closing.callback(own.shutdown)
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"):
        here.environment.pop(name, None)
    here.environment |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{own.server_port}",
        "HF_HOME": str(here.beside / "huggingface"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "PROGNOBENCH_CACHE": str(here.beside / "cache"),
    }

    def was_used() -> None:
        assert own.asked, "nothing was fetched"
        assert not own.late, f"asked for without a network: {own.late}"

    here.afterwards.append(was_used)


def values(architecture: str) -> dict[str, torch.Tensor]:
    """Return tensors of an architecture's names and shapes, without what drawing them takes."""
    with torch.device("meta"):
        made = timm.create_model(architecture).state_dict()
    return {
        key: torch.full(own.shape, 0.01, dtype=own.dtype, device="cpu") for key, own in made.items()
    }


def publish(here: Workspace, name: str) -> Path:
    """Put the weights of a backbone on the hub, as they are published; return the file."""
    entry = get_entry(name)
    file = entry.weights.file
    state = values(entry.architecture)
    path = here.beside / "hub" / file.repository / file.filename
    path.parent.mkdir(parents=True)
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        # As open_clip saves the two encoders of BiomedCLIP.
        whole = {f"visual.trunk.{key}": value for key, value in state.items()}
        torch.save({**whole, "text.proj.0.weight": torch.zeros(2, 2)}, path)
    return path


def carried_weights(here: Workspace) -> None:
    """Publish what the page on machines without a network fetches, and say where its folders are.

    ``benchmark.yaml`` is a benchmark of these backbones.
    """
    names = ["resnet50", "dinov2_vitb14", "biomedclip"]
    for name in names:
        publish(here, name)
    (here.folder / "benchmark.yaml").write_text(
        "name: carried\n"
        "cohort: {source: synthetic, patients: 40}\n"
        "endpoints: [icu]\n"
        f"backbones: [{', '.join(names)}]\n"
        "strategies: [linear]\n",
        encoding="utf-8",
    )
    for folder in ("media/stick", "data"):
        (here.folder / folder).mkdir(parents=True)
    here.names |= {
        "/media/stick": str(here.folder / "media" / "stick"),
        "/data": str(here.folder / "data"),
    }


def own_weights(here: Workspace) -> None:
    """Lay the published weights of a backbone beside the page."""
    (here.folder / "weights").mkdir()
    path = here.folder / "weights" / "resnet50.safetensors"
    save_file(values(get_entry("resnet50").architecture), path)


def several_models(here: Workspace) -> None:
    """Publish the models that the page on backbones names, and write its checkpoint."""
    for name in ("resnet18", "dinov2_vitb14", "timm:vit_small_patch16_224.augreg_in21k"):
        publish(here, name)
    folder = here.beside / "hub" / "owner" / "name"
    folder.mkdir(parents=True)
    about = {
        "architecture": "test_vit",
        "global_pool": "token",
        "pretrained_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 160, 160]},
    }
    (folder / "config.json").write_text(json.dumps(about), encoding="utf-8")
    save_file(values("test_vit"), folder / "model.safetensors")
    (here.folder / "checkpoints").mkdir()
    state = values("resnet50.a1_in1k")
    # As training in parallel leaves it.
    named = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": named, "epoch": 9}, here.folder / "checkpoints" / "ours.pth")
