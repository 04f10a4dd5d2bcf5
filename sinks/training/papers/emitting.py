"""Sends lineage events where the settings say: a file with a line each, or a Kafka topic; and tells of builds.

That events cannot be sent at the start of a build ends it, because somebody wants them and the setting is wrong. At its
end the set is there, or the true error is on its way: then a warning is all.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personas.connection import KafkaConnection
from personas.errors import BrokerError, DayoneError, SettingsError
from personas.provenance import dayone_version
from sinks.training.papers.lineage import State, run_event

if TYPE_CHECKING:
    from sinks.training.build import Built, Order

log = logging.getLogger("dayone.training.lineage")
#: Sends one event. SettingsError or BrokerError where it cannot be sent.
Emit = Callable[[dict[str, Any]], None]
_DELIVERY_SECONDS = 15.0


def emitter(target: str, connection: KafkaConnection) -> Emit | None:
    """What `DAYONE_OPENLINEAGE` names: `file:PATH`, `kafka:TOPIC`, or nothing (None). SettingsError on another word."""
    kind, _, place = target.partition(":")
    if not target:
        return None
    if kind == "file" and place:
        return partial(_append, Path(place))
    if kind == "kafka" and place:
        return partial(_send, place, connection)
    raise SettingsError(f"DAYONE_OPENLINEAGE: found {target!r}, expected file:PATH or kafka:TOPIC.")


def _append(path: Path, event: dict[str, Any]) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False) + "\n")
    except OSError as error:
        raise SettingsError(
            f"DAYONE_OPENLINEAGE: {path} cannot be written ({error.strerror}).", hint="Name a file where you may write."
        ) from error


def _send(topic: str, connection: KafkaConnection, event: dict[str, Any]) -> None:
    from sinks.dead_letters.topics import Sender

    sender = Sender(connection, delivery_seconds=_DELIVERY_SECONDS)
    key, value = event["run"]["runId"].encode(), json.dumps(event, ensure_ascii=False).encode()
    if failed := sender.send([(topic, None, (key, value, ()))]):
        raise BrokerError(
            f"DAYONE_OPENLINEAGE: the topic {topic} on {connection.servers} takes no events ({failed[topic]}).",
            hint="Is the broker running, and is there such a topic?",
        )


def told_build(
    make: Callable[[], Built], emit: Emit | None, *, order: Order, store: str, out: Path,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC), run_id: str = "",
) -> Built:  # fmt: skip
    """What `make` builds, with a START before and a COMPLETE or FAIL after it. What is raised is `make`'s, or that of a
    START that cannot be sent."""
    if emit is None:
        return make()
    event = partial(
        run_event, run_id=run_id or str(uuid.uuid4()), task=order.task.name, store=store, out=out,
        columns=order.task.columns(order.options), program=dayone_version(),
    )  # fmt: skip
    emit(event("START", version="", product=order.product or "", time=clock()))
    try:
        built = make()
    except BaseException as error:
        told = error.message if isinstance(error, DayoneError) else type(error).__name__
        _try(emit, event("FAIL", version="", product=order.product or "", time=clock(), error=told))
        raise
    sizes = [path.stat().st_size for path in built.directory.rglob("*") if path.is_file()]
    done: State = "COMPLETE"
    _try(
        emit,
        event(
            done, version=built.recipe.version, product=built.recipe.product, time=clock(), rows=built.rows,
            snapshot=built.recipe.snapshot, size=sum(sizes), files=len(sizes),
        ),
    )  # fmt: skip
    return built


def _try(emit: Emit, event: dict[str, Any]) -> None:
    try:
        emit(event)
    except DayoneError as error:
        log.warning("the lineage event %s was not sent: %s", event["eventType"], error.message)
