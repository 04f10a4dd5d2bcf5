"""Runs that a gate has put aside: listed, left out of every training set, and released by name with a reason.

Putting aside and releasing are written into the store and, in the same transaction, into its audit log. Knows the
table and the log; no gate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from personas.errors import LockedStoreError, PoisonError, TrainingError
from sinks import audit_log
from sinks.persistence import again
from sinks.store import Store

if TYPE_CHECKING:
    from sinks.place import Place

_OPEN = "SELECT run_id FROM quarantine WHERE released IS NULL"


def listed(store: Store) -> list[dict[str, Any]]:
    """Every run that was ever put aside, the latest first; `released` is None for those that still are."""
    rows: list[dict[str, Any]] = store.query(
        "SELECT run_id, product, strftime(quarantined, '%Y-%m-%dT%H:%M:%SZ') AS quarantined, reason, "
        "strftime(released, '%Y-%m-%dT%H:%M:%SZ') AS released, release_reason FROM quarantine "
        "ORDER BY quarantined DESC, run_id"
    ).to_pylist()
    return rows


def put_aside(store: Store, suspects: Mapping[str, str], figures: Mapping[str, Any]) -> None:
    """Put runs aside, for these reasons; those that are there already, or were released, stay as they are."""

    def attempt() -> None:
        database = store.database
        with database.transaction():
            known = {row[0] for row in database.execute("SELECT run_id FROM quarantine")}
            fresh = {run: reason for run, reason in suspects.items() if run not in known}
            for run, reason in fresh.items():
                database.execute(
                    "INSERT INTO quarantine SELECT ?, min(product), ?::TIMESTAMPTZ, ?, ?, NULL, NULL FROM events "
                    "WHERE run_id = ?", [run, datetime.now(UTC).isoformat(), reason, json.dumps(figures), run]
                )  # fmt: skip
            audit_log.append(database, [audit_log.note("quarantine", run, {"reason": fresh[run]}) for run in fresh])

    again(attempt)


def release(store: Store, run: str, reason: str) -> None:
    """Let a run in again. TrainingError where it is not put aside, or no reason is given."""
    if not reason.strip():
        raise TrainingError("A run is released for a reason, and none was given.", hint="Say why with --reason.")
    aside = [row[0] for row in store.database.execute(f"{_OPEN} ORDER BY ALL")]
    if run not in aside:
        raise TrainingError(
            f"Run {run!r} is not in quarantine.",
            hint=f"These are: {', '.join(aside)}." if aside else "Nothing is: `dayone quarantine list`.",
        )

    def attempt() -> None:
        database = store.database
        with database.transaction():
            database.execute(
                "UPDATE quarantine SET released = ?::TIMESTAMPTZ, release_reason = ? WHERE run_id = ?",
                [datetime.now(UTC).isoformat(), reason.strip(), run],
            )
            audit_log.append(database, [audit_log.note("release", run, {"reason": reason.strip()})])

    again(attempt)


@contextmanager
def putting_aside(place: Place) -> Iterator[None]:
    """Where a build inside ends because of poisoned runs, put them aside in the store, which it has closed by then.
    Where another process has the store, the error says that it is not written down: the next build finds them again."""
    try:
        yield
    except PoisonError as error:
        try:
            with Store.open(place) as store:
                put_aside(store, error.suspects, error.figures)
        except LockedStoreError:
            error.hint = (
                "Another process has the store, so the run could not be put aside in it: stop that process, or leave "
                "the run out by naming the others with --run."
            )
        raise
