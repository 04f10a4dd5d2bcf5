"""Letters in words for people, and as plain values for machines. Pure, but for Rich where a table is drawn."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sinks.dead_letters.judge import Verdict
from sinks.dead_letters.letter import Group, Letter
from sinks.dead_letters.replay import Choice

#: Bytes of a value that are shown at most; `--raw` gives all.
SHOWN_BYTES = 4096
_ROW = 16


def readable(content: bytes | None) -> str:
    """Bytes as text where they are UTF-8 (control characters escaped, so that a terminal is safe), as a hex dump
    where they are not; the first 4 KiB."""
    if content is None:
        return "none"
    head = content[:SHOWN_BYTES]
    more = f"\n... {len(content) - len(head):,} bytes more" if len(content) > len(head) else ""
    try:
        text = content.decode()[:SHOWN_BYTES]
    except UnicodeDecodeError:
        return "\n".join(_dump(head)) + more
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text) + more


def _dump(content: bytes) -> Iterable[str]:
    for start in range(0, len(content), _ROW):
        row = content[start : start + _ROW]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:06x}  {row.hex(' '):<{_ROW * 3 - 1}}  {text}"


def moment(value: datetime | None) -> str:
    """To the second, in UTC; empty where it is not known."""
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S}"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns on standard output: as wide as the terminal, or as wide as they are where there is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = 10_000
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        drawn.add_column(title, overflow="fold")
    for row in rows:
        drawn.add_row(*map(Text, row))
    console.print(drawn)


def group_row(group: Group) -> list[str]:
    """One line of the list."""
    counts = (f"{group.letters:,}", f"{group.replayed:,}")
    return [group.topic, group.reason, *counts, moment(group.first), moment(group.last)]


def letter_row(letter: Letter) -> list[str]:
    """One line of the list of each letter."""
    detail = readable(letter.detail.encode()).replace("\n", " ")
    return [str(letter.place), letter.reason, moment(letter.received), moment(letter.replayed), detail[:100]]


def letter_lines(letter: Letter, verdict: Verdict) -> list[str]:
    """Everything about a letter."""
    lines = [
        f"letter      {letter.place}",
        f"reason      {letter.reason}: {readable(letter.detail.encode())}",
        f"received    {moment(letter.received) or 'not known'}{f' by {letter.group}' if letter.group else ''}",
        f"replayed    {moment(letter.replayed) or 'no'}",
        f"now wrong   {readable(str(verdict).encode())}",
        *(f"header      {name}: {readable(value)}" for name, value in letter.headers),
        f"key         {readable(letter.key)}",
        f"value       {'none' if letter.value_bytes is None else f'{letter.value_bytes:,} bytes'}",
    ]
    if letter.cut:
        lines.append(f"cut         the {' and '.join(letter.cut)} is not whole: too long to be kept")
    return [*lines, *([readable(letter.value)] if letter.value is not None else [])]


def as_json(letter: Letter, verdict: Verdict | None = None) -> dict[str, Any]:
    """A letter for machines; key, value and header values as text where they are UTF-8, otherwise {"base64": ...}."""
    found: dict[str, Any] = {
        "letter": str(letter.place), "topic": letter.place.topic, "partition": letter.place.partition,
        "offset": letter.place.offset, "reason": letter.reason, "detail": letter.detail,
        "received": _iso(letter.received), "replayed": _iso(letter.replayed), "consumer_group": letter.group,
        "key": _plain(letter.key), "headers": [[name, _plain(value)] for name, value in letter.headers],
        "value": _plain(letter.value), "value_bytes": letter.value_bytes, "cut": list(letter.cut),
    }  # fmt: skip
    return found if verdict is None else found | {"now": asdict(verdict)}


def group_as_json(group: Group) -> dict[str, Any]:
    """A line of the list for machines."""
    return asdict(group) | {"first": _iso(group.first), "last": _iso(group.last)}


def choice_as_json(choice: Choice) -> dict[str, Any]:
    """What becomes of a letter, for machines."""
    now = asdict(choice.verdict)
    return {"letter": str(choice.letter.place), "reason": choice.letter.reason, "now": now, "stays": choice.stays}


def _iso(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat().replace("+00:00", "Z")


def _plain(content: bytes | None) -> Any:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content or b"").decode()}
