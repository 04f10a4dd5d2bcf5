"""What would be wrong with a letter now: it is decoded as the sink would, by the pack of its product.

May know the decoder and packs; no Kafka client, no database. Not the examiner alone: only the decoder says what the
sink will really take.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from personas.errors import PackError
from personas.pack import load_pack, shipped_packs
from personas.topics import RUNS
from sinks.batch import Messages
from sinks.dead_letters.letter import Letter
from sinks.ingest import DEFAULT_MAX_BYTES, Decoder
from sinks.vocabulary import vocabulary_of


@dataclass(frozen=True)
class Verdict:
    """`good`: a sink would store it. `bad`: it would be dead again, with this reason. `unknown`: nobody can say."""

    outcome: Literal["good", "bad", "unknown"]
    reason: str = ""
    detail: str = ""

    def __str__(self) -> str:
        if self.outcome == "good":
            return "nothing: a sink would store it"
        return f"{self.reason}: {self.detail}"


class Judge:
    """Judges letters of any product by the pack that is given, or by the packs that ship. PackError where the given
    pack is wrong."""

    def __init__(self, pack: str | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._pack, self._max_bytes = pack, max_bytes
        self._decoders: dict[str, Decoder | None] = {}

    @cached_property
    def _given(self) -> Decoder | None:
        return self._decoder(self._pack) if self._pack is not None else None

    def _decoder(self, pack: str) -> Decoder:
        return Decoder(vocabulary_of(load_pack(pack)), max_bytes=self._max_bytes)

    def _decoder_of(self, topic: str) -> Decoder | None:
        if self._given is not None:
            return self._given if topic in self._given.topics else None
        product = "shop" if topic == RUNS else topic.split(".")[1] if topic.count(".") > 1 else ""
        if product not in self._decoders:
            try:
                self._decoders[product] = self._decoder(product) if product in shipped_packs() else None
            except PackError:
                self._decoders[product] = None
        decoder = self._decoders[product]
        return decoder if decoder is not None and topic in decoder.topics else None

    def verdict(self, letter: Letter, value: bytes | None = None) -> Verdict:
        """What a sink would say to the letter, or to this value in its place."""
        topic, partition, offset = letter.place
        decoder = self._decoder_of(topic)
        if decoder is None:
            return Verdict("unknown", "unknown", f"no pack known here has the topic {topic}; give it with --pack")
        content = letter.value if value is None else value
        batch = decoder.decode([Messages(topic, [partition], [offset], [letter.key], [content])])
        if not batch.dead_letters:
            return Verdict("good")
        return Verdict("bad", batch.dead_letters[0].reason, batch.dead_letters[0].detail)
