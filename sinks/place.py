"""Where a store is, read from the `--store` setting: a DuckDB file, or a lake with its catalogue.

    PATH                              one DuckDB file: one writer
    ducklake:sqlite:PATH              a lake whose catalogue is an SQLite file: many writers on one machine, by turns
    ducklake:postgres:CONNECTION      a lake whose catalogue is a PostgreSQL database: many writers anywhere

CONNECTION is libpq's list of words, `dbname=lake host=db` (DuckDB cannot put a password of its own beside an address
that begins with postgresql://). A password is refused in it: it would stand in the list of processes, and in every
error. Pure text; nothing is opened here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from personas.errors import StoreError

MEMORY = ":memory:"
LAKE = "ducklake:"
Kind = Literal["file", "sqlite", "postgres"]
_ADDRESS = re.compile(r"\s*postgres(?:ql)?://", re.IGNORECASE)
_PASSWORD = re.compile(r"(?:^|\s)(?:ssl)?password\s*=", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A store's place. `target` is the file, or for PostgreSQL the connection; `data_path` is where a lake keeps its
    files (empty: beside an SQLite catalogue, or what the lake was made with); `password` is PostgreSQL's, in case
    neither PGPASSWORD nor ~/.pgpass has it."""

    kind: Kind
    target: str
    data_path: str = ""
    password: str = field(default="", repr=False)

    @property
    def is_lake(self) -> bool:
        """Whether several processes may write it at once."""
        return self.kind != "file"

    @property
    def name(self) -> str:
        """As it was given, for messages; there is no password in it."""
        return f"{LAKE}{self.kind}:{self.target}" if self.is_lake else self.target


def place_of(store: str | Path, data_path: str = "", password: str = "") -> Place:
    """The place that a `--store` names. StoreError where it cannot be one, or holds a password."""
    text = str(store)
    if not text.startswith(LAKE):
        return Place("file", text)
    kind, _, target = text.removeprefix(LAKE).partition(":")
    if kind not in ("sqlite", "postgres") or not target.strip():
        raise StoreError(
            f"the store {LAKE}{kind}:... is none that is known.",
            hint=f"Expected a file, {LAKE}sqlite:FILE or {LAKE}postgres:CONNECTION (dbname=lake host=db).",
        )
    if kind == "postgres" and _ADDRESS.match(target):
        raise StoreError(
            "the store's PostgreSQL is given as an address, expected words.",
            hint=f"Write it as {LAKE}postgres:'dbname=lake host=db user=me', without a password.",
        )
    if kind == "postgres" and _PASSWORD.search(target):
        raise StoreError(
            "the store's address holds a password, where every process of the machine could read it.",
            hint="Leave it out and give it as DAYONE_STORE_PASSWORD, DAYONE_STORE_PASSWORD_FILE, PGPASSWORD or in "
            "~/.pgpass.",
        )
    if kind == "sqlite":
        return Place("sqlite", target, data_path or f"{target}.files")
    return Place("postgres", target, data_path, password)
