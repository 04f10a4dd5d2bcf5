"""`dayone explain MODEL`: what a twin model learnt, from what, and what that promises. Plain data, then plain text.

What people do is told from sessions that are drawn for the purpose: the model is asked what it plays, whatever is
inside it. Knows no pack and no Kafka.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from personas.randomness import root_key
from simulator.twins.artefact import Lineage, load
from simulator.twins.draw import draw
from simulator.twins.log import Log
from simulator.twins.model import TwinModel

USERS = 500
MOST = 8
_HOUR_US = 3_600_000_000


def explained(folder: Path, users: int = USERS) -> dict[str, Any]:
    """The model in a folder, as plain JSON; its behaviour from so many drawn users."""
    model, lineage = load(folder)
    return {
        "model": lineage.fingerprint, "generation": lineage.generation, "ancestors": list(lineage.ancestors),
        "pack": lineage.pack.name if lineage.pack else None, "core": lineage.core, "facts": lineage.facts,
        "leaning": list(leaning(lineage)), "privacy": list(promises(lineage)),
        "behaviour": _behaviour(model, users),
    }  # fmt: skip


def promises(lineage: Lineage) -> Iterator[str]:
    """What may be said of the people of the core, in whole sentences."""
    but = " but by its pack" if (lineage.facts.get("posterior") or {}).get("sessions") else ""
    yield (
        f"No event name that fewer than {lineage.k} users had is in the model{but}, and no item of fewer is "
        "learnt alone."
    )
    yield f"Names of items that fewer than {min(lineage.k, lineage.item_names)} users had are replaced (--item-names)."
    if lineage.epsilon is None:
        yield "There is no noise in it: no differential privacy is promised. `dayone prove` attacks it."
    else:
        yield (
            f"({lineage.epsilon:g}, {lineage.delta:.2g})-differential privacy for each user: whoever sees the model "
            "can hardly tell whether one user was in the core (the odds change by a factor of "
            f"{np.exp(lineage.epsilon):.3g} at most, but for a chance of {lineage.delta:.2g}). Counts in the lineage "
            "are exact, and not covered."
        )
    yield _of_copies(lineage)


def leaning(lineage: Lineage) -> Iterator[str]:
    """How much of the model is the pack's personas or its student; nothing for a model of no pack."""
    told = lineage.facts.get("posterior")
    if not told:
        return
    losses = ", ".join(f"{name} {loss:.3f}" for name, loss in told["log_loss"].items())
    if told["sessions"]:
        yield (
            f"what comes next is learnt from {told['sessions']:,} sessions of the {told['teacher']} as well (weight "
            f"{told['weight']:.0%}): nats an event on users left out: {losses}"
        )
    else:
        yield f"the core knows enough: nothing of others is learnt (nats an event on users left out: {losses})"


def columns_told(core: dict[str, Any], facts: dict[str, Any]) -> Iterator[str]:
    """Which further columns twins have, and why not the others."""
    known = facts.get("columns", ())
    gone = {**facts.get("columns_left_out", {}), **dict.fromkeys(core.get("not_read", ()), "not read")}
    if "columns" in facts:
        gone |= {name: "no noise covers them" for name in core.get("further", ()) if name not in (*known, *gone)}
    if known:
        yield f"further columns: {', '.join(known)}"
    by_reason: dict[str, list[str]] = {}
    for name, reason in gone.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        yield f"columns left out: {', '.join(names)} ({reason})"


def _of_copies(lineage: Lineage) -> str:
    told = lineage.facts.get("near_copies")
    if lineage.epsilon is not None:
        return "Near copies of real sessions are not refused: that takes exact hashes, which no noise covers."
    if not told:
        return "Near copies of real sessions are not refused when twins are drawn."
    if not told["hashes"]:
        return f"No session is so long and so odd that fewer than {lineage.k} users are nearly alike: all may be drawn."
    return (
        f"Sessions of {told['shortest']} and more events that fewer than {lineage.k} users nearly had are not drawn: "
        f"{told['hashes']:,} hashes of {told['sessions']:,} real ones are kept for that (about "
        f"{told['refused_by_mistake']:.2%} of long sessions are refused by mistake). Who has this model and a whole "
        "session can ask whether it was in the core: keep it, or fit one with --allow-near-copies to give away."
    )


def _behaviour(model: TwinModel, users: int) -> dict[str, Any]:
    log = draw(model, np.arange(users), root_key("explain", 1))
    events, words = len(log.event), log.words["event"]
    last = log.first[1:] - 1
    hours = np.bincount((log.time[log.first[:-1]] // _HOUR_US) % 24, minlength=24)
    lengths = log.lengths
    return {
        "drawn_users": users, "sessions_per_user": round(len(log.user) / users, 2),
        "users_who_return": round(float((np.bincount(log.user, minlength=users) > 1).mean()), 3),
        "events_per_session": {f"{q:.0%}": int(np.quantile(lengths, q)) for q in (0.1, 0.5, 0.9)},
        "events": _shares(words, log.event), "first": _shares(words, log.event[log.first[:-1]]),
        "last": _shares(words, log.event[last]), "follows": _follows(log),
        "with_item": round(float((log.item >= 0).mean()), 3),
        "items": len(np.unique(log.item[log.item >= 0])),
        "busiest_hours": [int(hour) for hour in np.argsort(-hours, kind="stable")[:3]] if events else [],
    }  # fmt: skip


def _shares(words: tuple[str, ...], codes: Any) -> dict[str, float]:
    counts = np.bincount(codes, minlength=len(words))
    order = [code for code in np.argsort(-counts, kind="stable")[:MOST].tolist() if counts[code]]
    return {words[code]: round(float(counts[code] / counts.sum()), 4) for code in order}


def _follows(log: Log) -> dict[str, dict[str, float]]:
    """What most often follows each of the most frequent events; the empty name: the session ends."""
    words = (*log.words["event"], "")
    after = np.append(log.event[1:], 0)
    after[log.first[1:] - 1] = len(words) - 1
    found = {}
    for name in _shares(log.words["event"], log.event):
        found[name] = dict(list(_shares(words, after[log.event == words.index(name)]).items())[:3])
    return found


def lines_of(told: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    core, play = told["core"], told["behaviour"]
    yield f"twin model {told['model'][:12]}, generation {told['generation']}, for {told['pack'] or 'no pack'}"
    counts = ", ".join(f"{core[name]:,} {name}" for name in ("events", "sessions", "users"))
    yield f"learnt from {counts}, {core['first'][:10]} to {core['last'][:10]}"
    for file in core["files"]:
        yield f"  {file['name']}  sha256 {file['sha256'][:16]}…"
    if dropped := {name: count for name, count in (told["facts"].get("dropped") or {}).items() if count}:
        yield "left out, as too few users had it: " + ", ".join(f"{count:,} {name}" for name, count in dropped.items())
    yield from columns_told(core, told["facts"])
    yield from told["leaning"]
    yield from told["privacy"]
    spread = play["events_per_session"]
    yield (
        f"of {play['drawn_users']} drawn users: {play['sessions_per_user']} sessions each, "
        f"{play['users_who_return']:.0%} return, {spread['10%']} to {spread['90%']} events a session (median "
        f"{spread['50%']}), {play['items']:,} items"
    )
    yield "sessions begin with " + _listed(play["first"]) + "; end with " + _listed(play["last"])
    for event, after in play["follows"].items():
        yield f"  after {event} ({play['events'][event]:.1%}): " + _listed(after)


def _listed(shares: dict[str, float]) -> str:
    return ", ".join(f"{name or 'the end'} {share:.0%}" for name, share in list(shares.items())[:3])
