"""The AsyncAPI 3.0 document of a pack's topics: what another program needs to read them, and to steer a run.

May know the contracts in `personas` and the steering messages; computes a plain dictionary and talks to nobody.

Two ways considered. FastStream generates such a document from its handlers; but only the steering goes through
handlers of this room, the data topics are written by the client under FastStream, and it would say nothing of event
types, keys or partitions. So: a function over the same contracts that write and check the messages, which gives one
message per event type with the schema of its properties. Source: AsyncAPI 3.0.0, Kafka binding 0.5.0.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec

from personas import event as contract
from personas import letters
from personas.provenance import RunManifest
from personas.topics import (
    CHECKPOINTS,
    CONTROL,
    CONTROL_REPLIES,
    DEFAULT_PARTITIONS,
    RUNS,
    TopicSpec,
    conversations_topic,
    labels_topic,
    product_topics,
    sessions_topic,
    users_topic,
)
from simulator import checkpoint_records, steering

if TYPE_CHECKING:
    from personas.pack import Pack
    from personas.product import EventSpec

Json = dict[str, Any]

_SCHEMAS = "#/components/schemas/"
_BINDING = "0.5.0"
_TYPES: dict[str, Json] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "strings": {"type": "array", "items": {"type": "string"}},
}
_COMMANDS = (steering.Pause, steering.Resume, steering.Stop, steering.SetArrivalRate, steering.SetProblemRate)


def document(pack: Pack, partitions: int = DEFAULT_PARTITIONS) -> Json:
    """The AsyncAPI 3.0 document of all topics of a pack, as a JSON-able dictionary with a fixed order.

    `partitions` is the number of partitions of the data topics. Operations are those of the simulator: it sends
    data and replies, and receives commands; who reads the data does the reverse.
    """
    product = pack.product
    messages, schemas = _messages(pack)
    in_topic = {
        sessions_topic(product.name): [contract.SESSION],
        users_topic(product.name): [contract.USER],
        labels_topic(product.name): [contract.SESSION_LABEL, contract.USER_LABEL],
        conversations_topic(product.name): [contract.CONVERSATION],
        RUNS: [contract.RUN],
        CHECKPOINTS: list(checkpoint_records.DATA_TYPES),
        CONTROL: [f"{CONTROL}.{command.model_fields['command'].default}" for command in _COMMANDS],
        CONTROL_REPLIES: [CONTROL_REPLIES],
    }
    channels: Json = {}
    for spec in product_topics(product.name, partitions):
        dead = spec.name.endswith(".dlq")
        names = ["dead_letter"] if dead else in_topic.get(spec.name, list(product.events))
        channels[spec.name] = _channel(spec, names)
        for name in [] if dead else names:
            messages[name]["bindings"] = {"kafka": {"key": _key(spec), "bindingVersion": _BINDING}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"{product.title or product.name}: synthetic events",
            "version": f"{product.version}.0.0",
            "description": "What Dayone writes to Kafka for this product. Every message says that it is synthetic.",
        },
        "defaultContentType": contract.CONTENT_TYPE,
        "channels": channels,
        "operations": _operations(channels),
        "components": {"messages": messages, "schemas": schemas},
    }


def _messages(pack: Pack) -> tuple[Json, Json]:
    """All messages and schemas of the document, by name."""
    product = pack.product
    schemas: Json = {"Envelope": _envelope(product.name)}
    messages: Json = {}
    for name, event in product.events.items():
        schemas[f"{name}_data"] = _event_data(event)
        messages[name] = _message(name, event.summary or f"Event {name}", f"{name}_data")
    structs = contract.DATA_TYPES | checkpoint_records.DATA_TYPES
    _, components = msgspec.json.schema_components(list(structs.values()), ref_template=_SCHEMAS + "{name}")
    schemas.update({name: _plain(schema) for name, schema in components.items()})
    for name, struct in structs.items():
        messages[name] = _message(name, _first_line(struct), struct.__name__)
    schemas.update(_pydantic(RunManifest))
    messages[contract.RUN] = _message(contract.RUN, "The state of a run, or of one shard of it", "RunManifest")
    for command in _COMMANDS:
        schemas.update(_pydantic(command))
        name = f"{CONTROL}.{command.model_fields['command'].default}"
        messages[name] = _bare(name, _first_line(command), command.__name__)
    schemas.update(_pydantic(steering.Reply, mode="serialization"))
    messages[CONTROL_REPLIES] = _bare(CONTROL_REPLIES, _first_line(steering.Reply), "Reply")
    messages["dead_letter"] = {
        "name": "dead_letter",
        "summary": "A record that could not be decoded, as it came, with its origin and the reason in the headers",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {
                name: {"type": "string", "description": meaning}
                for name, meaning in {**letters.LETTER_HEADERS, **letters.MARK_HEADERS}.items()
            },
        },
        "payload": {"type": "string", "format": "binary"},
    }
    return messages, schemas


def _channel(spec: TopicSpec, names: list[str]) -> Json:
    return {
        "address": spec.name,
        "summary": spec.summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "topicConfiguration": _configuration(spec.config),
                "bindingVersion": _BINDING,
            }
        },
    }


def _operations(channels: Json) -> Json:
    """What the simulator does with each channel. Dead letters are written by the sink, so they have none."""

    def on(topic: str) -> Json:
        return {"$ref": f"#/channels/{topic}"}

    operations: Json = {}
    for topic, channel in channels.items():
        if topic in (CONTROL, CONTROL_REPLIES) or topic.endswith(".dlq"):
            continue
        operations[f"send_{topic.rsplit('.', 1)[1]}"] = {
            "action": "send",
            "channel": on(topic),
            "summary": channel["summary"],
        }
    operations["steer"] = {
        "action": "receive",
        "channel": on(CONTROL),
        "summary": "A run obeys or refuses a command and says so in a reply with the same id",
        "reply": {"channel": on(CONTROL_REPLIES)},
    }
    return operations


def _message(name: str, summary: str, data: str) -> Json:
    """A message in the envelope, whose `type` is the message's name."""
    own = {"type": "object", "properties": {"type": {"const": name}, "data": {"$ref": _SCHEMAS + data}}}
    header, value = contract.CONTENT_TYPE_HEADER
    return {
        "name": name,
        "summary": summary,
        "contentType": contract.CONTENT_TYPE,
        "headers": {"type": "object", "properties": {header: {"const": value.decode()}}, "required": [header]},
        "payload": {"allOf": [{"$ref": _SCHEMAS + "Envelope"}, own]},
    }


def _bare(name: str, summary: str, schema: str) -> Json:
    """A message without an envelope."""
    return {
        "name": name,
        "summary": summary,
        "contentType": "application/json",
        "payload": {"$ref": _SCHEMAS + schema},
    }


def _envelope(product: str) -> Json:
    _, components = msgspec.json.schema_components([contract.Envelope], ref_template=_SCHEMAS + "{name}")
    schema: Json = _plain(components["Envelope"])
    schema["properties"] |= {
        "specversion": {"const": "1.0"},
        "source": {"const": f"/dayone/{product}"},
        "time": {"type": "string", "format": "date-time"},
        "synthetic": {"const": True},
        "generator": {"enum": list(contract.GENERATORS)},
        "generation": {"type": "integer", "minimum": 0},
        "sessionid": {"type": "string"},
        "data": {"type": "object"},
    }
    return schema


def _event_data(event: EventSpec) -> Json:
    """The schema of an event's properties. Unknown properties are allowed: a product's events grow over time."""
    properties: Json = {}
    for name, spec in event.properties.items():
        properties[name] = {**_TYPES[spec.type], **({"description": spec.summary} if spec.summary else {})}
    required = [name for name, spec in event.properties.items() if spec.required]
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _pydantic(model: Any, mode: str = "validation") -> Json:
    """The schema of a pydantic model and of all models in it, by name."""
    schema: Json = model.model_json_schema(ref_template=_SCHEMAS + "{model}", mode=mode)
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _plain(schema: Json) -> Json:
    """The schema with its description as running text."""
    text = schema.get("description")
    return {**schema, "description": " ".join(inspect.cleandoc(text).split())} if text else schema


def _first_line(documented: type) -> str:
    return inspect.cleandoc(documented.__doc__ or documented.__name__).splitlines()[0]


def _key(spec: TopicSpec) -> Json:
    return {"type": "string", "description": spec.key}


def _configuration(config: dict[str, str]) -> Json:
    """Topic settings with the types that the Kafka binding wants."""
    known: dict[str, Any] = {"cleanup.policy": lambda text: text.split(","), "retention.ms": int}
    return {name: known.get(name, str)(text) for name, text in config.items()}
