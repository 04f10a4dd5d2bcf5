"""CSV and JSON lines whose damage stays where it is: a bad line costs itself, never the lines around it.

Every value is read as a text; columns that hold numbers throughout become numbers afterwards (a few that are none
become null). Two ways were weighed: DuckDB's own reading of damaged files, which guesses another dialect, drops short
rows or ends with an error depending on where the damage is; or DuckDB for files in order and line by line for the
others. The second loses nothing, and only damaged files pay for it (about 2 microseconds a line).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from personas.core.source import Source, summed
from personas.errors import CoreError, StoreError
from personas.sql import identifier, literal
from simulator.twins.database import Database

_DELIMITERS = ",;\t|"
#: A quoted value may go on over so many lines; a quote that is open for longer is taken for a slip.
_MOST_LINES = 20
_NUMERIC = 0.95
_CHUNK = 100_000
#: The table of what was read as texts.
TEXTS = "core_texts"
LINES = (
    "read_csv([{files}], columns = {{'line': 'VARCHAR'}}, delim = '\x01', quote = '', escape = '', header = false, "
    "auto_detect = false, ignore_errors = true, max_line_size = 16000000)"
)


def open_text(database: Database, files: list[Path], said: str) -> tuple[Source, int]:
    """The rows of the files as a source of texts, and how many lines are no rows. CoreError for an empty one."""
    names = ", ".join(literal(str(file)) for file in files)
    lines = files[0].suffix.lower() != ".csv"
    relation, bad = _json_lines(database, names, said) if lines else _csv(database, files, said)
    database.query(f"CREATE OR REPLACE TEMP TABLE {TEXTS} AS FROM {relation}")
    columns = [row["column_name"] for row in database.query(f"DESCRIBE FROM {TEXTS}").to_pylist()]
    return Source(TEXTS, dict.fromkeys(columns, "VARCHAR"), tuple(map(summed, files)), said), bad


def numbers_among(database: Database, source: Source, counted: Sequence[str], told: Sequence[str] = ()) -> Source:
    """The same source with those of the named columns as numbers that hold numbers, but for a few slips. Among those
    that are `told`, not `counted`, values that begin with a zero that a number would lose are names (postcodes)."""
    texts = [name for name in (*counted, *told) if source.columns[name] == "VARCHAR"]
    if not texts:
        return source
    asked = ", ".join(
        f"count({identifier(name)}), "
        f"count(*) FILTER (regexp_full_match(trim({identifier(name)}), '[+-]?[0-9]{{1,18}}')), "
        f"count(TRY_CAST({identifier(name)} AS DOUBLE)), "
        f"count(*) FILTER (regexp_full_match(trim({identifier(name)}), '0[0-9]+'))"
        for name in texts
    )
    answer = database.query(f"SELECT {asked} FROM {source.relation}")  # noqa: S608 - quoted names
    counts = [column[0].as_py() for column in answer.columns]
    kinds = dict(source.columns)
    for place, name in enumerate(texts):
        there, whole, number, zeros = counts[4 * place : 4 * place + 4]
        if there and number >= _NUMERIC * there and not (zeros and name in told):
            kinds[name] = "BIGINT" if whole == number else "DOUBLE"
    chosen = ", ".join(
        f"TRY_CAST({identifier(name)} AS {kind}) AS {identifier(name)}" if name in texts else identifier(name)
        for name, kind in kinds.items()
    )
    return Source(f"(SELECT {chosen} FROM {source.relation})", kinds, source.files, source.said)  # noqa: S608


def _json_lines(database: Database, names: str, said: str) -> tuple[str, int]:
    lines = LINES.format(files=names)
    database.query(f"CREATE OR REPLACE TEMP TABLE core_lines AS SELECT line FROM {lines} WHERE trim(line) <> ''")  # noqa: S608
    database.query("CREATE OR REPLACE TEMP TABLE core_json AS FROM core_lines WHERE json_valid(line)")
    database.query("DELETE FROM core_json WHERE json_type(line) <> 'OBJECT'")
    bad = database.value("SELECT (SELECT count(*) FROM core_lines) - (SELECT count(*) FROM core_json)")
    keys = database.query("SELECT DISTINCT unnest(json_keys(line)) AS key FROM core_json ORDER BY key")
    found = keys.column(0).to_pylist()
    if not found:
        raise CoreError(f"{said}: no line of it is a JSON object.", hint="Each line is one event: {...}.")
    picked = ", ".join(f"line ->> {literal(_pointer(key))} AS {identifier(key)}" for key in found)
    return f"(SELECT {picked} FROM core_json)", bad  # noqa: S608


def _pointer(key: str) -> str:
    """A JSON pointer (RFC 6901) to a key of the outermost object."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _csv(database: Database, files: list[Path], said: str) -> tuple[str, int]:
    try:
        parts = [_strict(file, said) for file in files]
        relation = "(" + " UNION ALL BY NAME ".join(f"FROM {part}" for part in parts) + ")"
        database.query(f"CREATE OR REPLACE TEMP TABLE core_strict AS FROM {relation}")
        return "core_strict", 0
    except StoreError:
        tables, bad = zip(*(_careful(file, said) for file in files), strict=True)
        database.register("core_careful", pa.concat_tables(tables, promote_options="default"))
        return "core_careful", sum(bad)


def _header(file: Path, said: str) -> tuple[list[str], str]:
    """The names of the columns, and what stands between values."""
    with file.open("rb") as lines:
        text = lines.readline().decode("utf-8-sig", "replace").rstrip("\r\n")
    delimiter = max(_DELIMITERS, key=text.count)
    names = [name.strip() for name in next(csv.reader([text], delimiter=delimiter), [])]
    if not any(names):
        raise CoreError(f"{said}: the file is empty.", hint="The first line of a CSV file names its columns.")
    if len({name.lower() for name in names}) < len(names) or not all(names):
        raise CoreError(
            f"{said}: its first line does not name its columns, each by another name: found {', '.join(names)[:200]}.",
            hint="The first line of a CSV file names its columns.",
        )
    return names, delimiter


def _strict(file: Path, said: str) -> str:
    names, delimiter = _header(file, said)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    return (
        f"read_csv({literal(str(file))}, columns = {{{columns}}}, delim = {literal(delimiter)}, quote = '\"', "
        "escape = '\"', header = true, auto_detect = false)"
    )


def _careful(file: Path, said: str) -> tuple[pa.Table, int]:
    names, delimiter = _header(file, said)
    schema = pa.schema([(name, pa.string()) for name in names])
    parts, rows, bad = [schema.empty_table()], list[list[str | None]](), 0

    def put_away() -> None:
        columns = zip(*rows, strict=True)
        parts.append(pa.table([pa.array(column, pa.string()) for column in columns], schema=schema))
        rows.clear()

    for fields in _records(file, delimiter, len(names)):
        if fields is None or any(fields[len(names) :]):
            bad += 1
        elif fields:
            whole = [field or None for field in fields[: len(names)]]
            rows.append(whole + [None] * (len(names) - len(whole)))
            if len(rows) == _CHUNK:
                put_away()
    if rows:
        put_away()
    return pa.concat_tables(parts), bad


def _records(file: Path, delimiter: str, width: int) -> Iterator[list[str] | None]:
    """The fields of each record after the header; None for a line that is none. Where a quote was opened by mistake,
    its line is given up, and reading goes on with the one below it."""
    with file.open("rb") as source:
        next(source, None)
        ahead: list[bytes] = []  # lines that were looked at already
        while first := ahead.pop(0) if ahead else next(source, b""):
            record, used, quotes = first, 0, first.count(b'"')
            while quotes % 2 and used + 1 < _MOST_LINES:
                if used == len(ahead):
                    if not (line := next(source, b"")):
                        break
                    ahead.append(line)
                record += ahead[used]
                quotes += ahead[used].count(b'"')
                used += 1
            fields = None if quotes % 2 else _fields(record, delimiter)
            if used and (fields is None or len(fields) != width):
                fields, used = None, 0
            del ahead[:used]
            yield fields


def _fields(record: bytes, delimiter: str) -> list[str] | None:
    try:
        text = record.decode("utf-8").rstrip("\r\n")
        return next(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return None
