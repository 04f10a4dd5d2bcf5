"""Damage done to real inputs, by a seeded generator: to bytes, to trees of data, to JSON text.

Two ways were weighed. hypothesis shrinks what it finds but makes a few thousand inputs a second at most, and pure noise
seldom gets past the first check. Chosen: mutations of valid inputs, tens of thousands a second, each chunk of them from
a seed of its own, so that any finding is made again by its chunk's number (hypothesis tests the same properties in
`tests/sinks/test_ingest.py` and `tests/personas/test_any_text.py`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

#: What parsers of JSON, YAML, CSV, numbers, times and UTF-8 are known to stumble over.
PIECES = (
    b"\0", b"\\u0000", b"\xef\xbb\xbf", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\\ud800", b"\\udfff\\ud800",
    b"\xf4\x90\x80\x80",
    b"\xe2\x80\xa8", b"\xc2\x85", b"\r", b"\r\n", b"\n", b"\t", b"\x1b[31m", b"\x7f", b'"', b'""', b"'", b"\\", b"\\\\",
    b"{", b"}", b"[", b"]", b":", b",", b",,", b": ", b"- ", b"? ", b"|", b">", b"&a ", b"*a", b"<<: *a",
    b"!!set ", b"!x ",
    b"%YAML 9.9\n", b"---\n", b"...\n", b"#", b"~", b"null", b"true", b"NaN", b"Infinity", b".inf", b".nan",
    b"-0", b"-1",
    b"0x_", b"0b_", b"1e999", b"1e-999", b"1E400", b"2147483648", b"-9223372036854775809", b"18446744073709551616",
    b"9" * 400, b"0." + b"0" * 400 + b"1", b"1:99", b"2026-13-45", b"2026-01-01T00:00:60Z", b"0000-01-01T00:00:00Z",
    b"9999-12-31T23:59:59.999999-23:59", b"0001-01-01T00:00:00+23:59", b"T24:00:00Z", b"\xd9\xa3", b"u0-0.2147483648",
)  # fmt: skip
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 0.0, -0.0,
    1e308, 5e-324, float("inf"), float("nan"), "", " ", "\0", "a\0b", "\ufeff", "\ud800", "'; DROP TABLE events; --",
    '"', "%s%n{0}", "../../etc", "x" * 300, "0", "1.5", "true", "2026-01-01T00:00:00Z", "u0-0.1", "dayone.session",
    [], {}, [[]], {"": {}}, [None], ["a", 1], {"\0": 1}, {"a": {"a": {"a": {}}}},
)  # fmt: skip
#: Longest input that a mutation makes; the limits of the readers lie below.
LONGEST = 2_000_000

Mutation = Callable[[random.Random, bytes], bytes]


def noisy_bytes(rng: random.Random, text: bytes) -> bytes:
    """One to four small injuries: bits, cuts, doublings, things put in from `PIECES`."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        start = rng.randrange(len(text) + 1)
        end = min(len(text), start + rng.choice((0, 0, 1, 1, 4, 30, 10_000)))
        what = rng.randrange(6)
        if what == 0 and start < len(text):
            text = text[:start] + bytes([text[start] ^ (1 << rng.randrange(8))]) + text[start + 1 :]
        elif what == 1:
            text = text[:start] + text[end:]
        elif what == 2:
            text = text[:end] + text[start:]
        elif what == 3:
            text = text[:start] + rng.randbytes(rng.choice((1, 2, 8))) + text[end:]
        else:
            text = text[:start] + rng.choice(PIECES) + text[end:]
    return text[:LONGEST]


def huge(rng: random.Random, text: bytes) -> bytes:
    """Something very long or very deep put in: nesting, digits, one line, one word, the whole text again and again."""
    start = rng.randrange(len(text) + 1)
    count = rng.choice((50, 1_000, 20_000, 120_000))
    blown = rng.choice(
        (
            b"[" * count, b"{" * count, b'{"a":' * count, b"- " * count, b"9" * count, b"x" * count, b" " * count,
            b"\n" * count,
            b'"' + b"y" * count + b'"', b"[" * count + b"]" * count, b"? " * count, b",a" * count, b"\\" * count,
            b"&a [*a] " * 50,
            (text * (1 + 5_000 // (len(text) + 1))),
        )
    )  # fmt: skip
    return (text[:start] + blown + text[start:])[:LONGEST]


def bombs(rng: random.Random, text: bytes) -> bytes:
    """YAML aliases that would grow without bound, anchors on anything, merge keys."""
    depth = rng.randrange(2, 30)
    layers = [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    layers += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, depth)]
    return rng.choice((b"\n".join(layers) + b"\n" + text, text + b"\n" + b"\n".join(layers), b"&a {<<: *a}\n" + text))


def spliced(rng: random.Random, text: bytes, other: bytes) -> bytes:
    """The beginning of one and the end of another."""
    return text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]


def places_of(tree: Any) -> list[tuple[Any, Any]]:
    """Every place in a tree of dictionaries and lists: (container, key)."""
    found: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        node = pending.pop()
        pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in pairs:
            found.append((node, key))
            pending.append(value)
    return found


def damaged_tree(rng: random.Random, tree: Any) -> Any:
    """The tree with one to three places changed, removed, renamed, doubled or swapped. The given tree is changed."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = places_of(tree)
        if not places:
            return rng.choice(SCALARS)
        node, key = rng.choice(places)
        what = rng.randrange(6)
        if what == 0:
            del node[key]
        elif what == 1 and isinstance(node, dict):
            node[rng.choice(("", "\0", "x", str(key) + "s", str(key)[:-1], str(key).upper()))] = node.pop(key)
        elif what == 2:
            other, place = rng.choice(places)
            node[key] = copied(other[place]) if place in keys_of(other) else None
        elif what == 3 and isinstance(node, list):
            node.insert(rng.randrange(len(node) + 1), node[key])
        elif what == 4:
            node[key] = near(rng, node[key])
        else:
            node[key] = fresh(rng.choice(SCALARS))
    return tree


def copied(tree: Any) -> Any:
    """A deep copy."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(value) for value in tree] if isinstance(tree, list) else tree


def as_read(tree: Any) -> Any:
    """The tree as `read_yaml` gives it: lists as tuples, keys as text."""
    if isinstance(tree, dict):
        return {str(key): as_read(value) for key, value in tree.items()}
    return tuple(as_read(value) for value in tree) if isinstance(tree, list) else tree


def keys_of(node: Any) -> Any:
    return node if isinstance(node, dict) else range(len(node))


def near(rng: random.Random, value: Any) -> Any:
    """Almost the same value."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((value + 1, -value, value * 10**9, value % 1000 / 7, str(value)))
    if isinstance(value, float):
        return rng.choice((-value, value * 1e300, value / 3, str(value)))
    if isinstance(value, str):
        return rng.choice((value + " ", value.upper(), value[:-1], value * 50, f"{value}\0", [value], f"\ufeff{value}"))
    return [value]


def fresh(value: Any) -> Any:
    """A copy of its own, so that a later change does not reach the list it comes from."""
    return value.copy() if isinstance(value, list | dict) else value


def damaged_json(rng: random.Random, text: bytes) -> bytes:
    """JSON that is still JSON (nearly always), with a damaged tree; escapes where UTF-8 cannot write it."""
    tree = damaged_tree(rng, json.loads(text))
    written = json.dumps(tree, separators=(",", ":"), ensure_ascii=rng.random() < 0.5)
    return written.encode("utf-8", "surrogatepass")
