"""How errors reach people: a message on standard error, and the exit code of the error.

May know the error tree and nothing else; Rich is imported only when there is something to say.
"""

from __future__ import annotations

import sys
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
