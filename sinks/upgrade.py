"""Brings a database up to date: which migrations it lacks, and all of these applied in one transaction.

One for each was the other way: a new lake, whose every commit is a round in its catalogue, took twice as long to make,
and an upgrade that failed half-way left a schema that no version of the program had. Knows how migrations are recorded;
what they do is `migrations.py`'s.
"""

from __future__ import annotations

import logging

from personas.errors import StoreError
from sinks.database import Database

log = logging.getLogger("dayone.sink.store")

#: Name and SQL script of each step, in order.
Migrations = tuple[tuple[str, str], ...]


def upgrade(database: Database, migrations: Migrations, *, read_only: bool, as_it_was: bool = False) -> None:
    """Apply what is missing; nothing to a lake `as_it_was` at an earlier time, which had what it had.

    StoreError where the schema is newer than this program (then nothing is changed), where the database is somebody
    else's, and where it would have to be changed but is `read_only`.
    """
    with database.speaking():
        lacking = pending(database, migrations)
        if as_it_was:
            return
        if lacking and read_only:
            raise StoreError(
                f"{database.path}: the database lacks the migrations {', '.join(name for name, _ in lacking)}.",
                hint="Start `dayone sink` on it once; it brings the database up to date.",
            )
        if lacking:
            _apply(database, lacking)


def pending(database: Database, migrations: Migrations) -> Migrations:
    """The migrations to apply; StoreError where the database has some that this program does not know."""
    known = [name for name, _ in migrations]
    found = database.execute(
        "SELECT table_name FROM information_schema.tables "
        "WHERE table_schema = 'main' AND table_catalog = current_database() ORDER BY ALL"
    )
    if ("schema_migrations",) not in found:
        if found:
            kind = "DuckDB database" if database.kind == "file" else "lake"
            raise StoreError(
                f"{database.path}: a {kind}, but not one of Dayone's: it holds {found[0][0]!r}.",
                hint="Give another place with --store; Dayone makes it.",
            )
        return migrations
    applied = [name for (name,) in database.execute("SELECT name FROM schema_migrations ORDER BY position")]
    if applied != known[: len(applied)]:
        odd = [name for name in applied if name not in known] or applied
        raise StoreError(
            f"{database.path}: the database has a newer schema than this program: it knows {', '.join(odd)}. "
            "Nothing was changed.",
            hint="Install the newer Dayone, or give another file with --store.",
        )
    return migrations[len(applied) :]


def _apply(database: Database, lacking: Migrations) -> None:
    with database.transaction():
        database.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (position INTEGER, name VARCHAR, applied TIMESTAMPTZ)"
        )
        there = {name for (name,) in database.execute("SELECT name FROM schema_migrations")}
        for name, script in lacking:
            if name not in there:  # else another process was quicker
                database.execute(script)
                database.execute(
                    "INSERT INTO schema_migrations SELECT count(*), ?, now() FROM schema_migrations", [name]
                )
    log.debug("applied to %s: %s", database.path, ", ".join(name for name, _ in lacking))
