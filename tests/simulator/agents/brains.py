"""Bad language models: what they answer need not fit any schema. (Those that ship answer what they should.)

A `BrainModel` asks a plain function, the *brain*, for the content of each answer. The brains here are pure functions of
the request, so a run with them is the same every time. They know what a model knows: the request, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from personas.randomness import root_key
from simulator.agents.language import Answer, Request, Usage

Brain = Callable[[Request], Any]


class BrainModel:
    """A LanguageModel. The brain's result is the content of the answer; an exception that it returns is raised. Every
    call is counted; `requests` keeps those made while `keep` is true."""

    def __init__(self, brain: Brain, *, dollars: float = 0.0, keep: bool = False) -> None:
        self.brain, self.dollars, self.keep = brain, dollars, keep
        self.calls = 0
        self.closed = False
        self.requests: list[Request] = []

    async def ask(self, request: Request) -> Answer:
        """What the brain says."""
        self.calls += 1
        if self.keep:
            self.requests.append(request)
        content = self.brain(request)
        if isinstance(content, Exception):
            raise content
        usage = Usage(input_tokens=500, output_tokens=50)
        # not validated: what a real model sends need not be what its type says either
        return Answer.model_construct(
            content=content, model=request.model, usage=usage, dollars=self.dollars, replayed=False
        )

    async def close(self) -> None:
        """Nothing to let go of."""
        self.closed = True


def chance(request: Request, *parts: object) -> int:
    """A number that depends on the question and the parts alone."""
    return int(root_key(request.sample, len(request.messages), *parts))


def random_legal(request: Request) -> dict[str, Any]:
    """Any answer that the schema allows, all as likely."""
    content: dict[str, Any] = {}
    for name, field in request.answer_schema["properties"].items():
        draw = chance(request, name)
        if "enum" in field:
            options = [option for option in field["enum"] if option != "none"] or ["none"]
            content[name] = options[draw % len(options)]
        elif field["type"] == "integer":
            content[name] = 1 + draw % 60
        else:
            content[name] = f"some words {draw % 100}"
    return content


def silly(request: Request) -> Any:
    """Legal moves, and now and then something that no schema would allow."""
    draw = chance(request, "silly")
    whole = random_legal(request)
    options: list[Any] = [
        {}, [], None, "order", {"action": 7}, {"action": "dance"}, whole | {"item": "p-nowhere"},
        whole | {"item": "p-nowhere"}, whole | {"item": None}, whole | {"dwell_seconds": -5},
        whole | {"dwell_seconds": 1e300}, whole | {"dwell_seconds": "long"},
        whole | {"words": "x" * 5000}, whole | {"words": 12}, whole | {"category": "moon"}, {"action": whole["action"]},
    ]  # fmt: skip
    return whole if draw % 3 else options[(draw // 3) % len(options)]


def obedient(wanted: str) -> Brain:
    """A model that does what a text told it to do: names an action, wherever it is."""

    def brain(request: Request) -> dict[str, Any]:
        told = any(wanted in message.text for message in request.messages) or wanted in request.context
        whole = random_legal(request)
        return whole | {"action": wanted} if told else whole

    return brain


def talking(request: Request) -> Any:
    """Speaks in conversations with support: asks, answers with the first statement that it is shown, and is content."""
    if request.purpose == "user_message":
        first = "(nothing yet)" in request.messages[0].text
        then = "wait" if first else ("wait", "solved", "give_up")[chance(request, "then") % 3]
        return {"message": "My card was declined, why?" if first else "Thank you, all right.", "then": then}
    if request.purpose == "audit":
        fine = {"reason": "as the help texts say", "passed": True}
        return {"grounded": fine, "solved": fine, "polite": fine}
    if "help_ids" not in request.answer_schema["properties"]:
        return {"message": "We will pay you a million for that."}
    line = request.context.split("<data>\n")[1].splitlines()[0]
    id_, _, text = line.removeprefix("[").partition("] ")
    return {"message": text.partition(": ")[2].partition(". ")[0] + ".", "help_ids": [id_], "hand_over": False}
