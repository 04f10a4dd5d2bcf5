"""`dayone sql`: answers printed as a table, CSV or JSON lines, and a prompt with history.

Knows the store and the terminal; Rich and prompt-toolkit are imported where they are used.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from personas.errors import StoreError

if TYPE_CHECKING:
    from sinks.attach import Asked

FORMATS = ("table", "csv", "json")
#: Rows that the table format prints at most.
TABLE_ROWS = 100

TABLES = (
    "SELECT CASE schema WHEN 'main' THEN name ELSE schema || '.' || name END AS name, kind, comment FROM ("
    "SELECT schema_name AS schema, table_name AS name, 'table' AS kind, comment FROM duckdb_tables() UNION ALL "
    "SELECT schema_name, view_name, 'view', comment FROM duckdb_views() WHERE NOT internal) "
    "ORDER BY schema <> 'main', schema, kind, name"
)


def answer(store: Asked, sql: str, format: str = "table", out: IO[str] | None = None) -> None:  # noqa: A002
    """Run a statement and print its rows to `out` (standard output). StoreError on a mistake in the SQL."""
    out = out or sys.stdout
    reader = store.reader(sql)
    names = list(reader.schema.names)
    rows = _rows(reader)
    if format == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_plain(value, text=True) for value in row] for row in rows)
    elif format == "json":
        for row in rows:
            values = {name: _plain(value) for name, value in zip(names, row, strict=True)}
            out.write(json.dumps(values, ensure_ascii=False, default=str) + "\n")
    else:
        _table(names, rows, out)


def _rows(reader: Any) -> Iterator[tuple[Any, ...]]:
    for batch in reader:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _plain(value: Any, *, text: bool = False) -> Any:
    """A value as JSON knows it, or (`text`) as one cell."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" " if text else "T").replace("+00:00", "" if text else "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if text and isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def _table(names: list[str], rows: Iterator[tuple[Any, ...]], out: IO[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out, highlight=False)
    if not console.is_terminal:
        console.width = 10_000
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(Text(name), overflow="fold")
    count = 0
    for count, row in enumerate(rows, 1):
        if count > TABLE_ROWS:
            break
        table.add_row(*(Text("" if value is None else str(_plain(value, text=True))) for value in row))
    console.print(table)
    if count > TABLE_ROWS:
        console.print(f"Only the first {TABLE_ROWS} rows are shown. All of them: --format csv or --format json")


def prompt(store: Asked, format: str = "table", ask: Callable[[str], str] | None = None) -> None:  # noqa: A002
    """Read statements (ended by `;`) until `.quit` or the end of input. At a terminal mistakes are shown, and it goes
    on; from a file or a pipe the first one ends it."""
    piped = ask is None and not sys.stdin.isatty()
    ask = ask or _asker()
    if not piped:
        sys.stdout.write("Statements end with ; – also .tables and .quit\n")
    lines: list[str] = []
    while True:
        try:
            line = ask("  ...> " if lines else "dayone> ")
        except KeyboardInterrupt:
            lines = []
            continue
        except EOFError:
            if lines:
                answer(store, "\n".join(lines), format)
            return
        if not lines and line.strip() in (".quit", ".exit"):
            return
        if not lines and line.strip() == ".tables":
            answer(store, TABLES)
            continue
        lines.append(line)
        statement = "\n".join(lines).strip()
        if not statement.rstrip(";").strip():
            lines = []
        elif statement.endswith(";"):
            lines = []
            try:
                answer(store, statement, format)
            except StoreError as error:
                if piped:
                    raise
                sys.stdout.write(f"{error}\n")


def _asker() -> Callable[[str], str]:
    if not sys.stdin.isatty():
        return lambda text: input()
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory

    session: PromptSession[str] = PromptSession(history=FileHistory(str(Path.home() / ".dayone_history")))
    return session.prompt
