"""A small HTTP server for daemons: /metrics, /health/live and /health/ready.

Standard library alone, in a thread of its own, on the loopback interface unless told otherwise. Knows neither what
is measured nor when the daemon is ready: both are callables that it is given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from personas.errors import PortError

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class HealthServer:
    """Serves while it is entered (or between `start` and `stop`).

    `metrics` renders the Prometheus text format; `ready` says whether the daemon can do its work now, and `reason`
    why not. `port` 0 takes a free one; afterwards `port` is the real one. PortError where the address is in use.
    """

    def __init__(
        self,
        metrics: Callable[[], bytes],
        ready: Callable[[], bool],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        reason: Callable[[], str] = lambda: "not ready",
    ) -> None:
        self.host = host
        self.port = port
        self._metrics = metrics
        self._ready = ready
        self._reason = reason
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address, without a path."""
        return f"http://{self.host}:{self.port}"

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path: the whole behaviour, without a socket."""
        if path == "/metrics":
            return 200, METRICS_TYPE, self._metrics()
        if path == "/health/live":
            return 200, "text/plain; charset=utf-8", b"live\n"
        if path == "/health/ready":
            if self._ready():
                return 200, "text/plain; charset=utf-8", b"ready\n"
            return 503, "text/plain; charset=utf-8", f"{self._reason()}\n".encode()
        return 404, "text/plain; charset=utf-8", b"try /metrics, /health/live or /health/ready\n"

    def start(self) -> HealthServer:
        """Listen and serve."""
        server = ThreadingHTTPServer((self.host, self.port), _handler(self.answer), bind_and_activate=False)
        server.daemon_threads = True
        try:
            server.server_bind()
            server.server_activate()
        except OSError as error:
            server.server_close()
            raise PortError(
                f"{self.host}:{self.port}: cannot listen there ({error.strerror}).",
                hint="Give another --metrics-port; 0 takes a free one.",
            ) from error
        self.port = int(server.server_address[1])
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="health", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the address; twice does nothing."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None

    def __enter__(self) -> HealthServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _handler(answer: Callable[[str], tuple[int, str, bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = answer(self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Scrapes are not worth a line each."""

    return Handler
