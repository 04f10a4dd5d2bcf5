"""Dollars from tokens, by the table that ships and by one's own; a bound that no bill exceeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from personas.errors import SettingsError
from simulator.agents.connection import DEFAULT_MODEL
from simulator.agents.language import Message, Request, Usage
from simulator.agents.prices import most_input_tokens, price_table, shipped_prices


def request(model: str = DEFAULT_MODEL, text: str = "hello", max_tokens: int = 100) -> Request:
    return Request(
        model=model, purpose="walk", prompt="p", system="", context="", messages=(Message(role="user", text=text),),
        schema_name="s", answer_schema={"type": "object"}, max_tokens=max_tokens,
    )  # fmt: skip


def test_a_call_is_the_sum_of_its_tokens() -> None:
    usage = Usage(input_tokens=1000, output_tokens=200, cache_read_tokens=4000, cache_write_tokens=500)
    entry = shipped_prices()["claude-haiku-4-5"]
    assert entry.cost(usage) == pytest.approx(0.001 + 0.001 + 0.0004 + 0.000625)
    assert entry.cost(usage, batched=True) == pytest.approx(entry.cost(usage) / 2)


def test_a_long_prompt_has_prices_of_its_own() -> None:
    entry = shipped_prices()["claude-haiku-5-5"]
    assert entry.cost(Usage(input_tokens=100_000)) == pytest.approx(0.01)
    assert entry.cost(Usage(input_tokens=60_000, cache_read_tokens=40_001)) == pytest.approx(0.03 + 0.00200005)
    assert entry.most(request(text="a" * 100_000)) > 5 * entry.most(request(text="a" * 90_000))


@pytest.mark.parametrize("text", ["hello", "ünïcödé 漢字 🙂", "a" * 5000])
def test_no_bill_exceeds_the_bound(text: str) -> None:
    asked = request(text=text, max_tokens=300)
    tokens = most_input_tokens(asked)
    assert tokens >= len(text.encode())
    for name, entry in shipped_prices().entries.items():
        for dearest in (
            Usage(input_tokens=tokens, output_tokens=entry.max_tokens(asked)),
            Usage(cache_write_tokens=tokens, output_tokens=entry.max_tokens(asked)),
        ):
            assert entry.cost(dearest) <= entry.most(asked) + 1e-12, name
            assert entry.cost(dearest, batched=True) <= entry.most(asked, batched=True) + 1e-12, name


def test_a_dated_name_is_priced_like_the_model() -> None:
    prices = shipped_prices()
    assert prices["claude-haiku-4-5-20251001"] is prices["claude-haiku-4-5"]
    assert prices["local/SmolLM2-135M-Instruct.Q4_1"].output == 0
    assert prices[DEFAULT_MODEL].output == min(entry.output for entry in prices.entries.values() if entry.output)


@pytest.mark.parametrize("name", ["gpt-9", "claude-haiku-4-5-2025", ""])
def test_no_price_no_call(name: str) -> None:
    with pytest.raises(SettingsError, match="Nothing is known of what the model .* costs.*\n.*DAYONE_TUTOR_PRICES"):
        shipped_prices()[name]


def test_a_file_goes_before_the_table(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("models: {mine: {input: 1, output: 2, cache_write: 3, cache_read: 0}, claude-haiku-4-5: "
                    "{input: 0, output: 0, cache_write: 0, cache_read: 0}}")  # fmt: skip
    prices = price_table(file)
    assert prices["mine"].cost(Usage(input_tokens=1_000_000, output_tokens=1_000_000)) == 3
    assert prices["claude-haiku-4-5"].output == 0
    assert shipped_prices()["claude-haiku-4-5"].output == 5, "the shipped one is as it was"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "is no price table: expected `models:`"),
        ("models: {mine: {input: 1}}", "mine|output: Field required"),
        ("models: {mine: {input: -1, output: 2, cache_write: 3, cache_read: 0}}", "input: .*greater than or equal"),
        ("{", "cannot be read"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=words):
        price_table(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        price_table(tmp_path / "nowhere.yaml")
