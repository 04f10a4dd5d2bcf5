"""A checkpoint as records of the topic `dayone.checkpoints`, and the newest usable one among records read backwards.

    <run>/<shard>of<shards>/<slot>/0, /1, ...   parts of the content, below any broker's limit for a record
    <run>/<shard>of<shards>/<slot>/head         written last: what the checkpoint says, and the sum over all of it

The topic is compacted, and two slots take turns, so that a checkpoint that breaks off half-way never takes the last
whole one away. Records wear the envelope of all others. Knows bytes and positions; neither Kafka nor the engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec

from personas.event import CHECKPOINT, CHECKPOINT_PART, Envelope
from personas.provenance import RunIdentity
from simulator.checkpoint import Checkpoint, Reached
from simulator.partitioner import Shard

#: Bytes of content in one part; a third more on the wire, as base64.
PART_BYTES = 500_000
SLOTS = 2


class CheckpointPart(msgspec.Struct, frozen=True):
    """A part of the state of a simulator, as base64. Only the simulator that wrote it can use it."""

    part: int
    content: bytes


class CheckpointHead(msgspec.Struct, frozen=True):
    """A checkpoint of one shard of a run: with its parts, all that the same simulator needs to go on from `instant`.

    `instant` in milliseconds after the start of the run; `layout` the fingerprint of what it was made by and for;
    `reached` by topic and partition the position (time, user, tie) up to which the topic must hold the run; `steered`
    the steering before the instant; `digest` the SHA-256 of all that and of the content of all parts.
    """

    layout: str
    instant: int
    reached: Reached
    steered: tuple[tuple[int, str, float], ...]
    parts: int
    raw_bytes: int
    digest: str = ""


#: The structs of the `data` of these records, by type.
DATA_TYPES: dict[str, type[msgspec.Struct]] = {CHECKPOINT: CheckpointHead, CHECKPOINT_PART: CheckpointPart}


@dataclass(frozen=True)
class Place:
    """Whose checkpoints: the run, the shard, and the layout that they must have."""

    identity: RunIdentity
    shard: Shard
    layout: str

    @property
    def owner(self) -> str:
        """What all keys and ids of these checkpoints begin with."""
        return f"{self.identity.run_id}/{self.shard.index}of{self.shard.count}"

    def owns(self, key: bytes | None) -> bool:
        """Whether a record with this key is one of theirs."""
        return key is not None and key.startswith(self.owner.encode() + b"/")


def records_of(checkpoint: Checkpoint, place: Place, slot: int, now: datetime) -> list[tuple[bytes, bytes]]:
    """Keys and values, in the order in which they must be written."""
    content = checkpoint.content
    parts = [content[first : first + PART_BYTES] for first in range(0, len(content), PART_BYTES)]
    head = CheckpointHead(
        place.layout, checkpoint.instant, checkpoint.reached, checkpoint.steered, len(parts), checkpoint.raw_bytes
    )
    head = msgspec.structs.replace(head, digest=_digest(head, content))
    name, key = f"{place.owner}.{checkpoint.instant}", f"{place.owner}/{slot}"
    records = [
        (f"{key}/{number}", _message(place, f"{name}.{number}", CHECKPOINT_PART, CheckpointPart(number, part), now))
        for number, part in enumerate(parts)
    ]
    records.append((f"{key}/head", _message(place, name, CHECKPOINT, head, now)))
    return [(each.encode(), value) for each, value in records]


def _message(place: Place, id_: str, kind: str, data: msgspec.Struct, now: datetime) -> bytes:
    identity = place.identity
    time = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
    return msgspec.json.encode({
        "specversion": "1.0", "id": id_, "source": f"/dayone/{identity.product}", "type": kind, "time": time,
        "subject": identity.run_id, "synthetic": True, "runid": identity.run_id, "generator": identity.generator,
        "generation": identity.generation, "data": data,
    })  # fmt: skip


def _digest(head: CheckpointHead, content: bytes) -> str:
    said = msgspec.json.encode(msgspec.structs.replace(head, digest=""))
    return hashlib.sha256(said + content).hexdigest()


def usable(
    windows: Iterable[list[tuple[bytes, bytes]]], place: Place, held: Reached,
    steering: Iterable[tuple[int, str, float]], refused: Callable[[str], None],
) -> Iterator[tuple[Checkpoint, int]]:  # fmt: skip
    """The checkpoints that count, newest first, each with its slot. `windows` are records from the end backwards, in
    order within each; `held` is what the topics end with; `steering` all that the run went through. Why a checkpoint
    does not count is told to `refused`. Reads no further than it is asked for."""
    steering = tuple(steering)
    open_: list[_Open] = []
    for window in windows:
        for key, value in reversed(window):
            try:
                envelope = msgspec.json.decode(value, type=Envelope)
                if envelope.type == CHECKPOINT:
                    head = msgspec.json.decode(envelope.data, type=CheckpointHead)
                    if reason := objection(head, place, held, steering):
                        refused(reason)
                    else:
                        open_.append(_Open(head, envelope.id, int(key.split(b"/")[-2]), {}))
                elif envelope.type == CHECKPOINT_PART and open_:
                    part = msgspec.json.decode(envelope.data, type=CheckpointPart)
                    for each in open_:
                        each.take(envelope.id, part)
            except (ValueError, IndexError) as error:  # msgspec's errors are ValueErrors
                refused(f"a record of it cannot be read: {error}")
        while (number := next((n for n, each in enumerate(open_) if each.whole), None)) is not None:
            for each in open_[:number]:
                refused(each.lack)
            found = open_[number].checkpoint()
            del open_[: number + 1]
            if isinstance(found, str):
                refused(found)
            else:
                yield found
    for each in open_:
        refused(each.lack)


def objection(head: CheckpointHead, place: Place, held: Reached, steering: tuple[tuple[int, str, float], ...]) -> str:
    """Why a checkpoint does not count; nothing when it does."""
    if head.layout != place.layout:
        return "it was written by another version of the program, or for other partitions"
    for topic, positions in head.reached.items():
        for number, position in positions.items():
            if held.get(topic, {}).get(number, (-1, -1, -1)) < position:
                return f"it is ahead of what {topic} holds in partition {number}"
    if tuple(change for change in steering if change[0] < head.instant) != head.steered:
        return "the run was steered otherwise than its manifest says"
    return ""


@dataclass
class _Open:
    """A checkpoint whose head has been read, and its parts so far."""

    head: CheckpointHead
    name: str
    slot: int
    parts: dict[int, bytes]

    def take(self, id_: str, part: CheckpointPart) -> None:
        if id_ == f"{self.name}.{part.part}":
            self.parts.setdefault(part.part, part.content)

    @property
    def whole(self) -> bool:
        return len(self.parts) >= self.head.parts

    @property
    def lack(self) -> str:
        return f"{self.head.parts - len(self.parts)} of its {self.head.parts} parts are missing"

    def checkpoint(self) -> tuple[Checkpoint, int] | str:
        head = self.head
        content = b"".join(self.parts.get(number, b"") for number in range(head.parts))
        if _digest(head, content) != head.digest:
            return "its sum is wrong: a part of it is damaged"
        return Checkpoint(head.instant, head.reached, head.steered, content, head.raw_bytes), self.slot
