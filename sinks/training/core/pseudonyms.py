"""Real people get other names: a keyed hash, so that no identifier of the core is in a training set.

HMAC-SHA-256 (RFC 2104, FIPS 180-4), computed by DuckDB, 80 bits of it kept. The same key gives the same names in every
build, so sets can be compared and a person's rows can be found and removed by who holds the key. The key is 32 random
bytes in a file beside the store that only its owner may read; it is in no training set. Without it a plain hash of
an e-mail address could be undone by hashing a list of addresses. Pseudonyms are still personal data where the key or
the behaviour lets somebody be found again (GDPR, article 4(5)): they lower the risk, they do not end it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from personas.errors import TrainingError

_BLOCK = 64


def load_key(path: Path) -> bytes:
    """The key in that file; made at first use, readable by its owner alone. TrainingError where it cannot be had."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
        key = bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        raise TrainingError(
            f"{path}: the key for the core's pseudonyms cannot be read or made ({error.strerror}).",
            hint="Give another file with --core-key.",
        ) from error
    except ValueError:
        key = b""
    if len(key) < 16:
        raise TrainingError(
            f"{path}: not a key for pseudonyms: expected at least 32 hexadecimal digits.",
            hint="Give the right file with --core-key; a new one is made where there is none.",
        )
    return key


def pads(key: bytes) -> tuple[bytes, bytes]:
    """The inner and the outer pad of HMAC, to be bound as the variables of `pseudonym`."""
    block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
    return bytes(byte ^ 0x36 for byte in block), bytes(byte ^ 0x5C for byte in block)


def pseudonym(text: str, prefix: str) -> str:
    """SQL for the pseudonym of the text expression `text`: `<prefix>-` and 20 hexadecimal digits. Reads the variables
    `core_inner` and `core_outer` (see `pads`)."""
    inner = f"unhex(sha256(getvariable('core_inner')::BLOB || encode({text})))"
    return f"'{prefix}-' || left(sha256(getvariable('core_outer')::BLOB || {inner}), 20)"
