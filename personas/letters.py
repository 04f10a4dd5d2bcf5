"""The headers of a dead letter, of a replayed message and of the mark that a replay leaves: the contract.

A message that a sink cannot decode goes to `<topic>.dlq` with its key and value as they were. Its headers are the
message's own, in their order, followed by those of `LETTER_HEADERS`, which begin with the last `origin-topic`. A
letter that is replayed is sent to its origin topic with its own headers followed by those of `REPLAY_HEADERS`, which
begin with the last `replay-of`. Beside it, on the dead-letter topic, a mark is left: a record without a value whose
headers are `origin-topic`, `origin-partition`, `origin-offset` and `replayed`. All values are UTF-8 text.
"""

from __future__ import annotations

from collections.abc import Iterable

#: A record's headers in Kafka's own form: names may repeat, values are bytes or nothing.
Headers = tuple[tuple[str, bytes | None], ...]

ORIGIN_TOPIC = "origin-topic"
ORIGIN_PARTITION = "origin-partition"
ORIGIN_OFFSET = "origin-offset"
REASON = "reason"
DETAIL = "detail"
RECEIVED = "received"
CONSUMER_GROUP = "consumer-group"
NO_VALUE = "no-value"
TRUNCATED = "truncated-from-bytes"
TRUNCATED_KEY = "truncated-key-from-bytes"
TRUNCATED_HEADERS = "truncated-headers"

REPLAY_OF = "replay-of"
MENDED = "mended"
REPLAYED = "replayed"

#: Name and meaning of each header that a dead letter has behind the message's own, in this order.
LETTER_HEADERS: dict[str, str] = {
    ORIGIN_TOPIC: "The topic that it was on",
    ORIGIN_PARTITION: "The partition that it was on",
    ORIGIN_OFFSET: "The offset that it was at",
    REASON: "Why it is dead: a word from a fixed list",
    DETAIL: "What exactly is wrong with it, at most 500 characters",
    RECEIVED: "When the sink refused it, RFC 3339 in UTC",
    CONSUMER_GROUP: "The consumer group of the sink that refused it",
    NO_VALUE: "true where the message had no value at all (not an empty one); otherwise absent",
    TRUNCATED: "The true length of the value in bytes where it was cut; otherwise absent",
    TRUNCATED_KEY: "The true length of the key in bytes where it was cut; otherwise absent",
    TRUNCATED_HEADERS: "How many headers of its own were left out for their length; otherwise absent",
}
#: Name and meaning of each header that a replayed message has besides the message's own.
REPLAY_HEADERS: dict[str, str] = {
    REPLAY_OF: "The letter that it is: <topic>/<partition>/<offset> of its origin",
    MENDED: "true where the value is not the letter's but a mended one; otherwise absent",
}
#: Name and meaning of the header by which a mark differs from a letter.
MARK_HEADERS: dict[str, str] = {REPLAYED: "When the letter was replayed, RFC 3339 in UTC; such a record is a mark"}


def split_headers(headers: Iterable[tuple[str, bytes | None]], first: str) -> tuple[Headers, dict[str, str]]:
    """The message's own headers, and those that were put behind them, of which `first` is the first, as text."""
    given = tuple(headers)
    start = max((place for place, (name, _) in enumerate(given) if name == first), default=len(given))
    return given[:start], {name: (value or b"").decode(errors="replace") for name, value in given[start:]}


def is_replay(headers: Iterable[tuple[str, bytes | None]] | None) -> bool:
    """Whether a record is a replayed letter: it stands behind messages that came after it."""
    return any(name == REPLAY_OF for name, _ in headers or ())
