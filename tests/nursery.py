"""Starts Dayone by forking from a process that has imported everything: a tenth of a second instead of two.

A suite that starts hundreds of processes would spend most of its time on imports. What is forked is the whole program
from its command line on, in a session of its own, with its own environment, folder and files; nothing but imported
modules is inherited. The process that forks (`python -m tests.nursery`) runs no thread and opens nothing; when the
tests are gone its input ends, and it kills what it has started.

What this cannot find is a module that can only be imported after another one. The sink of every `dayone up` is started
by the product itself, as its users' sinks are, and so are the programs that a document leaves running.

Order: one JSON line on its input. Answers, a line each: `born PID`, in the order of the orders, and `died PID CODE`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import os
import queue
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from tests.integration.program import ANY_PORT, ROOT, Program

#: What most commands import sooner or later.
MODULES = (
    "dayone", "simulator.commands", "simulator.daemon", "simulator.up", "sinks.runtime", "sinks.summary", "sinks.query",
    "kafka",
)  # fmt: skip


@dataclass(frozen=True)
class Order:
    """What a process is to become: the module whose `main` is called and its arguments, the folder that it is in, where
    it writes (`output`.out and `output`.err), its whole environment, and the largest file that it may write."""

    words: list[str]
    folder: str
    output: str
    environment: dict[str, str]
    file_limit: int = 0


#: For interpreters that start from nothing: pyarrow imports pandas where it is installed, for a third of a second.
#: Tools of the tests bring it, Dayone does not; see lean/pandas.py.
LEAN_PATH = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'lean'}"


class Child:
    """A forked process, with the few methods of a Popen that `Program` uses."""

    def __init__(self, pid: int, codes: dict[int, int]) -> None:
        self.pid = pid
        self._codes = codes

    @property
    def returncode(self) -> int | None:
        """See `poll`."""
        return self.poll()

    def poll(self) -> int | None:
        """Its exit code (negative: the signal that ended it), or None while it runs."""
        return self._codes.get(self.pid)

    def wait(self, timeout: float = 60.0) -> int:
        """Its exit code; TimeoutExpired where it does not end."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.005)
        return code

    def kill(self) -> None:
        """SIGKILL."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class Nursery:
    """The forking process, as a context manager."""

    def __enter__(self) -> Nursery:
        self._codes: dict[int, int] = {}
        self._born: queue.Queue[int] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._listener.join(5)
        self._process.stdout.close()

    def launch(self, order: Order) -> Child:
        """Fork one process; returns when it is there."""
        assert self._process.stdin is not None
        for end in ("out", "err"):
            Path(f"{order.output}.{end}").touch()  # to be looked at before the child has opened them
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        return Child(self._born.get(timeout=60), self._codes)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, *numbers = line.split()
            if word == "born":
                self._born.put(int(numbers[0]))
            else:
                self._codes[int(numbers[0])] = int(numbers[1])


@dataclass
class Starter:
    """Starts programs in one folder; `Program` says what can be done with them. `env` is added to a clean environment
    without settings of Dayone's; `module` has the `main` to be called; `file_limit` is the largest size of a file that
    it may write, in bytes."""

    nursery: Nursery
    folder: Path
    started: list[Program] = field(default_factory=list)

    def __call__(
        self, *arguments: object, env: dict[str, str] | None = None, module: tuple[object, ...] = ("dayone",),
        file_limit: int = 0,
    ) -> Program:  # fmt: skip
        number = len(self.started)
        output = str(self.folder / str(number))
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DAYONE_")}
        words = [*map(str, (*module, *arguments))]
        environment = {**clean, "PYTHONPATH": LEAN_PATH, **ANY_PORT, **(env or {})}
        child = self.nursery.launch(Order(words, str(self.folder), output, environment, file_limit))
        self.started.append(Program(child, self.folder, number))
        return self.started[-1]

    def __enter__(self) -> Starter:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Kill what is left, and what that has started."""
        for program in self.started:
            left = program.family() if program.running else []
            program.process.kill()
            program.process.wait(30)
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()


def serve() -> None:
    """Fork what is ordered, tell what ended, until the input ends."""
    for module in MODULES:
        __import__(module)
    gc.collect()
    gc.freeze()  # no collection in a child touches, and so copies, what was imported here
    alive: set[int] = set()
    pending = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0.01 if alive else None)
        if readable:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    be(Order(**json.loads(line)))
                alive.add(pid)
                os.write(1, b"born %d\n" % pid)
        for pid in list(alive):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                alive.discard(pid)
                os.write(1, b"died %d %d\n" % (pid, os.waitstatus_to_exitcode(status)))
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


def be(order: Order) -> None:
    """In the forked process: become the program that was ordered, and never return."""
    code = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(order.environment)
        os.chdir(order.folder)
        null = os.open(os.devnull, os.O_RDONLY)
        files = [os.open(f"{order.output}.{end}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC) for end in ("out", "err")]
        for number, file in enumerate((null, *files)):
            os.dup2(file, number)
            os.close(file)
        if order.file_limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_limit, order.file_limit))
        faulthandler.enable()  # a crash in a library's C code says where
        sys.argv = order.words
        importlib.import_module(sys.argv[0]).main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - told, as the interpreter would
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
