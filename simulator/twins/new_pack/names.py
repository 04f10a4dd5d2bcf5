"""Names that a pack may have, made of what a core calls things. Knows no core."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_RESERVED = ("leave",)


def names_for(texts: Sequence[str], prefix: str, longest: int = 48) -> dict[str, str]:
    """For each text a name of its own: lower-case letters, digits and underscores, beginning with a letter; `prefix`
    goes before those that would not. Texts that come first get the plainest."""
    found: dict[str, str] = {}
    for text in texts:
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
        plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain).lower()).strip("_")
        if not plain or not plain[0].isalpha() or plain in _RESERVED or plain.startswith("dayone"):
            plain = f"{prefix}_{plain}".rstrip("_")
        found[text] = _own(plain, longest, found)
    return found


def ids_for(texts: Sequence[str], longest: int = 40) -> dict[str, str]:
    """For each text an id of its own that a catalogue may have; one that may stay stays."""
    found: dict[str, str] = {}
    for text in sorted(texts, key=lambda text: (not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", text), text)):
        found[text] = _own(re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "item", longest, found)
    return found


def _own(plain: str, longest: int, found: dict[str, str]) -> str:
    name, number = plain[:longest], 1
    while name in found.values():
        number += 1
        name = f"{plain[: longest - len(str(number)) - 1]}_{number}"
    return name
