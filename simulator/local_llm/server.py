"""The Messages API on loopback, answered by whatever completes chats. Knows HTTP, and no model.

Two calls for each slot may wait; further ones are told that there is too much to do (529), so that a client sends
fewer instead of waiting until it gives up.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from personas.errors import PortError
from simulator.local_llm.translation import BadCallError, chat_of, error_body, reply_to

HOST = "127.0.0.1"
LARGEST_BODY = 32 * 2**20
WAITING_PER_SLOT = 2


class MessagesServer:
    """Serves while it is entered. `complete` takes a chat and gives a completion; it is called by `slots` threads at
    most at the same time; `longest_text` as in `chat_of`. PortError when the port is taken."""

    def __init__(
        self, complete: Callable[[dict[str, Any]], dict[str, Any]], model: str, *, slots: int, port: int = 0,
        longest_text: int | None = None,
    ) -> None:  # fmt: skip
        self._complete, self._model, self._longest_text = complete, model, longest_text
        self._slots = threading.Semaphore(slots)
        self._places = threading.Semaphore(slots * (1 + WAITING_PER_SLOT))
        try:
            self._server = ThreadingHTTPServer((HOST, port), _handler(self.answer))
        except OSError as error:
            hint = "Give another --port; 0 takes a free one."
            raise PortError(f"{HOST}:{port}: cannot listen there ({error.strerror}).", hint=hint) from None
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> MessagesServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="messages", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, sent: bytes) -> tuple[int, dict[str, Any]]:
        """Status and body for a POST."""
        if path != "/v1/messages":
            return 404, error_body(404, f"{path}: this server has only /v1/messages")
        if not self._places.acquire(blocking=False):
            return 529, error_body(529, "more calls are waiting than this machine can answer soon")
        try:
            body = json.loads(sent)
            chat = chat_of(body, self._longest_text)
            with self._slots:
                completion = self._complete(chat)
            return reply_to(body, completion, self._model)
        except (BadCallError, ValueError, KeyError, TypeError, AttributeError) as error:
            return 400, error_body(400, str(error) or type(error).__name__)
        except RuntimeError as error:
            return 500, error_body(500, str(error))
        finally:
            self._places.release()


def _handler(answer: Callable[[str, bytes], tuple[int, dict[str, Any]]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            if length > LARGEST_BODY:
                self.close_connection = True
                status, reply = 413, error_body(413, f"{length} bytes")
            else:
                status, reply = answer(self.path.partition("?")[0], self.rfile.read(length))
            data = json.dumps(reply).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except ConnectionError:
                self.close_connection = True  # who asked has gone

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Calls are not worth a line each."""

    return Handler
