"""Prompts: files with a version and a fingerprint, rendered by one function, into which text comes only as data.

A prompt file has a first line `version: N` and parts that begin with `## <name>`; a part holds `{{place}}`s. What is
filled in is never trusted: a title of a catalogue, a story of a persona file or words that a user wrote may say
anything, so angle brackets are replaced (the delimiter <data> cannot be closed from within), control characters are
dropped and lengths are bounded. What a text can still do is persuade; whether that matters is up to the answer's
schema and the world's rules, which no text can change. Knows no product and no language model.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from personas.errors import TutorError

FOLDER = "prompts"
#: The roles of a conversation with support.
SUPPORT_PROMPTS = ("support_user", "support_assistant", "support_audit")
_PLACE = re.compile(r"\{\{([a-z_]+)\}\}")
_PART = re.compile(r"^## ([a-z_]+)\n", re.MULTILINE)
_BRACKETS = str.maketrans({"<": "‹", ">": "›"})


@dataclass(frozen=True)
class Prompt:
    """One prompt file. `parts` maps the names of its parts to their text with places."""

    name: str
    version: int
    fingerprint: str
    parts: Mapping[str, str]

    @property
    def label(self) -> str:
        """The name and version, as requests carry it."""
        return f"{self.name}.{self.version}"

    def render(self, part: str, **values: str) -> str:
        """The part with its places filled. Values are put in as they are: clean what comes from elsewhere with `data`.
        TutorError when a place has no value, or a value no place: a prompt with a hole in it must not be sent."""
        text = self.parts[part]
        places = set(_PLACE.findall(text))
        if places != set(values):
            raise TutorError(
                f"prompt {self.label}, part {part}: found places {sorted(places)}, expected {sorted(values)}",
                scope="tutor",
                hint=f"Mend simulator/agents/{FOLDER}/{self.name}.md.",
            )
        return _PLACE.sub(lambda place: values[place.group(1)], text)


@cache
def load_prompt(name: str) -> Prompt:
    """A prompt that ships. TutorError when the file is not one."""
    text = files("simulator.agents").joinpath(FOLDER, f"{name}.md").read_text(encoding="utf-8")
    return parse_prompt(name, text)


def fingerprint_of(*names: str) -> str:
    """The fingerprint of some prompts together; of one, its own."""
    found = [load_prompt(name).fingerprint for name in names]
    return found[0] if len(found) == 1 else hashlib.sha256("\n".join(found).encode()).hexdigest()


def parse_prompt(name: str, text: str) -> Prompt:
    """A prompt from the text of its file."""
    first, _, rest = text.partition("\n")
    number = first.removeprefix("version: ")
    pieces = _PART.split(rest)
    if not number.isdigit() or len(pieces) < 3 or pieces[0].strip():
        raise TutorError(
            f"prompt {name}: found {first[:60]!r}, expected a line `version: N`, then parts that begin with `## name`",
            scope="tutor",
        )
    parts = {part: body.strip() for part, body in zip(pieces[1::2], pieces[2::2], strict=True)}
    return Prompt(name, int(number), hashlib.sha256(text.encode()).hexdigest(), parts)


def data(text: str, longest: int = 400) -> str:
    """Text of others, fit to stand between delimiters: `plain`, without brackets that could close them."""
    if text.isascii() and text.isprintable() and "<" not in text and ">" not in text and len(text) <= longest:
        return text
    return plain(text, longest).translate(_BRACKETS)


def plain(text: str, longest: int) -> str:
    """Text on one line, without control and invisible formatting characters, of at most `longest` characters."""
    if not text.isprintable() or not text.isascii():
        text = "".join(" " if character in "\n\r\t" else character for character in text if _visible(character))
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _visible(character: str) -> bool:
    return character in "\n\r\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
