"""Messages for the sink's tests: a little generator of its own, and a stand-in for a pack.

Deterministic: the n-th session is always the same. Knows the wire contract, not the simulator.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from personas import topics
from personas.event import CONVERSATION, RUN, SESSION, SESSION_LABEL, USER, USER_LABEL
from personas.provenance import RunIdentity, RunManifest
from sinks.batch import Messages

PRODUCT = "tiny"
EVENTS = topics.events_topic(PRODUCT)
SESSIONS = topics.sessions_topic(PRODUCT)
USERS = topics.users_topic(PRODUCT)
LABELS = topics.labels_topic(PRODUCT)
CONVERSATIONS = topics.conversations_topic(PRODUCT)
RUN_ID = "tiny-aaaaaaaaaa"

SPECS: dict[str, dict[str, tuple[str, bool]]] = {
    "product_list_viewed": {"category": ("string", True), "products": ("strings", True)},
    "product_viewed": {"product_id": ("string", True), "price": ("number", True), "position": ("integer", False)},
    "product_added": {"product_id": ("string", True), "price": ("number", True), "gift": ("boolean", False)},
    "order_completed": {"order_id": ("string", True), "value": ("number", True)},
}
STEPS = tuple(SPECS)

Record = tuple[bytes, bytes]


def tiny_pack(version: int = 1) -> Any:
    """What the sink uses of a pack, without the pack machinery."""
    sources = {"products": "slate.items", "product_id": "item.id"}
    events = {
        name: SimpleNamespace(
            item="slate" if "position" in spec else "focus" if "product_id" in spec else None,
            slate="page" if "products" in spec else None,
            properties={k: SimpleNamespace(type=t, required=r, source=sources.get(k)) for k, (t, r) in spec.items()},
        )
        for name, spec in SPECS.items()
    }
    items = tuple(
        SimpleNamespace(id=f"p{n}", title=f"Item {n}", category="things", price=n + 0.5, quality=0.5, launch_day=0,
                        text="A thing")
        for n in range(10)
    )  # fmt: skip
    product = SimpleNamespace(
        name=PRODUCT, version=version, item_property="product_id", events=events, funnel=STEPS,
        slates={"page": SimpleNamespace(size=3, examination=0.5)}, conversion=STEPS[-1],
        intents={"buy": SimpleNamespace(goal=STEPS[-1]), "look": SimpleNamespace(goal=None)},
    )  # fmt: skip
    catalog = SimpleNamespace(items=items)
    return SimpleNamespace(product=product, fingerprint=f"f{version}" * 8, catalog=catalog, personas=(), help=None)


def data_of(step: str, number: int) -> dict[str, Any]:
    item = f"p{number % 10}"
    return {
        "product_list_viewed": {"category": "things", "products": [item, "p1", "p2"]},
        "product_viewed": {"product_id": item, "price": 9.5, "position": number % 4},
        "product_added": {"product_id": item, "price": 9.5, "gift": number % 2 == 0, "note": "für dich"},
        "order_completed": {"order_id": f"o{number}", "value": 19.0},
    }[step]


def message(
    kind: str, ident: str, user: str, data: dict[str, Any], *, time: str = "2026-01-02T03:04:05.678Z",
    session: str | None = None, run: str = RUN_ID, **other: Any,
) -> bytes:  # fmt: skip
    envelope = {
        "specversion": "1.0", "id": ident, "source": f"/dayone/{PRODUCT}", "type": kind, "time": time,
        "subject": user, "synthetic": True, "runid": run, "generator": "prior", "generation": 1,
    }  # fmt: skip
    if session is not None:
        envelope["sessionid"] = session
    return json.dumps(envelope | {"data": data} | other, separators=(",", ":"), ensure_ascii=False).encode()


def moment(number: int) -> str:
    minute, hour, day = number % 60, number // 60 % 24, number // 1440 % 28
    return f"2026-01-{1 + day:02d}T{hour:02d}:{minute:02d}:00.{number % 1000:03d}Z"


def session_events(number: int, run: str = RUN_ID) -> list[Record]:
    """The events of the n-th session: one per step of the funnel."""
    user, session = f"u{number:07d}", f"u{number:07d}-0"
    return [
        (
            user.encode(),
            message(step, f"{session}.{place}", user, data_of(step, number + place), time=moment(number),
                    session=session, run=run),
        )
        for place, step in enumerate(STEPS)
    ]  # fmt: skip


def events(count: int, run: str = RUN_ID) -> list[Record]:
    """The first `count` events."""
    sessions = (record for number in range(-(-count // len(STEPS))) for record in session_events(number, run))
    return [record for record, _ in zip(sessions, range(count), strict=False)]


def other_records(number: int, run: str = RUN_ID) -> dict[str, list[Record]]:
    """What goes with the n-th session on the other topics."""
    user, session, time = f"u{number:07d}", f"u{number:07d}-0", moment(number)
    summary = {"number": 0, "started": time, "ended": time, "events": len(STEPS), "items": 2, "device": "phone",
               "converted": True, "value": 19.0}  # fmt: skip
    truth = {"persona": "hunter", "intent": "buy", "intent_reached": True, "satisfaction": 0.5, "churned": False,
             "weight": 1.0, "history_weight": 1.0, "problems": [{"sequence": 1, "problem": "slow_page"}],
             "slates": [{"sequence": 0, "slate": "home_picks", "propensities": [0.5, 0.5]}]}  # fmt: skip
    person = {"persona": "hunter", "traits": {"patience": 0.25}, "tastes": {"things": 1.0}, "sessions_per_week": 2.5}
    signed_up = {"signed_up": time, "device": "phone"}
    passed = {"passed": True, "reason": "so it is"}
    talk = {"sequence": 1, "reason": "slow_page", "language": "en", "outcome": "solved", "ended": time,
            "parameters": {"mood": "calm", "detail": 0.5}, "passed": True,
            "turns": [{"role": "user", "text": "Why so slow?", "seconds": 0.0},
                      {"role": "assistant", "text": "Snow. [snow]", "seconds": 5.0, "shown": ["snow"],
                       "cited": ["snow"]}],
            "audit": {"auditor": "rules", "grounded": passed, "solved": passed, "polite": passed},
            "rejected": [{"turn": 1, "text": "Who knows?", "flaw": "evasive"}]}  # fmt: skip
    key = user.encode()
    return {
        SESSIONS: [(key, message(SESSION, session, user, summary, time=time, session=session, run=run))],
        USERS: [(key, message(USER, user, user, signed_up, time=time, run=run))],
        LABELS: [
            (key, message(USER_LABEL, user, user, person, time=time, run=run)),
            (key, message(SESSION_LABEL, session, user, truth, time=time, session=session, run=run)),
        ],
        CONVERSATIONS: [
            (key, message(CONVERSATION, f"{session}.1.conversation", user, talk, time=time, session=session, run=run)),
        ],
    }


def manifest(
    state: str = "completed", shard: int = 0, shards: int = 1, product: str = PRODUCT, seed: int = 1,
    updated: str = "2026-11-01T00:00:00Z",
) -> Record:
    identity = RunIdentity(
        product=product, product_version=1, pack_fingerprint="f1", seed=seed, users=10, start="2026-01-01T00:00:00Z"
    )  # type: ignore[arg-type]
    body = RunManifest(
        run_id=identity.run_id, identity=identity, state=state, shard=shard, shards=shards, days=1,
        dayone_version="0", updated=updated, virtual_time="2026-01-02T00:00:00Z",
    )  # type: ignore[arg-type]  # fmt: skip
    data = json.loads(body.model_dump_json())
    raw = message(RUN, body.key, body.key, data, run=body.run_id, source=f"/dayone/{product}")
    return body.key.encode(), raw


def batch_of(topic: str, records: list[Record], first_offset: int = 0, partition: int = 0) -> Messages:
    """Records as one fetch of one partition."""
    keys, values = zip(*records, strict=True)
    return Messages(topic, [partition] * len(records), range(first_offset, first_offset + len(records)), keys, values)


def everything(sessions: int, run: str = RUN_ID) -> Iterator[tuple[str, list[Record]]]:
    """All topics' records for the first sessions."""
    yield EVENTS, events(sessions * len(STEPS), run)
    others = [other_records(number, run) for number in range(sessions)]
    for topic in (SESSIONS, USERS, LABELS, CONVERSATIONS):
        yield topic, [record for other in others for record in other[topic]]
