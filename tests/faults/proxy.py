"""A TCP proxy on loopback that can be told to fail as networks do. Knows bytes and connections, no Kafka.

Two kinds of cut: `stall` lets nothing through any more but keeps every connection open, as a cable that was pulled
does (nobody is told; what was sent arrives late, when the cut is over); `sever` resets every connection and refuses
new ones, as a router that went down does (what was on its way is gone). `restore` ends either.
One thread per direction: a dozen connections are all that a test has.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType

CHUNK = 256 * 1024


class TcpProxy:
    """Listens on a free port of loopback and connects to `target` (host, port), which may be set later."""

    def __init__(self, target: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        self._open = threading.Event()
        self._open.set()
        self._severed = self._closed = False
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, name="proxy", daemon=True)]
        self._threads[0].start()

    @property
    def address(self) -> str:
        """`host:port`, for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many client connections are open now."""
        with self._lock:
            return len(self._ends) // 2

    def stall(self) -> None:
        """From now on nothing passes, and nobody is told."""
        self._open.clear()

    def sever(self) -> None:
        """Reset all connections and refuse new ones."""
        self._severed = True
        self._reset()

    def restore(self) -> None:
        """Let everything through again."""
        self._severed = False
        self._open.set()

    def close(self) -> None:
        """Reset what is open and stop listening."""
        self._closed = self._severed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self._open.set()
        self._reset()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.wait()  # a connection made during a stall is answered when it is over
            try:
                if self._severed:
                    raise OSError
                server = socket.create_connection(self.target, timeout=5)
                server.settimeout(None)
            except OSError:
                abort(client)
                continue
            with self._lock:
                self._ends |= {client, server}
            for source, drain in ((client, server), (server, client)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._threads.append(threading.Thread(target=self._pump, args=(source, drain), daemon=True))
                self._threads[-1].start()

    def _pump(self, source: socket.socket, drain: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self._open.wait()
                drain.sendall(data)
        for end in (source, drain):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._ends -= {source, drain}
        source.close()  # its other thread closes the other end, having been woken by the shutdown

    def _reset(self) -> None:
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            abort(end, close=False)


def abort(end: socket.socket, *, close: bool = True) -> None:
    """End a connection with a reset instead of a goodbye."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.close() if close else end.shutdown(socket.SHUT_RDWR)
