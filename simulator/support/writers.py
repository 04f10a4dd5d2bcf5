"""Who writes to support, and in which state: found in what was played, with arrays, for all sessions at once.

After each problem or event that the help file names, a coin is tossed whose odds depend on the user's satisfaction and
traits (see `personas.help.Writes`). Whoever writes gets parameters: a mood, a way of typing, and how much detail,
patience and formality. Both are hashes of (user, session, sequence, purpose) like everything random, so a conversation
can be made alone, and is the same however a run is cut. Knows no words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from personas.help import MANNERS, Help, Writes
from personas.pack import Pack
from personas.population import Population, device_names, trait_names
from personas.randomness import F64, U64, fold, standard_normal, uniform
from simulator.engine import Played
from simulator.world import I64

SESSION_KEY = 1_000_000
# Purposes of random numbers; those below 200 belong to the engine, those from 256 on to properties.
WRITES, MOOD, TYPING, LANGUAGE, FLAW, SAMPLE, MANNER, DICE = 200, 201, 202, 203, 204, 205, 210, 220
MOODS = ("calm", "worried", "annoyed", "angry")
#: Above these the mood is the next one: how much less satisfied than usual, in tenths, plus noise.
MOOD_STEPS = (0.3, 1.1, 2.0)
TYPINGS = ("careful", "quick", "sloppy")
#: Numbers for the words of one conversation.
DICE_NUMBERS = 48
#: On these, people write less and type less carefully.
SMALL_DEVICES = ("mobile", "phone")


@dataclass(frozen=True)
class Letters:
    """n users who write, one row each: the user's row in the population, session and sequence of the event after which
    it is, its time in milliseconds, the number of the reason in the help file's `writes`, item and category in
    question, the parameters, and the numbers [n, DICE_NUMBERS] that the words are drawn with."""

    user: I64
    session: I64
    sequence: I64
    time: I64
    event: I64
    reason: I64
    item: I64
    category: I64
    mood: I64
    typing: I64
    manner: dict[str, F64]
    dice: F64
    key: U64

    def __len__(self) -> int:
        return len(self.user)


class Writers:
    """The tables of a pack, made once."""

    def __init__(self, pack: Pack, help_: Help, population: Population) -> None:
        self.population = population
        problems, events = list(pack.product.problems), list(pack.product.events)
        names, traits = list(help_.writes), trait_names(pack)
        writes = list(help_.writes.values())
        self._by_problem = np.array([names.index(name) if name in names else -1 for name in problems] or [-1])
        self._by_event = np.array([names.index(name) if name in names else -1 for name in events])
        self._planted = np.array([name in problems for name in names])
        self._logit = np.array([_logit(each) for each in writes])
        self._unhappiness = np.array([each.unhappiness for each in writes])
        self._traits = np.array([[each.traits.get(trait, 0.0) for trait in traits] for each in writes])
        self._manner = {
            name: np.array([help_.manner.get(name, {}).get(trait, 0.0) for trait in traits]) for name in MANNERS
        }
        self._small = np.array([any(word in name for word in SMALL_DEVICES) for name in device_names(pack)])
        self._usual_patience = np.array([persona.patience.median for persona in pack.personas])

    def letters(self, played: Played, since: int = -1) -> Letters:
        """Who writes after what was played, from the instant `since` on, in the order of the events."""
        events = played.events
        problem = events["problem"].astype(np.int64)
        reason = np.where(problem >= 0, self._by_problem[problem], -1)
        reason = np.where(reason < 0, self._by_event[events["event"]], reason)
        rows = np.flatnonzero((reason >= 0) & (events["time"] >= since))
        user, session = events["user"][rows].astype(np.int64), events["session"][rows].astype(np.int64)
        people, of = self.population, reason[rows]
        key = fold(fold(people.key[user], session + SESSION_KEY), events["sequence"][rows])
        missing = people.satisfaction[user] - self._satisfaction(played, user, session)
        odds = self._logit[of] + self._unhappiness[of] * missing
        tilt = 2.0 * people.traits[user] - 1.0
        for column in range(tilt.shape[1]):  # column by column, so that sums do not depend on the shape
            odds += tilt[:, column] * self._traits[of, column]
        wrote = np.flatnonzero(uniform(fold(key, WRITES)) < 1.0 / (1.0 + np.exp(-odds)))
        rows, user, key, of = rows[wrote], user[wrote], key[wrote], of[wrote]
        manner = self._manners(user, key, tilt[wrote])
        mood = self._mood(missing[wrote], self._planted[of], key)
        careless = standard_normal(fold(key, TYPING)) + 0.8 * self._small[people.device[user]]
        careless += 1.5 * (0.5 - manner["formality"])
        return Letters(
            user=user, session=session[wrote], sequence=events["sequence"][rows].astype(np.int64),
            time=events["time"][rows], event=events["event"][rows].astype(np.int64), reason=of,
            item=events["item"][rows].astype(np.int64), category=events["category"][rows].astype(np.int64),
            mood=mood, typing=(careless > 0.4).astype(np.int64) + (careless > 1.3), manner=manner,
            dice=uniform(fold(key[:, None], np.arange(DICE, DICE + DICE_NUMBERS)[None, :] + DICE)), key=key,
        )  # fmt: skip

    def _satisfaction(self, played: Played, user: I64, session: I64) -> F64:
        """The user's level after the session in which each of these happened."""
        sessions = played.sessions
        name = (sessions["user"].astype(np.int64) << 32) + sessions["session"]
        order = np.argsort(name, kind="stable")
        found = order[np.searchsorted(name[order], (user << 32) + session)] if len(user) else user
        return np.asarray(sessions["satisfaction"][found])

    def _mood(self, missing: F64, planted: npt.NDArray[np.bool_], key: U64) -> I64:
        score = 10.0 * missing + np.where(planted, 0.4, -0.8) + 0.7 * standard_normal(fold(key, MOOD))
        return np.asarray((score[:, None] > np.array(MOOD_STEPS)[None, :]).sum(axis=1), dtype=np.int64)

    def _manners(self, user: I64, key: U64, tilt: F64) -> dict[str, F64]:
        people = self.population
        found: dict[str, F64] = {}
        for number, name in enumerate(MANNERS):
            score = 1.2 * standard_normal(fold(key, MANNER + number))
            for column in range(tilt.shape[1]):
                score += tilt[:, column] * self._manner[name][column]
            if name == "detail":
                score -= 0.8 * self._small[people.device[user]]
            if name == "patience":
                score += 0.5 * np.log(people.patience[user] / self._usual_patience[people.persona[user]])
            found[name] = np.round(1.0 / (1.0 + np.exp(-score)), 3)
        return found


def _logit(writes: Writes) -> float:
    """The log of the odds; far out where somebody always or never writes."""
    if not 0.0 < writes.rate < 1.0:
        return 1e3 if writes.rate >= 1.0 else -1e3
    return math.log(writes.rate / (1.0 - writes.rate))
