"""Finds what could name or reach a real person in a text: e-mail addresses, phone numbers, cards, IBANs, known words.

Three ways were weighed. Presidio with a language model: finds names of strangers, and needs half a gigabyte that has to
be downloaded. Patterns alone: every order number is a card. Chosen: patterns propose, check digits and numbering plans
decide: Luhn (ISO/IEC 7812) and the issuers' ranges for cards, ISO 13616's check digits and the lengths of each country
for IBANs (python-stdnum), the plans of libphonenumber for phones. Names are found where they are known: those of the
core. A name that an author or a model made up is no personal data, and no pattern could tell.

Pure text. What is found is told by kind and place and by its first letter, never in full.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import phonenumbers
from stdnum import iban, luhn

#: SQL regular expression (RE2) that every text matches in which something could be found: it spares the rest.
CANDIDATE = (
    r"@|\+\s?\(?\d|(^|[^.\d])\d([ -]?\d){12,18}([^.\d]|\.\D|\.?$)|\b[A-Z]{2}\d{2} ?[A-Z0-9]{4}"
    r"|\b0\d{2,5}[ /-]+\d|\(0?\d{2,5}\)[ /-]*\d|\b\d{3}[-. ]\d{3}[-. ]\d{4}\b"
)
_EMAIL = re.compile(r"[\w.%+'-]+@(?:[\w-]+\.)+[^\W\d_]{2,}")
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?!\d|\.\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_NATIONAL = re.compile(r"(?<![\d.])(?:\(0?\d{2,5}\)|0\d{2,5}|\d{3})[ /.-]+\d")
#: First digits of payment cards, by ISO/IEC 7812: 2 (Mastercard, Mir), 3 (Amex, Diners, JCB), 4 (Visa), 5 (Mastercard),
#: 6 (Discover, UnionPay, Maestro).
_ISSUERS = "23456"
#: Where a number without a country is looked up.
REGIONS = ("US", "GB", "DE", "FR")
_WORDS = re.compile(r"[\w@.+'-]+")
#: Words of the core that are shorter are in too many texts to mean anybody.
SHORTEST, SHORTEST_NUMBER, LONGEST_WORDS = 4, 6, 4


@dataclass(frozen=True)
class Hit:
    """Something personal: its kind, and what may be shown of it."""

    kind: str
    shown: str


def hits_in(text: str) -> Iterator[Hit]:
    """What is in a text by its form, in the order of the kinds."""
    for match in _EMAIL.finditer(text):
        yield Hit("e-mail address", _masked(match[0]))
    taken = []
    for match in _IBAN.finditer(text):
        if found := _iban_in(match[0]):
            taken.append(match.span())
            yield Hit("IBAN", _masked(found))
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if digits[0] in _ISSUERS and len(set(digits)) > 1 and luhn.is_valid(digits) and not _within(match, taken):
            taken.append(match.span())
            yield Hit("card number", _masked(digits))
    for start, end in _phones(text):
        if not any(first <= start < last for first, last in taken):
            yield Hit("phone number", _masked(text[start:end]))


def words_in(text: str, known: Collection[str]) -> Iterator[str]:
    """The known words (see `telling`) that stand in a text as whole words, up to four in a row."""
    parts = [part.strip(".'-").lower() for part in _WORDS.findall(text)]
    for first in range(len(parts)):
        for count in range(1, LONGEST_WORDS + 1):
            candidate = " ".join(parts[first : first + count])
            if first + count <= len(parts) and candidate in known:
                yield candidate


def telling(word: str) -> str:
    """A word of the core as `words_in` looks for it; empty where it is too short to mean anybody."""
    plain = " ".join(part.strip(".'-").lower() for part in _WORDS.findall(word))
    shortest = SHORTEST_NUMBER if plain.replace(" ", "").isdigit() else SHORTEST
    return plain if len(plain) >= shortest else ""


def _phones(text: str) -> list[tuple[int, int]]:
    """Where phone numbers stand: international ones, and national ones that are grouped as such."""
    spans: set[tuple[int, int]] = set()
    if "+" in text:
        matcher = phonenumbers.PhoneNumberMatcher(text, None, leniency=phonenumbers.Leniency.VALID)
        spans |= {(match.start, match.end) for match in matcher}
    if _NATIONAL.search(text):
        for region in REGIONS:
            matcher = phonenumbers.PhoneNumberMatcher(text, region, leniency=phonenumbers.Leniency.STRICT_GROUPING)
            spans |= {(m.start, m.end) for m in matcher if _NATIONAL.match(m.raw_string)}
    return sorted(span for span in spans if not any(o != span and o[0] <= span[0] < o[1] for o in spans))


def _iban_in(text: str) -> str:
    """The IBAN that a text begins with, which may be followed by words in capitals; empty where there is none."""
    parts = text.split(" ")
    for count in range(len(parts), 0, -1):
        if iban.is_valid(candidate := "".join(parts[:count])):
            return candidate
    return ""


def _within(match: re.Match[str], spans: list[tuple[int, int]]) -> bool:
    return any(start <= match.start() < end for start, end in spans)


def _masked(text: str) -> str:
    return f"{text[0]}… ({len(text)} characters)"
