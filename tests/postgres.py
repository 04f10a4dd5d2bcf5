"""A private PostgreSQL server for the tests: its own directory, a socket in it, no port; not as root, who may not.

Durability is switched off: what is tested is what Dayone does, not whether PostgreSQL survives a power cut.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

USER = "dayone"
_QUICK = [
    word
    for setting in ("listen_addresses=", "fsync=off", "synchronous_commit=off", "full_page_writes=off",
                    "max_connections=60")
    for word in ("-c", setting)
]  # fmt: skip


@dataclass(frozen=True)
class Server:
    """A running server; `folder` holds its socket."""

    folder: Path
    programs: Path

    def connection(self, database: str, user: str = USER) -> str:
        """What libpq is told to reach a database."""
        return f"dbname={database} host={self.folder} user={user}"

    def make_database(self) -> str:
        """A new, empty database: the words with which libpq reaches it."""
        name = f"lake_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE {name}")
        return self.connection(name)

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement with psql; what it prints."""
        words = [str(self.programs / "psql"), self.connection(database), "-qAtc", statement]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def programs() -> Path | None:
    """The folder with PostgreSQL's programs, the newest version where there are several."""
    if found := shutil.which("pg_ctl"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda each: int(each.parts[-3]))
    return folders[-1].parent if folders else None


def _as_another() -> tuple[list[str], int | None]:
    """PostgreSQL refuses to run as root: the words that change the user, and whose the files have to be."""
    if os.geteuid() != 0:
        return [], None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        change = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return [*change, "--pdeathsig", "QUIT"], user.pw_uid  # changing the user makes the first one void
    pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


@contextmanager
def server() -> Iterator[Server]:
    """A server while inside. Skips the test where PostgreSQL is not installed; with CI=true that is a failure."""
    folder = programs()
    if folder is None:
        reason = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    change, owner = _as_another()
    with tempfile.TemporaryDirectory(prefix="dayone-pg-", dir="/tmp") as name:  # a socket's path has 107 characters
        home = Path(name)
        if owner is not None:
            os.chown(home, owner, -1)
        data = home / "data"
        options = ["-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8"]
        _run([*change, str(folder / "initdb"), "-D", str(data), *options], home)
        words = [*_with_us(), *change, str(folder / "postgres"), "-D", str(data), "-k", str(home), *_QUICK]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(words, cwd=home, stdout=log, stderr=log)
        running = Server(home, folder)
        try:
            _await(running, process)
            home.chmod(0o755)
            yield running
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nothing in it is worth a checkpoint
            process.wait(30)


def _with_us() -> list[str]:
    """Words that end the server when the tests are killed, on Linux."""
    return ["setpriv", "--pdeathsig", "QUIT"] if shutil.which("setpriv") else []


def _await(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            server.sql("SELECT 1")
        except subprocess.CalledProcessError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL does not answer:\n{(server.folder / 'log').read_text('utf-8', 'replace')}")


def _run(words: list[str], home: Path) -> None:
    result = subprocess.run(words, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    if result.returncode:
        pytest.fail(f"{words}: {result.stdout}")
