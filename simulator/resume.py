"""Where a run stands, read from the topics alone: the position of its last message in each partition.

Nothing is saved by the simulator: messages leave in a total order per partition, so the last one says how far the
partition is. Knows positions and message text, not how messages are played.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

import numpy as np

from personas.connection import KafkaConnection
from personas.population import Population
from personas.provenance import RunIdentity, RunManifest
from personas.topics import RUNS, conversations_topic, events_topic, labels_topic, sessions_topic, users_topic
from simulator.partitioner import Shard
from simulator.sequence import Position

ReadTail = Callable[[KafkaConnection, str, Iterable[int], Callable[[bytes], bool]], dict[int, bytes | None]]


class UserNumbers:
    """The numbers of the users of a population by their ids, without a dictionary of all of them."""

    def __init__(self, population: Population) -> None:
        self._order = np.argsort(population.ids)
        self._ids, self._numbers = population.ids[self._order], population.number

    def __getitem__(self, user: str) -> int:
        """KeyError when there is no such user."""
        place = int(np.searchsorted(self._ids, user.encode()))
        if place == len(self._ids) or self._ids[place] != user.encode():
            raise KeyError(user)
        return int(self._numbers[self._order[place]])


def position_of(message: dict[str, Any], start: datetime, numbers: UserNumbers) -> Position:
    """The position of a message of one of the data topics. `numbers` maps user ids to their numbers."""
    time = round((datetime.fromisoformat(message["time"]) - start).total_seconds() * 1000)
    user, kind = numbers[str(message["subject"])], str(message["type"])
    if kind == "dayone.user":
        return time, user, 0
    if kind == "dayone.label.user":
        return time, user, -1
    session = int(str(message["sessionid"]).rpartition("-")[2])
    if kind in ("dayone.session", "dayone.label.session"):
        return time, user, session
    sequence = str(message["id"]).removesuffix(".conversation").rpartition(".")[2]
    return time, user, (session << 16) + int(sequence)


def held_positions(
    connection: KafkaConnection, identity: RunIdentity, population: Population, shard: Shard, read_tail: ReadTail
) -> dict[str, dict[int, Position]]:
    """What the topics hold of a run: per topic and partition the position of the run's last message there."""
    mark = f'"runid":"{identity.run_id}"'.encode()

    def place(value: bytes) -> Position | None:
        try:
            return position_of(json.loads(value), identity.start, numbers)
        except (ValueError, KeyError, TypeError):  # not one of ours, whatever it says: somebody else wrote it
            return None

    numbers = UserNumbers(population)
    held: dict[str, dict[int, Position]] = {}
    for name in (events_topic, sessions_topic, users_topic, labels_topic, conversations_topic):
        topic = name(identity.product)
        tails = read_tail(connection, topic, shard.owned, lambda value: mark in value and place(value) is not None)
        found = {partition: place(value) for partition, value in tails.items() if value is not None}
        held[topic] = {partition: position for partition, position in found.items() if position is not None}
    return held


def held_manifest(
    connection: KafkaConnection, identity: RunIdentity, shard: Shard, read_tail: ReadTail
) -> RunManifest | None:
    """The latest manifest of this shard of the run, for the steering that it went through."""

    def mine(value: bytes) -> bool:
        try:
            manifest = RunManifest.model_validate(json.loads(value)["data"])
        except (ValueError, KeyError, TypeError):
            return False
        return manifest.run_id == identity.run_id and (manifest.shard, manifest.shards) == (shard.index, shard.count)

    found = read_tail(connection, RUNS, [0], mine).get(0)
    return RunManifest.model_validate(json.loads(found)["data"]) if found else None
