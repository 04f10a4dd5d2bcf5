"""Steering: what can be changed while a simulation runs, how a command is written, and the state it changes.

May know the commands and when each is refused; knows no Kafka and not how the engine obeys. The loop of a
run reads its properties between two windows; a listener (`control.py`) calls `Steering.apply` from its own thread.
"""

from __future__ import annotations

import functools
import json
import threading
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from personas.errors import ControlError

#: The commands that change what is played, as they stand in manifests.
PROBLEM_RATE, ARRIVAL_RATE = "set_problem_rate", "set_arrival_rate"
MAX_ARRIVAL_RATE = 100.0
MAX_PROBLEM_RATE = 1000.0


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Command(_Model):
    """`run_id` None means every run that listens; `id` comes back in the reply."""

    id: str = Field("", max_length=200)
    run_id: str | None = None


class Pause(_Command):
    """Play nothing further until `resume`; virtual time stands still."""

    command: Literal["pause"] = "pause"


class Resume(_Command):
    """Go on after `pause`."""

    command: Literal["resume"] = "resume"


class Stop(_Command):
    """End the run as Ctrl-C does: what was played is delivered, and the same run can be continued."""

    command: Literal["stop"] = "stop"


class SetArrivalRate(_Command):
    """From now on users come `value` times as often as their personas say (1: as they say)."""

    command: Literal["set_arrival_rate"] = "set_arrival_rate"
    value: float = Field(gt=0, le=MAX_ARRIVAL_RATE, strict=True)


class SetProblemRate(_Command):
    """From now on problems occur `value` times as often as the product says (1: as it says, 0: never)."""

    command: Literal["set_problem_rate"] = "set_problem_rate"
    value: float = Field(ge=0, le=MAX_PROBLEM_RATE, strict=True)


Command = Pause | Resume | Stop | SetArrivalRate | SetProblemRate


class SteeringState(_Model):
    """What the engine goes by. The rates are factors on what personas and product say."""

    paused: bool = False
    stopped: bool = False
    arrival_rate: float = 1.0
    problem_rate: float = 1.0


class Reply(_Model):
    """What a run answers to one command; `reason` says why one was refused, `state` holds after it."""

    id: str = ""
    run_id: str
    command: str
    accepted: bool
    reason: str = ""
    state: SteeringState


@functools.cache
def _commands() -> TypeAdapter[Command]:
    return TypeAdapter(Annotated[Command, Field(discriminator="command")])


def parse_command(payload: bytes) -> Command:
    """The command that a message holds. Raises ControlError with what was found and expected."""
    try:
        return _commands().validate_json(payload)
    except ValidationError as error:
        faults = [
            ": ".join(filter(None, (".".join(str(part) for part in fault["loc"]), fault["msg"])))
            for fault in error.errors(include_url=False)
        ]
        raise ControlError("This is not a valid steering command: " + "; ".join(faults)) from error


class Steering:
    """The steering state of one run, shared by the thread that listens and the thread that plays. The rates of a run
    that is `fixed` cannot be changed."""

    def __init__(
        self, run_id: str, *, arrival_rate: float = 1.0, problem_rate: float = 1.0, fixed: bool = False
    ) -> None:
        self.run_id, self._fixed = run_id, fixed
        self._lock = threading.Lock()
        self._state = SteeringState(arrival_rate=arrival_rate, problem_rate=problem_rate)

    @property
    def state(self) -> SteeringState:
        """The state at this moment, as one consistent value."""
        return self._state

    @property
    def paused(self) -> bool:
        """Whether the engine should stand still."""
        return self._state.paused

    @property
    def stopped(self) -> bool:
        """Whether the engine should end; once true, it stays so."""
        return self._state.stopped

    @property
    def arrival_rate(self) -> float:
        """Factor on the frequency of sessions."""
        return self._state.arrival_rate

    @property
    def problem_rate(self) -> float:
        """Factor on the base rates of problems."""
        return self._state.problem_rate

    def apply(self, command: Command) -> Reply | None:
        """Carry out or refuse one command; None when it is meant for another run. Any thread may call it."""
        if command.run_id not in (None, self.run_id):
            return None
        with self._lock:
            reason = self._objection(command)
            if not reason:
                self._carry_out(command)
            return Reply(
                id=command.id,
                run_id=self.run_id,
                command=command.command,
                accepted=not reason,
                reason=reason,
                state=self._state,
            )

    def _objection(self, command: Command) -> str:
        state = self._state
        if state.stopped:
            return "the run is stopping already" if isinstance(command, Stop) else "the run is stopping"
        if isinstance(command, Pause) and state.paused:
            return "the run is paused already"
        if isinstance(command, Resume) and not state.paused:
            return "the run is not paused"
        if self._fixed and isinstance(command, SetArrivalRate | SetProblemRate):
            return "twins come as often as their model says, and meet the problems that it has learnt"
        return ""

    def _carry_out(self, command: Command) -> None:
        update: dict[str, Any]
        match command:
            case Pause():
                update = {"paused": True}
            case Resume():
                update = {"paused": False}
            case Stop():
                update = {"stopped": True, "paused": False}
            case SetArrivalRate(value=value):
                update = {"arrival_rate": value}
            case SetProblemRate(value=value):
                update = {"problem_rate": value}
        self._state = self._state.model_copy(update=update)


def answer(payload: bytes, steering: Steering) -> Reply | None:
    """The reply to one message as it came: what is no command is refused with the reason, never raised.

    None when the message is meant for another run, so far as that can be read.
    """
    try:
        command = parse_command(payload)
    except ControlError as error:
        given = _named(payload)
        if given.get("run_id") not in (None, steering.run_id):
            return None
        return Reply(
            id=given.get("id", ""),
            run_id=steering.run_id,
            command=given.get("command", ""),
            accepted=False,
            reason=error.message,
            state=steering.state,
        )
    return steering.apply(command)


def _named(payload: bytes) -> dict[str, str]:
    """The texts in a message that is no valid command, so that its sender can be told which one was refused."""
    try:
        given = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    pairs = given.items() if isinstance(given, dict) else ()
    return {name: value[:200] for name, value in pairs if isinstance(value, str)}
