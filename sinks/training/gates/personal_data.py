"""Gate: no text that goes into a set names or reaches a real person.

Looked through are the properties of every event that goes in, the catalogue's texts, and every text of the rows that
were made; a regular expression in the database picks the few that could hold something (see personal.py). Where there
is a core, all texts are also searched for its people: the identifiers that pseudonyms hide, and the columns that the
map calls personal. Those words are compared as whole words; they are in no error, log or file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

from personas.sql import identifier, literal
from sinks.training.gates.gate import Evidence, Found, Stage, worst
from sinks.training.personal import CANDIDATE, hits_in, telling, words_in

_EVENTS = (
    "(SELECT run_id, type, CAST(properties AS VARCHAR) AS text FROM events SEMI JOIN "
    "(SELECT run_id, user_id FROM chosen_users_all) USING (run_id, user_id) "
    "UNION ALL SELECT run_id, type, CAST(properties AS VARCHAR) FROM core_events)"
)
_OF_ITEMS = ("title", "category", "text")
_BATCH = 20_000


class PersonalDataGate:
    """Implements Gate."""

    name: ClassVar[str] = "personal_data"
    stage: ClassVar[Stage] = "rows"
    checks: ClassVar[str] = (
        "texts with e-mail addresses, phone numbers, cards, IBANs, or words that name the core's users"
    )
    unit: ClassVar[str] = "texts with personal data"
    threshold: ClassVar[float] = 0.0

    def judge(self, evidence: Evidence, threshold: float) -> tuple[float, tuple[Found, ...], str]:
        """See Gate."""
        known = _known(evidence)
        counts: Counter[tuple[str, str]] = Counter()
        for place, text, times in _texts(evidence, everything=bool(known)):
            for what in {f"{hit.kind}: {hit.shown}" for hit in hits_in(text)}:
                counts[place, what] += times
            for kind in {known[word] for word in words_in(text, known)} if known else ():
                counts[place, f"a word of the core ({kind})"] += times
        for kind, users in _bare(evidence).items():
            counts["user_id", f"a word of the core ({kind})"] += users
        found = [Found(place, float(times), f"{times:,} times {what}") for (place, what), times in counts.items()]
        note = "" if known else "names of real people are not known (no core, or ids too short to search for)"
        return float(sum(counts.values())), worst(found), note


def _known(evidence: Evidence) -> dict[str, str]:
    """The words by which people of the core could be known, and which column they are from."""
    rows = evidence.store.query("SELECT word, min(kind) AS kind FROM core_words GROUP BY word").to_pylist()
    return {plain: row["kind"] for row in rows if (plain := telling(row["word"]))}


def _bare(evidence: Evidence) -> dict[str, int]:
    """Users of the rows whose id is the core's own: pseudonyms failed."""
    rows = evidence.store.query(
        "SELECT kind, count(*) AS n FROM chosen_users_all JOIN core_words ON word = user_id WHERE run_id = 'core' "
        "GROUP BY kind"
    ).to_pylist()
    return {row["kind"]: row["n"] for row in rows}


def _texts(evidence: Evidence, everything: bool) -> Iterator[tuple[str, str, int]]:
    """Texts with their places and how often they are there: those that could hold something, or all of them."""
    which = "true" if everything else f"regexp_matches(text, {literal(CANDIDATE)})"
    reader = evidence.store.reader(
        f"SELECT run_id, type, text, count(*) AS n FROM {_EVENTS} WHERE {which} GROUP BY ALL", _BATCH  # noqa: S608
    )  # fmt: skip
    for batch in reader:
        for row in batch.to_pylist():
            for name, text in _leaves(json.loads(row["text"]), ""):
                yield f"{row['run_id']}, {row['type']}{name}", text, row["n"]
    items = evidence.store.query("SELECT item_id, title, category, text FROM chosen_items").to_pylist()
    yield from ((f"item {row['item_id']}.{name}", row[name], 1) for row in items for name in _OF_ITEMS)
    assert evidence.rows is not None
    for column in evidence.columns:
        if column.role in ("feature", "label") and (column.type == "VARCHAR" or "STRUCT" in column.type.upper()):
            name = identifier(column.name)
            text = name if column.type == "VARCHAR" else f"CAST(to_json({name}) AS VARCHAR)"
            made = evidence.rows.reader(
                f"SELECT text, count(*) AS n FROM (SELECT {text} AS text FROM made) WHERE text IS NOT NULL AND {which} "  # noqa: S608
                "GROUP BY ALL", _BATCH
            )  # fmt: skip
            for batch in made:
                yield from ((column.name, row["text"], row["n"]) for row in batch.to_pylist())


def _leaves(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """The texts in a JSON value, with their places in it. Numbers are not texts: prices have many digits."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{place}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, f"{place}[]")
