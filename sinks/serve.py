"""Live readers: while the sink writes, others ask. Serves the open store with Quack, DuckDB's client and server.

Knows the store's database and the notice beside it; no Kafka, no batch. A reader's statement runs in this process, on
the same snapshots as the sink's own: it sees every batch whole (rows, offsets and all), or not at all. What readers
may ask is `permission.py`'s.

Readers must not cost the sink its rate. Two ways considered: to let in so many statements at a time, which a few slow
ones would block for all; or to let the system decide. Chosen: the serving threads have the lowest priority that the
system knows. They take what the sink leaves idle and, by the kernel's weights (15 against 1024), eight busy ones take
about a tenth of a core that it would use; the bench has a part `readers` for what that comes to. A thread hands its
priority on to those that it starts, so the server is started from a thread that has lowered its own (on Linux; where
priorities belong to processes, readers and sink share as equals).

At the end no new statement is let in, and those under way have a moment to finish. What is still computed then cannot
be stopped from outside (Quack 1.5.5 has no way to cancel). So that it neither holds up the end of the process nor
crashes it, a process that has served leaves at once when Python is done, without the tidying up of C++ libraries, which
would pull their data away from under those threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import logging
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING

from personas.errors import StoreError
from sinks import permission
from sinks.extensions import loading
from sinks.notice import READER_EXTENSIONS, Notice, Posted

if TYPE_CHECKING:
    from sinks.database import Database

log = logging.getLogger("dayone.sink.serve")

#: The lowest priority there is: `nice` of the serving threads.
NICE = 19
#: What statements of readers may put on disk when memory is short, so that they cannot fill it.
SPILL_LIMIT = "8GB"
#: Time for statements under way when the sink ends.
GRACE_SECONDS = 2.0
_TRIES = 5


class Readers:
    """Serves one open database while inside. One per process: what it sets up belongs to DuckDB's instance."""

    def __init__(self, database: Database, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """`port` 0 takes a free one. A `host` beyond loopback is served without encryption."""
        self._database, self._host, self._port = database, host, port
        self._uri = ""
        self._posted: Posted | None = None

    @property
    def address(self) -> str:
        """`host:port` once started."""
        return self._uri.removeprefix("quack:")

    def start(self) -> Readers:
        """Serve, and post the notice. StoreError where an extension is missing or the port is taken.

        Makes the token anew: whoever read the last one can do nothing with it.
        """
        loads = [loading(name) for name in READER_EXTENSIONS]
        token = secrets.token_hex(32)
        with self._database.beside() as database:
            with database.speaking():
                permission.prepare(database)
                for statement in loads:
                    database.execute(statement)
                permission.grant(database)
                database.execute(f"SET max_temp_directory_size = '{SPILL_LIMIT}'")
            self._listen(database, token)
        _leave_at_once()
        started = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self._posted = Posted(self._database.path, Notice(self._reachable(), token, os.getpid(), started))
        except StoreError:
            self.stop()
            raise
        log.info("readers are answered on %s: dayone sql --store %s", self.address, self._database.path)
        return self

    def stop(self) -> None:
        """Take down the notice, let what is under way finish, and answer no more; twice does nothing."""
        if self._posted is not None:
            self._posted.remove()
            self._posted = None
        if self._uri:
            with contextlib.suppress(StoreError), self._database.speaking():
                permission.revoke(self._database)
                if not self._finished():
                    log.info("a reader's statement is given up: the sink has ended")
                self._database.execute("CALL quack_stop(?)", [self._uri])
            self._uri = ""

    def _finished(self) -> bool:
        """Whether all statements under way came to their end in time."""
        deadline = time.monotonic() + GRACE_SECONDS
        busy = "SELECT count(*) FROM quack_active_connections() WHERE state = 'active'"
        while self._database.count(busy):
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def _listen(self, database: Database, token: str) -> None:
        for left in reversed(range(_TRIES if self._port == 0 else 1)):
            uri = f"quack:{_bracketed(self._host)}:{_free_port(self._host, self._port)}"
            try:
                _serve_patiently(database, uri, token, anywhere=not _is_loopback(self._host))
            except StoreError as error:
                if not left:
                    message = str(error).replace(token, "***")
                    raise StoreError(f"readers cannot be served on {uri.removeprefix('quack:')}: {message}") from None
            else:
                self._uri = uri
                return

    def _reachable(self) -> str:
        """The address for readers on this machine, also where all of its addresses are served."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)  # noqa: S104 - compared, not bound
        return f"{_bracketed(host)}:{self.address.rpartition(':')[2]}"

    def __enter__(self) -> Readers:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextlib.contextmanager
def served(database: Database, *, host: str, port: int) -> Iterator[Readers | None]:
    """Serve `database` while inside if that is possible; where it is not, say why and go on without readers."""
    readers: Readers | None = None
    try:
        readers = Readers(database, host=host, port=port).start()
    except StoreError as error:
        log.warning("live readers are off: %s", error)
    try:
        yield readers
    finally:
        if readers is not None:
            readers.stop()


def _serve_patiently(database: Database, uri: str, token: str, *, anywhere: bool) -> None:
    """Start the server from a thread of the lowest priority; StoreError where it does not start."""
    errors: list[StoreError] = []

    def serve() -> None:
        if sys.platform == "linux":
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        try:
            with database.speaking():
                database.execute("CALL quack_serve(?, token := ?, allow_other_hostname := ?)", [uri, token, anywhere])
        except StoreError as error:
            errors.append(error)

    with database.speaking():
        (threads,) = database.execute("SELECT current_setting('threads')")[0]
        database.execute("SET threads = 1")  # so that no worker of DuckDB's runs the statement in its place
        thread = threading.Thread(target=serve, name="serve")
        thread.start()
        thread.join()
        database.execute(f"SET threads = {int(threads)}")
    if errors:
        raise errors[0]


@cache
def _leave_at_once() -> None:
    """When Python has finished, end the process with its exit code before libraries take down what threads still use.
    Where the C library is not GNU's there is no way to ask for that, and all goes as usual."""
    library = ctypes.CDLL(None)
    if hasattr(library, "on_exit"):
        library.on_exit(library._exit, None)


def _free_port(host: str, port: int) -> int:
    """`port`, or any free one for 0. StoreError where another listens there: Quack would share the port with it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StoreError(
                f"readers cannot be served on {_bracketed(host)}:{port}: {error.strerror}.",
                hint="Give another --serve-port; 0 takes a free one.",
            ) from error
        found: int = probe.getsockname()[1]
        return found


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
