"""The summary of a database: what is in it, read into a plain value, and printed for people or machines.

Knows the store's tables; Rich only inside `show`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from personas.errors import StoreError
from sinks.database import file_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from sinks.place import Place
    from sinks.store import Store

TOP_ITEMS = 5
NAMED = 3
ALL_RUNS = "counts and views take in all runs, unless filtered by run_id"


@dataclass(frozen=True)
class Summary:
    """Counts of a database, of one run or all. `events_per_second` is that of the last sink process, 0 if unknown."""

    store: str
    size_bytes: int
    run: str | None
    runs: list[dict[str, Any]]
    users: int
    sessions: int
    events: int
    conversations: int
    first_event: str | None
    last_event: str | None
    events_per_second: float
    funnel: list[dict[str, Any]]
    top_items: list[dict[str, Any]]
    dead_letters: dict[str, int]


def summarize(store: Store, run: str | None = None) -> Summary:
    """Read a summary; `run` is a run id, None for everything. StoreError where there is no such run."""

    def rows(sql: str, *parameters: Any) -> list[dict[str, Any]]:
        return list(store.query(sql, list(parameters)).to_pylist())

    runs = rows(
        "SELECT run_id, product, seed, users, max(days) AS days, min(state) AS state, max(updated)::VARCHAR AS updated "
        "FROM runs WHERE ? IS NULL OR run_id = ? GROUP BY ALL ORDER BY updated DESC",
        run, run,
    )  # fmt: skip
    where = "WHERE ($1 IS NULL OR run_id = $1)"
    span = rows(
        f"SELECT count(*) AS n, min(time)::VARCHAR AS first, max(time)::VARCHAR AS last FROM events {where}",  # noqa: S608
        run,
    )[0]
    if run is not None and not runs and not span["n"]:
        raise StoreError(f"{store.path}: there is no run {run!r}.", hint="See them: dayone sql 'from runs'")
    counts = {
        table: rows(f"SELECT count(*) AS n FROM {table} {where}", run)[0]["n"]  # noqa: S608 - names of ours
        for table in ("users", "sessions", "conversations")
    }
    funnel = rows(
        "SELECT product, step, type, count(DISTINCT (run_id, session_id)) AS sessions FROM events "  # noqa: S608
        f"JOIN funnel_steps USING (product, type) {where} GROUP BY ALL ORDER BY product, step",
        run,
    )
    top = rows(
        "SELECT item_id, any_value(title) AS title, sum(events)::BIGINT AS events, sum(users)::BIGINT AS users "  # noqa: S608
        f"FROM item_popularity {where} GROUP BY product, item_id ORDER BY events DESC, item_id LIMIT {TOP_ITEMS}",
        run,
    )
    dead = rows("SELECT reason, count(*) AS n FROM dead_letters GROUP BY reason ORDER BY reason")
    speed = rows(
        "SELECT events / nullif(epoch(updated) - epoch(started), 0) AS speed FROM ingests ORDER BY updated DESC LIMIT 1"
    )
    return Summary(
        store.path, store.size_bytes(), run, runs, counts["users"], counts["sessions"], span["n"],
        counts["conversations"], span["first"], span["last"], float(speed[0]["speed"] or 0) if speed else 0.0, funnel,
        top, {row["reason"]: row["n"] for row in dead},
    )  # fmt: skip


def note_of_others(store: Store, product: str, run: str | None = None) -> str:
    """A sentence for somebody about to store a run where there are others of the same product: `run`, or any where the
    run is not known. Empty where there is nothing to say."""
    rows = store.query("SELECT DISTINCT run_id FROM runs WHERE product = ? ORDER BY ALL", [product]).to_pylist()
    others = [row["run_id"] for row in rows if row["run_id"] != run]
    if len(others) < (1 if run else 2):
        return ""
    named = ", ".join(others[:NAMED]) + (", ..." if len(others) > NAMED else "")
    count = f"{len(others)} {'other ' if run else ''}run{'s' if len(others) > 1 else ''}"
    return f"{store.path} already holds {count} of {product} ({named}): {ALL_RUNS}"


def closed(summary: Summary, place: Place) -> Summary:
    """The same once the store at `place` has been closed: a file, whose log is in it then, has another size."""
    return summary if place.is_lake else replace(summary, size_bytes=file_bytes(place.target))


def as_json(summary: Summary) -> dict[str, Any]:
    """The summary as plain JSON values."""
    return asdict(summary)


def next_commands(summary: Summary) -> tuple[str, str, str]:
    """Three commands that are worth typing next."""
    store = "" if summary.store in ("./dayone.duckdb", "dayone.duckdb") else f" --store {summary.store}"
    return (
        f'dayone sql{store} "select day, sessions, conversion from sessions_per_day order by day"',  # noqa: S608
        f'dayone sql{store} "select problem, count(*) from problems group by all order by 2 desc"',  # noqa: S608
        f"dayone sql{store}",
    )


def show(summary: Summary, console: Console) -> None:
    """Print for people. Without colour where the console has none."""
    from rich.table import Table

    console.print(f"[bold]{summary.store}[/]  {summary.size_bytes / 1e6:.1f} MB", highlight=False)
    speed = f", taken in at {summary.events_per_second:,.0f} events/s" if summary.events_per_second >= 1 else ""
    console.print(
        f"{summary.users:,} users, {summary.sessions:,} sessions, {summary.events:,} events{speed}", highlight=False
    )
    if summary.conversations:
        console.print(f"{summary.conversations:,} conversations with support", highlight=False)
    if summary.first_event and summary.last_event:
        console.print(f"from {summary.first_event[:16]} to {summary.last_event[:16]} UTC", highlight=False)
    for run in summary.runs[:5]:
        console.print(
            f"run {run['run_id']}: {run['state']}, {run['days']:g} days, {run['users']:,} users, seed {run['seed']}",
            highlight=False,
        )
    if summary.run is None and len(summary.runs) > 1:
        console.print(f"{len(summary.runs)} runs: {ALL_RUNS} (dayone summary --run RUN)", highlight=False, markup=False)
    if summary.funnel:
        table = Table("funnel", title=None, box=None, pad_edge=False)
        table.add_column("sessions", justify="right")
        table.add_column("of all", justify="right")
        for step in summary.funnel:
            share = step["sessions"] / summary.sessions if summary.sessions else 0.0
            table.add_row(step["type"], f"{step['sessions']:,}", f"{share:.1%}")
        console.print(table)
    if summary.top_items:
        table = Table("top items", box=None, pad_edge=False)
        table.add_column("events", justify="right")
        table.add_column("users", justify="right")
        for item in summary.top_items:
            table.add_row(item["title"] or item["item_id"], f"{item['events']:,}", f"{item['users']:,}")
        console.print(table)
    dead = ", ".join(f"{count:,} {reason}" for reason, count in summary.dead_letters.items())
    console.print(f"dead letters: {dead or 'none'}", highlight=False)
    console.print("Next:", style="bold")
    for command in next_commands(summary):
        console.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)
