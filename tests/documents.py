"""Reads the fenced blocks of a Markdown document and runs what they say. Knows no test runner and none of our code.

An HTML comment in the lines before a block says how it is to be treated:

    <!-- needs: kcat -->          left out where that program is missing (several names: separated by commas)
    <!-- background -->           started, and stopped with Ctrl-C at the end of its section
    <!-- ready: http://… -->      a background block: the section goes on when this address answers with 200
    <!-- ready: http://…/metrics NAME 100 -->  the same, and when the metric of that name has reached the number
    <!-- not-run: the reason -->  only read, never run
    <!-- fails: 3 -->             the exit code that is expected in place of 0
    <!-- model -->                its section needs a language model: whoever runs it provides one
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: What a command of a document may start with. Only the first group is run; the others are read.
RUN = ("dayone", "kcat", "python", "curl", "ls", "cat", "head", "echo", "mkdir", "jq", "duckdb")
READ = ("make", "docker compose", "docker", "git", "cd", "pip", "uv", "python3", "export", "apt-get", "sudo apt-get")

DIRECTIVE = re.compile(r"<!--\s*(needs|background|ready|not-run|fails|model)(?::\s*(.*?))?\s*-->")
FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*(\w*)")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, the line that it starts at, and its directives."""

    language: str
    text: str
    line: int
    directives: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A heading of the second level (or the text before the first one) with the blocks below it."""

    title: str
    blocks: tuple[Block, ...]


def sections_of(markdown: str) -> list[Section]:
    """The sections that have blocks, in order. A fence that is never closed is a ValueError."""
    found: list[tuple[str, list[Block]]] = [("(top)", [])]
    directives: dict[str, str] = {}
    fence, language, opened, body = "", "", 0, list[str]()
    for number, line in enumerate(markdown.splitlines(), start=1):
        match = FENCE.match(line)
        if fence:
            if match and match[2].startswith(fence) and not match[3]:
                found[-1][1].append(Block(language, "\n".join(body) + "\n", opened, directives))
                fence, directives = "", {}
            else:
                body.append(line)
        elif match:
            fence, language, opened, body = match[2], match[3], number, []
        elif line.startswith("## "):
            found.append((line[3:].strip(), []))
            directives = {}
        else:
            directives |= {name: value or "" for name, value in DIRECTIVE.findall(line)}
    if fence:
        raise ValueError(f"line {opened}: the block is never closed")
    return [Section(title, tuple(blocks)) for title, blocks in found if blocks]


def commands_of(text: str) -> list[str]:
    """The commands of a shell block: lines joined over backslashes and open quotes, without comments."""
    commands: list[str] = []
    pending = ""
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        pending = f"{pending}\n{line}" if pending else line.removeprefix("$ ").strip()
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quote is open: the command goes on in the next line
            continue
        if words:
            commands.append(pending.strip())
        pending = ""
    if pending.strip():
        raise ValueError(f"this command never ends: {pending!r}")
    return commands


def starts_with(command: str, names: Sequence[str]) -> bool:
    """Whether the program of a command is one of `names`; settings in front (NAME=value) do not count."""
    command = re.sub(r"^(?:[A-Z_][A-Z0-9_]*=\S*\s+)+", "", command)
    return any(command == name or command.startswith(f"{name} ") for name in names)


def statements_of(sql: str) -> Iterator[str]:
    """The statements of an SQL block, without comments of whole lines."""
    lines = [line for line in sql.splitlines() if not line.lstrip().startswith("--")]
    yield from (text.strip() for text in re.split(r";\s*(?:\n|$)", "\n".join(lines)) if text.strip())


def plain_words(command: str) -> list[str]:
    """The words of a command, if all that it asks of a shell is to split them; else nothing. Settings in front of it
    (NAME=value) are words too."""
    bare = re.sub(r"""'[^']*'|"[^"$`\\]*\"""", "", command)
    return [] if re.search(r"[][|&;<>()$`\\*?{}~!'\"\n]", bare) else shlex.split(command, comments=True)


@dataclass
class Session:
    """Runs commands one after another in one folder, with `programs` first on the search path."""

    folder: Path
    environment: dict[str, str]
    timeout: float = 240.0
    started: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def run(self, arguments: Sequence[str], described: str, expected: int = 0, text: str = "") -> str:
        """Run to the end and return what was printed; an AssertionError where the exit code is another."""
        done = subprocess.run(
            arguments,
            cwd=self.folder,
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            timeout=self.timeout,
        )
        shown = f"{described}\n\nexit code {done.returncode}, expected {expected}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == expected, shown
        return done.stdout

    def start(self, arguments: Sequence[str], described: str, ready: str = "", patience: float = 60.0) -> None:
        """Start in the background, and wait until `ready` answers with 200 (or until something is printed)."""
        log = self.folder / f".background-{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                arguments,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        end = time.monotonic() + patience
        while not (answers(ready) if ready else log.stat().st_size):
            assert process.poll() is None, f"{described} ended with {process.returncode}\n{log.read_text()}"
            if time.monotonic() > end:
                process.kill()
                process.wait()
                raise AssertionError(f"{described} was not ready in {patience:.0f} s\n{log.read_text()}")
            time.sleep(0.05)
        self.started.append((described, process))

    def stop(self, patience: float = 45.0) -> None:
        """Interrupt what runs in the background, the last one first; each has to end cleanly."""
        faults = []
        for described, process in reversed(self.started):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(patience)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            if process.returncode not in {0, 130, -signal.SIGINT}:
                faults.append(f"{described}: ended with {process.returncode}, not with an interruption")
        self.started.clear()
        assert not faults, "\n".join(faults)


def answers(ready: str) -> bool:
    """Whether an address answers with 200 now and, where a metric and a number follow, shows at least that number."""
    address, _, wanted = ready.partition(" ")
    try:
        with urllib.request.urlopen(address, timeout=30) as response:
            return bool(response.status == 200) and (not wanted or reached(response.read().decode(), wanted))
    except (urllib.error.URLError, OSError):
        return False


def reached(exposition: str, wanted: str) -> bool:
    """Whether a page of Prometheus metrics shows a sample that is at least as large as `wanted` (NAME NUMBER) says."""
    name, number = wanted.rsplit(" ", 1)
    samples = (line.rsplit(" ", 1) for line in exposition.splitlines() if line.startswith(f"{name} "))
    return any(float(sample[1]) >= float(number) for sample in samples)
