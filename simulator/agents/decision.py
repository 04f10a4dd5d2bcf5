"""From an answer to a move: what a language model said is read against what was offered, or refused with the reason.

An answer is untrusted input, whatever its schema promised: it may name what is not there, leave things out, be of the
wrong type. `read_decision` gives a Decision that names only what was offered, or a Refusal that says why in words which
the model can be asked again with. Nothing here raises. Knows neither pool nor world.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulator.agents.prompt import data, plain
from simulator.agents.screen import LONGEST_DWELL_SECONDS, LONGEST_REASON, LONGEST_WORDS, NONE, Offer

#: Why an answer can be refused; metrics count by these words. `unknown_item` is an item that was made up.
REFUSALS = ("malformed", "illegal_action", "unknown_item", "item_missing")


@dataclass(frozen=True)
class Decision:
    """A legal move. `event` as in Offer; `place`, `category`, `dwell_ms` are -1 and `words` None where nothing was said
    or nothing was asked for."""

    event: int
    place: int = -1
    category: int = -1
    dwell_ms: int = -1
    words: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class Refusal:
    """Why an answer cannot be carried out: a kind (see REFUSALS) and a sentence."""

    kind: str
    reason: str


def read_decision(content: Any, offer: Offer) -> Decision | Refusal:
    """The move that an answer names, or why there is none."""
    if not isinstance(content, dict) or not isinstance(content.get("action"), str):
        return Refusal("malformed", "The answer names no action.")
    action: str = content["action"]
    if action not in offer.events:
        return Refusal("illegal_action", f"The action {data(action, 60)} is not possible here.")
    place = -1
    if action in offer.takes:
        item = content.get("item")
        if not isinstance(item, str) or item in ("", NONE):
            return Refusal("item_missing", f"{action} needs the id of an item on the screen.")
        if item not in offer.items:
            return Refusal("unknown_item", f"There is no item {data(item, 60)} on the screen.")
        place = offer.items[item]
    category = content.get("category") if action in offer.draws else None
    words = content.get("words") if action in offer.writes else None
    typed = plain(words, LONGEST_WORDS) if isinstance(words, str) else ""
    reason = content.get("reason")
    return Decision(
        event=offer.events[action],
        place=place,
        category=offer.categories.get(category, -1) if isinstance(category, str) else -1,
        dwell_ms=_dwell_ms(content.get("dwell_seconds")),
        words=typed or None,
        reason=plain(reason, LONGEST_REASON) if isinstance(reason, str) else "",
    )


def _dwell_ms(seconds: Any) -> int:
    """The stay in milliseconds, within bounds; -1 where none was told."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds != seconds:  # noqa: PLR0124 - not a number
        return -1
    return int(min(max(seconds, 1), LONGEST_DWELL_SECONDS) * 1000)
