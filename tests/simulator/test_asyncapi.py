"""The AsyncAPI document is whole: every topic, every event, every reference, and the same types as the pack's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from personas import event as contract
from personas.pack import Pack, load_pack, shipped_packs
from personas.topics import CONTROL, CONTROL_REPLIES, RUNS, events_topic, product_topics, users_topic
from simulator.asyncapi import document
from simulator.steering import Command, Pause, SetArrivalRate

JSON_TYPES = {"strings": "array"}


@pytest.fixture(scope="module", params=shipped_packs())
def pack(request: pytest.FixtureRequest) -> Pack:
    return load_pack(request.param)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "$ref":
                yield each
            else:
                yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def resolve(whole: Any, reference: str) -> Any:
    assert reference.startswith("#/"), reference
    value = whole
    for part in reference[2:].split("/"):
        value = value[part.replace("~1", "/").replace("~0", "~")]
    return value


def test_every_reference_resolves(pack: Pack) -> None:
    whole = document(pack)
    found = list(references(whole))
    assert len(found) > 50
    for reference in found:
        resolve(whole, reference)


def test_it_is_json_and_always_the_same(pack: Pack) -> None:
    assert json.loads(json.dumps(document(pack))) == document(pack)
    assert json.dumps(document(pack)) == json.dumps(document(pack))


def test_head(pack: Pack) -> None:
    whole = document(pack)
    assert whole["asyncapi"] == "3.0.0"
    assert set(whole) == {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"}
    assert pack.product.title in whole["info"]["title"]
    assert whole["info"]["version"] == f"{pack.product.version}.0.0"
    assert whole["defaultContentType"] == contract.CONTENT_TYPE


def test_every_topic_is_a_channel_as_it_is_provisioned(pack: Pack) -> None:
    whole = document(pack, partitions=7)
    specs = {spec.name: spec for spec in product_topics(pack.product.name, 7)}
    assert set(whole["channels"]) == set(specs)
    for name, channel in whole["channels"].items():
        kafka = channel["bindings"]["kafka"]
        assert channel["address"] == kafka["topic"] == name
        assert kafka["partitions"] == specs[name].partitions
        configuration = {
            key: ",".join(value) if isinstance(value, list) else str(value)
            for key, value in kafka["topicConfiguration"].items()
        }
        assert configuration == specs[name].config


def test_every_event_is_a_message_of_the_events_topic(pack: Pack) -> None:
    whole = document(pack)
    messages = whole["channels"][events_topic(pack.product.name)]["messages"]
    assert set(messages) == set(pack.product.events)
    for name, spec in pack.product.events.items():
        message = resolve(whole, messages[name]["$ref"])
        assert message["name"] == name
        assert message["contentType"] == contract.CONTENT_TYPE
        assert message["bindings"]["kafka"]["key"]["description"] == "user id"
        envelope, own = message["payload"]["allOf"]
        assert set(resolve(whole, envelope["$ref"])["required"]) >= {"id", "type", "subject", "synthetic", "runid"}
        assert own["properties"]["type"] == {"const": name}
        data = resolve(whole, own["properties"]["data"]["$ref"])
        found = {key: value["type"] for key, value in data["properties"].items()}
        assert found == {key: JSON_TYPES.get(each.type, each.type) for key, each in spec.properties.items()}
        assert set(data.get("required", [])) == {key for key, each in spec.properties.items() if each.required}


def test_messages_of_our_own_have_the_fields_of_their_structs(pack: Pack) -> None:
    whole = document(pack)
    for name, struct in contract.DATA_TYPES.items():
        own = whole["components"]["messages"][name]["payload"]["allOf"][1]
        data = resolve(whole, own["properties"]["data"]["$ref"])
        assert list(data["properties"]) == list(struct.__struct_fields__)
    users = whole["channels"][users_topic(pack.product.name)]
    assert list(users["messages"]) == [contract.USER]
    assert list(whole["channels"][RUNS]["messages"]) == [contract.RUN]


def test_every_command_is_described(pack: Pack) -> None:
    whole = document(pack)
    names = {command.model_fields["command"].default for command in Command.__args__}
    assert set(whole["channels"][CONTROL]["messages"]) == {f"{CONTROL}.{name}" for name in names}
    assert set(whole["channels"][CONTROL_REPLIES]["messages"]) == {CONTROL_REPLIES}
    schemas = whole["components"]["schemas"]
    assert set(schemas[SetArrivalRate.__name__]["properties"]) == {"id", "run_id", "command", "value"}
    assert schemas[Pause.__name__]["properties"]["command"]["const"] == "pause"


def test_operations_are_those_of_the_simulator(pack: Pack) -> None:
    operations = document(pack)["operations"]
    actions = {name: operation["action"] for name, operation in operations.items()}
    topics = ("events", "sessions", "users", "labels", "conversations", "runs", "checkpoints")
    sent = {f"send_{topic}": "send" for topic in topics}
    assert actions == {**sent, "steer": "receive"}
    assert operations["steer"]["reply"]["channel"]["$ref"] == f"#/channels/{CONTROL_REPLIES}"
