"""Traces from event logs: what real users did, or sessions that were recorded, in place of a tutor. It costs nothing.

Two kinds of files are read. A dump of topics (CloudEvents in JSON lines, events and labels) says who came for what. A
log, as `dayone export` writes and as products keep (a row per event, in words that a map translates), does not say it,
nor which problem struck: a problem is told by the event that it emits, and persona and intent are drawn for each user
and session from what the base makes of their chances,

    P(persona | user)             ~ share x product over sessions of sum over intents of P(intent | persona) x L
    P(intent | session, persona)  ~ P(intent | persona) x L,      L = likelihood of the session's decisions

with traits and patience at the persona's mean. Drawing (one draw of stochastic EM; Celeux, Diebolt 1985) was weighed
against weighting each session by all of its chances: a draw keeps sessions whole, and costs no more rows. Whoever is
held out to judge by is drawn from the prior, which favours the prior; who teaches is drawn again from what was learnt.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from personas import event as contract
from personas.core.mapping import CoreMap
from personas.errors import CoreError
from personas.population import trait_names
from personas.randomness import F64, fold, root_key, uniform
from simulator.behaviour.model import Behaviour
from simulator.behaviour.reading import Message, read_traces
from simulator.behaviour.traces import Traces
from simulator.teach.predicting import next_event_chances
from simulator.teach.walks import Room
from simulator.twins.ancestry import Ancestry
from simulator.world import I64

#: Rows judged at once, and the least chance that any decision is given.
CHUNK, LEAST = 50_000, 1e-5
DUMPS = (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Visited:
    """What a file says: `traces`, the `user` (a number) of each session, whether personas and intents are `known`,
    sessions that `lost` out (no label, or against the product's rules), files with their SHA-256, and ancestry."""

    traces: Traces
    user: I64
    known: bool
    lost: int
    files: tuple[dict[str, Any], ...]
    ancestry: Ancestry


def read_visits(given: str, mapping: CoreMap, room: Room) -> Visited:
    """The sessions at `given`. CoreError where there are none, or none that keeps to the pack's rules."""
    from personas.core.source import summed
    from simulator.twins.core import read_core
    from simulator.twins.database import open_memory

    path = Path(given)
    levels = len(room.prior.appeal)
    if known := _is_dump(path):
        messages = list(_dumped(path))
        made = max((int(each.get("generation", 0)) for each in messages), default=0)
        runs = dict.fromkeys(f"run {each['runid']}" for each in messages if "runid" in each)
        read = read_traces(messages, room.world, levels)
        files, ancestry = (summed(path),), Ancestry(made, tuple(runs), real=not made)
    else:
        with open_memory("2GB") as database:
            core = read_core(database, given, mapping, pack=room.pack, columns=())
        read = read_traces(_as_messages(core.log.to_pylist(), room), room.world, levels)
        files, ancestry = tuple(core.told["files"]), core.ancestry
    lost = read.unlabelled + read.unlawful
    if not read.traces.sessions:
        raise CoreError(
            f"{given}: no session can be learnt from: {read.unlabelled:,} have no label, {read.unlawful:,} go against "
            f"the rules of {room.pack.product.name}.",
            hint="Sessions must keep to what the product's events require (no item that was not shown, for one); "
            "`dayone fit` takes logs that leave steps out.",
        )
    _, user = np.unique(read.users, return_inverse=True)
    return Visited(read.traces, np.asarray(user, dtype=np.int64), known, lost, files, ancestry)


def assigned(traces: Traces, user: I64, behaviour: Behaviour, room: Room, seed: int) -> Traces:
    """The traces with a persona for each user and an intent for each session, drawn from their chances."""
    told = _likelihoods(traces, behaviour, room)
    with np.errstate(divide="ignore"):
        joint = np.log(behaviour.intents)[None] + told  # [sessions, P, G]
        share = np.log([persona.share for persona in room.pack.personas])
    of_user = np.zeros((int(user.max()) + 1, len(behaviour.intents)))
    np.add.at(of_user, user, np.logaddexp.reduce(joint, axis=2))
    key = root_key("assigned", seed)
    persona = _drawn(of_user + share, uniform(fold(key, np.arange(len(of_user)))))[user]
    session = np.arange(traces.sessions)
    intent = _drawn(joint[session, persona], uniform(fold(fold(key, user), session)))
    return _as(traces, persona[traces.session], intent[traces.session], room)


def _likelihoods(traces: Traces, behaviour: Behaviour, room: Room) -> F64:
    """[sessions, P, G] the logarithm of the chance of each session's decisions."""
    personas, intents = behaviour.intents.shape
    found = np.zeros((traces.sessions, personas, intents))
    for persona, intent in np.argwhere(behaviour.intents > 0).tolist():
        rows = np.full(len(traces), persona), np.full(len(traces), intent)
        looked = _as(traces, *rows, room)
        for first in range(0, len(traces), CHUNK):
            some = looked.of_rows(np.arange(first, min(first + CHUNK, len(traces))))
            chances = next_event_chances(some, behaviour, room.world)
            made = np.log(np.maximum(chances[np.arange(len(some)), some.event.astype(np.int64)], LEAST))
            np.add.at(found[:, persona, intent], some.session, made)
    return found


def _as(traces: Traces, persona: I64, intent: I64, room: Room) -> Traces:
    """The same decisions, as those of users of these personas (at their means) with these intents."""
    people, product = room.population, room.pack.product
    count = len(room.pack.personas)
    many = np.maximum(np.bincount(people.persona, minlength=count), 1)[:, None]
    mean = np.zeros((count, people.traits.shape[1]))
    np.add.at(mean, people.persona, people.traits / many[people.persona])
    patience = np.array([one.patience.median for one in room.pack.personas])
    level = np.zeros(count)
    if product.choice.price_trait is not None:
        levels = len(room.prior.appeal)
        minds = mean[:, trait_names(room.pack).index(product.choice.price_trait)]
        level = np.minimum(minds * levels, levels - 1)
    goal = room.world.goal[intent]
    done = np.cumsum(traces.event == goal) - (traces.event == goal)
    starts = np.flatnonzero(np.diff(traces.session, prepend=-1))
    return replace(
        traces,
        persona=persona.astype(np.int16),
        intent=intent.astype(np.int16),
        traits=mean[persona].astype(np.float32),
        patience=patience[persona].astype(np.float32),
        level=level.astype(np.int16)[persona],
        reached=done > done[starts][traces.session],
    )


def _drawn(logs: F64, number: F64) -> I64:
    """For each row a column, with the chances that the logarithms stand for."""
    chance = np.exp(logs - logs.max(axis=1, keepdims=True))
    reached = np.cumsum(chance, axis=1)
    return np.asarray((reached < number[:, None] * reached[:, -1:]).sum(axis=1), dtype=np.int64)


def held_out(user: I64, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """[sessions] whether the session's user is kept from teaching."""
    return np.asarray(uniform(fold(root_key("held out", seed), user)) < share)


def _as_messages(rows: list[dict[str, Any]], room: Room) -> Iterator[Message]:
    """The rows of a log (see `twins.core`) as the messages that a run would have sent, each with the first persona."""
    product, pack = room.pack.product, room.pack
    emitted = {int(event): number for number, event in enumerate(room.world.problem_emits.tolist()) if event >= 0}
    number_of, problems = {name: row for row, name in enumerate(product.events)}, list(product.problems)
    names = dict.fromkeys(product.events, product.item_property or "item_id")
    persona, intent = pack.personas[0].name, next(iter(product.intents))
    struck: dict[str, list[dict[str, Any]]] = {}
    count: dict[str, int] = {}
    users: dict[str, None] = {}
    for row in rows:
        session, sequence = row["session_id"], count.get(row["session_id"], 0)
        count[session], users[row["user_id"]] = sequence + 1, None
        problem = emitted.get(number_of[row["event"]])
        if problem is not None:
            struck.setdefault(session, []).append({"sequence": sequence, "problem": problems[problem]})
        data = {} if row["item_id"] is None else {names[row["event"]]: row["item_id"]}
        yield {"id": f"{session}.{sequence}", "type": row["event"], "time": row["ts"].isoformat(), "data": data,
               "subject": row["user_id"], "sessionid": session}  # fmt: skip
    for session in count:
        told = {"persona": persona, "intent": intent, "problems": struck.get(session, [])}
        yield {"type": contract.SESSION_LABEL, "sessionid": session, "data": told}
    for user in users:
        yield {"type": contract.USER_LABEL, "subject": user, "data": {"traits": {}, "tastes": {}}}


def _is_dump(path: Path) -> bool:
    """Whether this is a file of messages as they are on the topics."""
    if path.suffix not in DUMPS or not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            first = json.loads(file.readline())
        except ValueError:
            return False
    return isinstance(first, dict) and "specversion" in first


def _dumped(path: Path) -> Iterator[Message]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                message = json.loads(line)
                if message["type"]:
                    yield message
            except (ValueError, TypeError, KeyError):
                raise CoreError(f"{path}, line {number}: found no message (JSON with a `type`).") from None
