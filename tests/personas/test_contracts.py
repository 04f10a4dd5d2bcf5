"""The words that all rooms share: errors with exit codes, topics, the event envelope, run ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from personas import errors, event, topics
from personas.connection import KafkaConnection
from personas.errors import DayoneError, Fault, PackError
from personas.event import DATA_TYPES, Envelope, SessionData, SessionLabel, property_struct
from personas.provenance import RunIdentity, RunManifest, fingerprint


def all_errors() -> list[type[DayoneError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, DayoneError)]
    return sorted(found, key=lambda error: error.__name__)


def test_the_tree_of_errors_is_the_one_in_its_docstring() -> None:
    said = {line.split()[0]: int(line.split()[1]) for line in _tree_lines(errors.__doc__ or "")}
    assert {error.__name__: error.exit_code for error in all_errors()} == said


def _tree_lines(text: str) -> list[str]:
    bare = [line.strip(" │├└─") for line in text.splitlines()]
    return [line for line in bare if len(line.split()) > 2 and line.split()[0].endswith("Error")]


@pytest.mark.parametrize("error", all_errors())
def test_errors_say_what_and_how_to_mend_it(error: type[DayoneError]) -> None:
    assert str(error("It broke.", hint="Mend it.")) == "It broke.\n  Mend it."
    assert str(error("It broke.")) == "It broke."
    assert 0 < error.exit_code < 126, "codes from 126 on belong to the shell"


def test_faults_are_one_line_each() -> None:
    faults = (Fault("a.yaml", "x.y", "1", "2", 7), Fault("b.csv", "", "nothing", "something"))
    assert [str(fault) for fault in faults] == [
        "a.yaml:7: x.y: found 1, expected 2",
        "b.csv: found nothing, expected something",
    ]
    shown = str(PackError("It is wrong", faults, hint="Mend it."))
    assert shown == f"It is wrong\n  {faults[0]}\n  {faults[1]}\n  Mend it."


def test_topics_of_a_product() -> None:
    specs = topics.product_topics("shop", 3)
    names = [spec.name for spec in specs]
    kinds = ("events", "sessions", "users", "labels", "conversations")
    assert names[:5] == [f"dayone.shop.{kind}" for kind in kinds]
    assert len(set(names)) == len(names)
    data = specs[:5]
    assert {(spec.partitions, spec.key) for spec in data} == {(3, "user id")}, "one user, one partition number"
    assert {topics.dead_letter_topic(spec.name) for spec in data} == set(names[-5:])
    assert set(topics.data_topics("shop")) == {*names[:5], topics.RUNS}
    assert {spec.name for spec in topics.shared_topics()} <= set(names)
    assert all(spec.summary for spec in specs)
    compacted = {spec.name for spec in specs if spec.config["cleanup.policy"] == "compact"}
    assert compacted == {"dayone.shop.users", "dayone.runs", "dayone.checkpoints"}
    shared = {spec.name for spec in topics.shared_topics()}
    assert set(names) & {spec.name for spec in topics.product_topics("desk")} == shared


WIRE: dict[str, Any] = {
    "specversion": "1.0", "id": "uabc-0.0", "source": "/dayone/shop", "type": "product_viewed",
    "time": "2026-01-02T03:04:05.123Z", "subject": "uabc", "synthetic": True, "runid": "shop-abc", "generator": "prior",
    "generation": 1, "sessionid": "uabc-0", "data": {"product_id": "p1"},
}  # fmt: skip


def test_an_envelope_comes_back_as_it_went() -> None:
    envelope = msgspec.json.decode(msgspec.json.encode(WIRE), type=Envelope)
    assert bytes(envelope.data) == b'{"product_id":"p1"}', "what is inside stays undecoded"
    assert msgspec.json.decode(msgspec.json.encode(envelope)) == WIRE
    assert envelope.generator in event.GENERATORS
    with pytest.raises(AttributeError):
        envelope.id = "other"  # type: ignore[misc]


@pytest.mark.parametrize("field", [name for name in WIRE if name != "sessionid"])
def test_every_attribute_is_needed(field: str) -> None:
    short = {name: value for name, value in WIRE.items() if name != field}
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{field}`"):
        msgspec.json.decode(msgspec.json.encode(short), type=Envelope)


def test_messages_of_no_session() -> None:
    alone = {name: value for name, value in WIRE.items() if name != "sessionid"}
    assert msgspec.json.decode(msgspec.json.encode(alone), type=Envelope).sessionid is None


def test_our_own_types_do_not_look_like_product_events() -> None:
    assert all(name.startswith("dayone.") for name in DATA_TYPES)
    assert event.CONTENT_TYPE_HEADER == ("content-type", b"application/cloudevents+json")


def test_ground_truth_is_not_in_session_summaries() -> None:
    """What only the simulator knows is on the labels topic alone."""
    secret = set(SessionLabel.__struct_fields__)
    assert not secret & set(SessionData.__struct_fields__)


def test_data_of_a_product_event() -> None:
    declared = {
        "name": ("string", True), "price": ("number", True), "count": ("integer", True), "gift": ("boolean", True),
        "items": ("strings", True), "note": ("string", False),
    }  # fmt: skip
    struct = property_struct("bought", declared)
    valid: dict[str, Any] = {"name": "a", "price": 1, "count": 2, "gift": False, "items": ["x"]}
    assert msgspec.to_builtins(msgspec.json.decode(msgspec.json.encode(valid), type=struct)) == {**valid, "note": None}
    more = msgspec.json.encode({**valid, "note": "n", "new_property": 1})
    assert msgspec.to_builtins(msgspec.json.decode(more, type=struct))["note"] == "n", "events grow over time"
    for wrong in ({"price": "1"}, {"count": 1.5}, {"gift": 0}, {"items": "x"}, {"items": [1]}, {"name": None}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(msgspec.json.encode({**valid, **wrong}), type=struct)
    for name in valid:
        with pytest.raises(msgspec.ValidationError, match=name):
            msgspec.json.decode(msgspec.json.encode({k: v for k, v in valid.items() if k != name}), type=struct)


START = datetime(2026, 1, 1, tzinfo=UTC)
IDENTITY: dict[str, Any] = {
    "product": "shop", "product_version": 1, "pack_fingerprint": "f" * 64, "seed": 1, "users": 100, "start": START,
}  # fmt: skip


def test_a_run_is_named_by_what_decides_its_events() -> None:
    name = RunIdentity(**IDENTITY).run_id
    assert name == RunIdentity(**IDENTITY).run_id
    assert name.startswith("shop-") and len(name) == len("shop-") + 10
    others = {
        "product": "desk", "product_version": 2, "pack_fingerprint": "e" * 64, "seed": 2, "users": 101,
        "start": START + timedelta(seconds=1), "problem_rate": 2.0, "generator": "twin", "generation": 2,
        "student": "d" * 64, "twin": "c" * 64,
        "tutor": {"share": 0.1, "mode": "walk", "model": "m", "prompts": "p", "exact": True},
    }  # fmt: skip
    assert set(others) == set(RunIdentity.model_fields)
    names = {RunIdentity(**{**IDENTITY, field: value}).run_id for field, value in others.items()}
    assert len({name, *names}) == len(others) + 1


def test_the_name_of_a_run_is_stable_across_versions() -> None:
    assert RunIdentity(**IDENTITY).run_id == "shop-k6g4vkngue"


def test_manifests_survive_json() -> None:
    identity = RunIdentity(**IDENTITY)
    manifest = RunManifest(
        run_id=identity.run_id, identity=identity, state="started", shard=1, shards=4, days=30, dayone_version="0.1.0",
        updated=START, virtual_time=START, counts={"events": 5},
    )  # fmt: skip
    assert RunManifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert manifest.key == f"{identity.run_id}/1"
    with pytest.raises(ValidationError, match="state"):
        RunManifest.model_validate({**manifest.model_dump(), "state": "paused"})
    with pytest.raises(ValidationError, match="forbidden"):
        RunManifest.model_validate({**manifest.model_dump(), "days_left": 3})


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=10,
)


@given(value=st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(), min_size=2))
def test_fingerprints_do_not_depend_on_the_order_of_keys(value: dict[str, int]) -> None:
    assert fingerprint(dict(reversed(value.items()))) == fingerprint(value)
    assert fingerprint([value, 1]) != fingerprint([1, value]), "but on the order of lists"


def test_fingerprints_are_sha256_of_canonical_json() -> None:
    assert fingerprint({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert fingerprint({"b": "é", "a": [1, 2.5]}) == "2071e5952e3110d79f01f374bf90abe7fc01cf116fd0a40af0ab60d3f9a99f8d"


def test_reaching_kafka() -> None:
    assert KafkaConnection().client_options() == {"bootstrap.servers": "127.0.0.1:9092"}
    assert KafkaConnection(bootstrap_servers="k:1").client_options() == {"bootstrap.servers": "k:1"}
    with pytest.raises(ValidationError, match="forbidden"):
        KafkaConnection.model_validate({"bootstrap": "k:1"})


def test_the_start_of_a_run_is_an_instant_not_a_spelling() -> None:
    elsewhere = START.astimezone(timezone(timedelta(hours=2)))
    assert RunIdentity(**{**IDENTITY, "start": elsewhere}).start == START
