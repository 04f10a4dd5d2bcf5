"""A dose of the fuzz for every run of the tests, and that the fuzz itself can find something."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from personas import catalog
from sinks import ingest
from tests.fuzz import campaign, mutation
from tests.fuzz.__main__ import arguments, chunks_of
from tests.fuzz.campaign import SHARES, run_chunk

DOSES = {"messages": 2_000, "catalog": 1_000, "yaml": 250, "pack": 100}


@pytest.mark.parametrize("name", DOSES)
def test_a_dose(name: str) -> None:
    done = run_chunk(name, seed=2026, number=0, inputs=DOSES[name])
    assert done.inputs >= DOSES[name]
    assert done.findings == []


def test_what_the_decoder_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "REFUSALS", (KeyError,))
    assert run_chunk("messages", seed=1, number=0, inputs=100).findings


def test_what_the_loader_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "ValidationError", KeyError)
    assert run_chunk("catalog", seed=1, number=0, inputs=100).findings


class Slow:
    """A target that never ends, and one that takes all memory."""

    def __init__(self, greedy: bool = False) -> None:
        self.greedy = greedy
        self.kept: list[Any] = []

    def attempt(self, rng: random.Random) -> bytes:
        if self.greedy:
            self.kept.append(b"x" * 64 * 1024 * 1024)
            return b""
        while True:
            time.sleep(0.01)

    def settle(self) -> None:
        self.kept.clear()


@pytest.mark.parametrize(
    ("greedy", "bound", "value", "said"), [(False, "SECONDS", 0.05, "TooSlow"), (True, "MEBIBYTES", -1, "grew by")]
)
def test_what_hangs_or_grows_is_found(
    monkeypatch: pytest.MonkeyPatch, greedy: bool, bound: str, value: float, said: str
) -> None:
    monkeypatch.setattr(campaign, "target_of", lambda name: Slow(greedy))
    monkeypatch.setattr(campaign, bound, value)
    ((promise, _),) = run_chunk("slow", seed=1, number=0, inputs=1).findings
    assert said in promise


def test_a_chunk_is_made_again_from_its_number() -> None:
    texts = [mutation.noisy_bytes(random.Random("1/yaml/3"), b"a: 1\nb: [2, 3]\n") for _ in range(2)]
    assert texts[0] == texts[1]


def test_a_million_inputs_are_shared_out() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    assert sum(inputs for _, _, _, inputs in chunks_of(arguments([]))) == 1_000_000
