"""What `dayone teach PACK --traces PATH` does: learn from sessions that came about elsewhere, and judge as courses do.

A course of one round: nobody is asked, so it needs no key and costs nothing. Knows no terminal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from personas.core.mapping import CoreMap, load_map
from simulator.behaviour.fit import fit
from simulator.behaviour.model import Behaviour
from simulator.choice import Chooser
from simulator.teach.course import HELD_OUT, Course, Lesson, Plan
from simulator.teach.logs import Visited, assigned, held_out, read_visits
from simulator.teach.notebook import Notebook
from simulator.teach.teachers import Bill
from simulator.teach.walks import Room


class LogTeacher:
    """Users who have decided already: nobody can be asked for more."""

    kind: Literal["tutor", "oracle", "log"] = "log"
    model, prompts, agents_only, exhausted, paid = "", "", False, True, 0.0
    #: Sessions of a log came about by themselves, so what people come for is learnt as well.
    by_themselves = True

    def __init__(self, prior: Behaviour, visited: Visited) -> None:
        self.behaviour, self.bill, self.visited = prior, Bill(), visited

    @property
    def origin(self) -> dict[str, Any]:
        """What the lineage says of the files."""
        one = self.visited.ancestry
        return {"files": self.visited.files, "generation": one.generation, "ancestors": one.ancestors, "real": one.real}

    def chooser(self, population: object, world: object) -> Chooser:
        """Nobody chooses."""
        raise NotImplementedError


def learn_from(
    room: Room, given: str, map_file: Path | None, seed: int, tell: Callable[[str, Notebook], None]
) -> Lesson:
    """The student of the sessions at `given`. CoreError where there are none; whatever `tell` raises ends it."""
    visited = read_visits(given, load_map(map_file) if map_file else CoreMap(), room)
    traces, judge = visited.traces, held_out(visited.user, HELD_OUT, seed)
    taught, rest = traces.of_sessions(~judge), traces.of_sessions(judge)
    nothing = Notebook({}, taught, rest, np.zeros(0, dtype=bool))
    if not visited.known:
        tell("finding out who came for what", nothing)
        rest = assigned(rest, visited.user[judge], room.prior, room, seed) if rest.sessions else rest
        first = assigned(taught, visited.user[~judge], room.prior, room, seed)
        learnt = fit(room.prior, first, room.world, room.rankings, learn_intents=True).behaviour
        tell("finding out again, from what was learnt", nothing)
        taught = assigned(taught, visited.user[~judge], learnt, room, seed)
    notebook = Notebook({}, taught, rest, np.zeros(0, dtype=bool), rounds=1, lost=visited.lost, tokens=Counter())
    course = Course(room, LogTeacher(room.prior, visited), notebook, Plan(0.0, None, seed), tell=tell)
    return course.learn(complete=True)
