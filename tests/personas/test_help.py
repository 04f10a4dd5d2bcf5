"""Help texts of a pack: what is wrong with them is told by file, line and field, and they belong to its fingerprint."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from personas.errors import PackError
from personas.help import MANNERS, small_talk
from personas.pack import load_pack, shipped_packs
from personas.scaffold import TEMPLATE

PACKS = [*shipped_packs(), TEMPLATE]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(TEMPLATE, tmp_path / "pack")


WRONG = [
    ("hand_over: reach_a_person", "hand_over: nobody", "hand_over", "found 'nobody', expected a help text"),
    ("  declined: {rate: 0.4", "  delined: {rate: 0.4", "writes.delined", "expected a problem or an event"),
    ("rate: 0.4,", "rate: 1.4,", "writes.declined.rate", "less than or equal to 1"),
    ("traits: {resolve: 0.5}", "traits: {resolv: 0.5}", "writes.declined.traits.resolv", "a trait that every persona"),
    ("  detail: {curiosity", "  details: {curiosity", "manner.details", "one of: detail, formality, patience"),
    ("about: [enrolled]", "about: [joined]", "texts.after_joining.about[0]", "a problem or an event"),
    ("about: [enrolled]", "about: []", "texts.after_joining", "`about` with a problem or an event"),
    ("A voucher that has run out is exchanged once.", "A voucher lasts", "texts.vouchers.text[2]", "ends with"),
    ("One word finds more than a sentence.", "The bank refuses a payment and does not tell us why.", "text[1]",
     "does not"),
    ("about {category}?", "about {categories}?", "texts.search_words.questions[1]", "{category} or {title}"),
    ("- One word finds", "- One {category} finds", "texts.search_words.text[1]", "every word written out"),
    ("  assistant_close:", "  assistant_goodbye:", "phrases.assistant_goodbye", "one of: assistant_again"),
    ("language: en ", "language: it ", "phrases", "all small talk in it"),
    ("enrolled: {rate: 0.1,", "enrolled: {words: price, rate: 0.1,", "writes.enrolled.words", "source is phrase"),
    ("writes:\n", "writes:\n  course_opened: {rate: 0.1}\n", "writes.course_opened",
     "a text with `about: [course_opened]`"),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "field", "said"), WRONG, ids=[row[2] for row in WRONG])
def test_a_mistake_is_told_with_its_place(folder: Path, right: str, wrong: str, field: str, said: str) -> None:
    path = folder / "help.yaml"
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))
    with pytest.raises(PackError) as caught:
        load_pack(folder)
    fault = next(fault for fault in caught.value.faults if fault.field.endswith(field) and said in str(fault))
    assert fault.file == str(path)
    changed = {number for number, (a, b) in enumerate(
        zip(text.splitlines(), path.read_text().splitlines(), strict=False), 1) if a != b}  # fmt: skip
    assert fault.line is not None
    assert field == "phrases" or min(changed) - 12 <= fault.line <= max(changed)


def test_words_in_an_event_must_be_answered(folder: Path) -> None:
    path = folder / "help.yaml"
    path.write_text(path.read_text().replace("writes:\n", "writes:\n  courses_searched: {rate: 0.1, words: query}\n")
                    .replace("about: [nothing_found]", "about: [nothing_found, courses_searched]"))  # fmt: skip
    with pytest.raises(PackError, match=r"phrases.search: '\{category\} for beginners' is answered by no text"):
        load_pack(folder)


def test_help_texts_belong_to_the_fingerprint(folder: Path) -> None:
    before, path = load_pack(folder).fingerprint, folder / "help.yaml"
    text = path.read_text()
    path.write_text(f"# a comment\n{text}")
    assert load_pack(folder).fingerprint == before
    path.write_text(text.replace("for good.", "for a year."))
    assert load_pack(folder).fingerprint != before
    path.unlink()
    without = load_pack(folder)
    assert without.help is None and without.fingerprint != before


@pytest.mark.parametrize("pack", PACKS, ids=str)
def test_packs_that_ship_have_texts_for_what_goes_wrong(pack: str | Path) -> None:
    loaded = load_pack(pack)
    assert loaded.help is not None
    if pack != TEMPLATE:
        assert len(loaded.help.texts) >= 15
        assert all(len(text.questions) >= 1 and len(text.text) >= 3 for text in loaded.help.texts.values())
        assert sum(len(text.questions) for text in loaded.help.texts.values()) >= 55
        assert set(loaded.product.problems) - set(loaded.help.writes) <= {"empty_help_search", "slow_board"}
    assert set(loaded.help.manner) <= set(MANNERS)
    assert sum(loaded.help.spoken.values()) == pytest.approx(1)


def test_small_talk_has_words_for_every_mood() -> None:
    for mood in ("calm", "worried", "annoyed", "angry"):
        assert len(small_talk()[f"user_{mood}"]) >= 5
        assert len(small_talk()[f"assistant_{mood}"]) >= 3
    said = [sentence for sentences in small_talk().values() for sentence in sentences]
    assert len(set(said)) == len(said)
