"""Fetching weights from loopback servers: whole, resumed, damaged, gated, and pinned."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import sys
import threading

import pytest

from prognobench.backbones.download import download

BODY = bytes(range(256)) * 12_000
COMMITS = ("1" * 40, "2" * 40)


class Server(http.server.ThreadingHTTPServer):
    """Serves one body; keeps what it was asked for, and can stop in the middle."""

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.body, self.commit, self.tag = BODY, COMMITS[0], None
        self.stop_after, self.ranges, self.gated, self.tags = None, [], False, True
        self.credentials = []

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.reply(False)

    def do_GET(self):
        self.reply(True)

    def reply(self, with_body):
        server = self.server
        server.credentials.append((self.path, self.headers.get("Authorization")))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/w")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if server.gated:
            self.send_response(403)
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        tag = server.tag or hashlib.sha256(server.body).hexdigest()
        asked, begin = self.headers.get("Range"), 0
        condition = self.headers.get("If-Range")
        if asked and asked != "bytes=0-0" and condition in {None, f'"{tag}"'}:
            begin = int(asked.removeprefix("bytes=").partition("-")[0])
        if with_body:
            server.ranges.append(begin)
        if begin > len(server.body) or (begin and begin == len(server.body)):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(server.body) - begin))
        if begin:
            end = len(server.body)
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{end}")
        if server.tags:
            self.send_header("ETag", f'"{tag}"')
        self.send_header("X-Repo-Commit", server.commit)
        self.end_headers()
        if with_body:
            rest = server.body[begin:]
            self.wfile.write(rest[: server.stop_after] if server.stop_after else rest)
            if server.stop_after:
                self.close_connection = True


@pytest.fixture
def server():
    own = Server(Handler)
    thread = threading.Thread(target=own.serve_forever, daemon=True)
    thread.start()
    yield own
    own.shutdown()
    own.server_close()


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    target = tmp_path / "weights.zip"
    server.stop_after = 1_200_000
    with pytest.raises(OSError, match=r"stopped|IncompleteRead"):
        download(f"{server.address}/weights.zip", target)
    assert not target.exists()
    server.stop_after = None
    download(f"{server.address}/weights.zip", target)
    assert target.read_bytes() == BODY
    assert server.ranges[0] == 0
    assert 1_000_000 < server.ranges[-1] <= 1_200_000
    assert [path.name for path in tmp_path.iterdir()] == ["weights.zip"]


@pytest.mark.parametrize("tags", [True, False])
def test_another_file_on_the_server_is_fetched_from_its_beginning(server, tmp_path, tags):
    server.stop_after, server.tags = 1_200_000, tags
    with pytest.raises(OSError, match=r"stopped|IncompleteRead"):
        download(f"{server.address}/w", tmp_path / "w")
    server.stop_after, server.body = None, BODY[::-1]
    download(f"{server.address}/w", tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == BODY[::-1]


def test_a_part_that_is_whole_already_is_asked_for_again(server, tmp_path):
    (tmp_path / "w.part").write_bytes(BODY)
    (tmp_path / "w.etag").write_text(f'"{hashlib.sha256(BODY).hexdigest()}"')
    download(f"{server.address}/w", tmp_path / "w")
    assert (tmp_path / "w").read_bytes() == BODY


def test_other_schemes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no address of http"):
        download("file:///etc/hostname", tmp_path / "w")


def test_credentials_do_not_follow_to_another_address(server, tmp_path):
    download(f"{server.address}/moved", tmp_path / "w", "Bearer secret")
    assert (tmp_path / "w").read_bytes() == BODY
    assert server.credentials == [("/moved", "Bearer secret"), ("/w", None)]


def pull(server, folder, *names, **environment):
    about = {
        **os.environ,
        "HF_ENDPOINT": server.address,
        "HF_HOME": str(folder / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PROGNOBENCH_CACHE": str(folder / "cache"),
        "NO_PROXY": "127.0.0.1",
        **environment,
    }
    for key in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HUGGINGFACE_HUB_CACHE"):
        if key not in environment:
            about.pop(key, None)
    command = [sys.executable, "-m", "prognobench", "pull", *names]
    return subprocess.run(
        command, env=about, capture_output=True, text=True, timeout=120, check=False
    )


def test_pull_pins_the_commit_and_checks_what_arrives(server, tmp_path):
    server.stop_after = 1_000_000
    stopped = pull(server, tmp_path, "resnet18", HF_HUB_DOWNLOAD_TIMEOUT="2")
    assert stopped.returncode == 2
    assert "go online and pull again" in stopped.stderr
    server.stop_after = None
    done = pull(server, tmp_path, "resnet18")
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(BODY).hexdigest() in done.stdout
    assert f"commit {COMMITS[0]}" in done.stdout.replace("\n", "")
    assert any(begin > 0 for begin in server.ranges)
    # The branch moves on: what was fetched stays what is meant.
    server.body, server.commit = BODY[::-1], COMMITS[1]
    again = pull(server, tmp_path, "resnet18")
    assert hashlib.sha256(BODY).hexdigest() in again.stdout
    # What was fetched is where the hub's own client looks for it.
    look = (
        "import huggingface_hub as hub;"
        "print(hub.hf_hub_download('timm/resnet18.tv_in1k', 'model.safetensors'))"
    )
    found = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=False,
        env={**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert found.stdout.strip() in again.stdout, found.stderr
    offline = pull(server, tmp_path, "resnet18", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    missing = pull(server, tmp_path, "resnet50", HF_HUB_OFFLINE="1")
    assert missing.returncode == 2
    assert "PROGNOBENCH_WEIGHTS/resnet50/model.safetensors" in missing.stderr.replace("\n", "")


def test_pull_refuses_a_damaged_file_and_says_when_it_is_gated(server, tmp_path):
    server.tag = "0" * 64
    damaged = pull(server, tmp_path, "resnet18")
    assert damaged.returncode == 2
    assert "arrived damaged" in " ".join(damaged.stderr.split())
    server.tag, server.gated = None, True
    gated = pull(server, tmp_path, "medsiglip", "--accept-license")
    assert gated.returncode == 2
    assert "gated" in gated.stderr
