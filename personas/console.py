"""How errors and progress reach people: on standard error, with the exit code of the error.

May know the error tree and nothing else; Rich is imported only when there is something to say.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from personas.errors import DayoneError


def fail(error: DayoneError) -> NoReturn:
    """Print what is wrong and how to mend it on standard error, and exit with the error's code."""
    show(error)
    raise SystemExit(error.exit_code)


def show(error: DayoneError) -> None:
    """Print an error on standard error: in colour on a terminal, plain elsewhere, never wrapped or abbreviated."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        first, _, rest = str(error).partition("\n")
        text = Text.assemble(("Error: ", "bold red"), first, ("\n" + rest if rest else "", "dim"))
        Console(stderr=True, soft_wrap=True).print(text)
    else:
        sys.stderr.write(f"Error: {error}\n")


@contextmanager
def told_errors() -> Iterator[None]:
    """Errors of ours inside become a message and an exit code; a reader that has gone away ends the program quietly."""
    try:
        yield
    except DayoneError as error:
        fail(error)
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(0) from None


@contextmanager
def progress_of(title: str, *, quiet: bool = False) -> Iterator[Callable[[int, int, int], None]]:
    """A bar on standard error that is told (steps done, steps in all, rows so far); nothing off a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total, rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(title), BarColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, rows=0)

        def tell(done: int, total: int, rows: int) -> None:
            bar.update(task, completed=done, total=total, rows=rows)

        yield tell
