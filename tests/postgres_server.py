"""A PostgreSQL server of the tests' own, on a free port of the loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest


def _program(name):
    """Debian keeps the server's programs out of the path."""
    found = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    newest = max(found, key=lambda path: float(path.parts[-3]), default=None)
    return str(newest) if newest else shutil.which(name)


class Server:
    """A server that can be stopped and started again; it trusts the loopback, as tests may."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self.folder, self.user = folder, user
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def url(self, database="bench", user="bench"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def command(self, program, *arguments):
        # PostgreSQL refuses to run as root.
        prefix = ["runuser", "-u", self.user, "--"] if self.user else []
        return subprocess.run(
            [*prefix, _program(program), *arguments],
            cwd=self.folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def make(self):
        data = str(self.folder / "data")
        self.command("initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()
        self.command("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "bench", "bench")

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        log, data = str(self.folder / "log"), str(self.folder / "data")
        self.command("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")

    def stop(self, mode="immediate"):
        self.command("pg_ctl", "-D", str(self.folder / "data"), "-m", mode, "-w", "stop")

    def restart(self, away=0.0):
        self.stop()
        time.sleep(away)
        self.start()

    def sql(self, text, database="bench"):
        found = self.command(
            "psql",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "bench",
            "-At",
            "-c",
            text,
            database,
        )
        return found.stdout.strip()


@pytest.fixture(scope="module")
def server():
    if not all(_program(name) for name in ("initdb", "pg_ctl", "createdb", "psql")):
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    user = None
    if os.geteuid() == 0:
        try:
            user = "postgres"
            account = pwd.getpwnam(user)
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no user 'postgres'")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if user:
            os.chown(folder, account.pw_uid, account.pw_gid)
        own = Server(folder, user)
        own.make()
        yield own
        own.stop()


@pytest.fixture
def database(server):
    """A database without tables; its URL."""
    server.sql("drop schema public cascade; create schema public")
    return server.url()
