"""Fits a twin model on a log.

    visits.*    when users come (see `visits`)
    shape.*     what the history's inputs are (see `history.Shape`)
    dwell.*     classes of gaps (see `dwell.Durations`); burst.* those that end in a burst
    event.*     network: the next event, or the end (the last class)
    mode.*      network: how the event's item is chosen (see `sequence`)
    gap.*       network: the class of the gap before the event
    calendar.*  on which hours long gaps end (see `calendar`)
    item.*      network: which new item (see `items`)
    near.*      what sessions are refused as near copies (see `near_copies`)
    more.*      further columns (see `properties`)

What fewer than k users did is left out before anything is computed. A tenth of the users, chosen by hash, teach
nothing: by the likelihood of their sessions it is decided when each network has learnt enough.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from personas.errors import TwinError
from personas.randomness import F64, fold, root_key, uniform
from simulator.twins.bursts import Bursts
from simulator.twins.calendar import fit_calendar
from simulator.twins.catalogue import Catalogue, catalogue_of
from simulator.twins.descent import Learning
from simulator.twins.dwell import Durations, durations_of, resolution_of
from simulator.twins.history import Shape
from simulator.twins.item_learning import begin, learn_items
from simulator.twins.log import I64, Log, log_of
from simulator.twins.model import FitOptions, TwinModel
from simulator.twins.near_copies import fit_near_copies
from simulator.twins.network import Known, Network, learn
from simulator.twins.posterior import Strength, joined, pseudo_of, strength_of, with_words
from simulator.twins.privacy import Bools, chosen, in_order, thinned
from simulator.twins.properties import fit_properties
from simulator.twins.rehearsal import rehearsed
from simulator.twins.sequence import MODES, NEW, Examples, examples_of
from simulator.twins.shapes import shape_arrays, shape_of
from simulator.twins.user_state import static_of
from simulator.twins.visits import fit_visits

MOST_ROWS = 300_000
HELD_OUT = 0.1
#: Longest session that is learnt from: longer ones are cut (of the log's own lengths, see `_cut`).
LONGEST = 1000

T = TypeVar("T")
Progress = Callable[[str, float], None]
Named = dict[str, npt.NDArray[Any]]


def fit(
    table: pa.Table, options: FitOptions, progress: Progress = lambda step, share: None,
    teachers: Mapping[str, Log] | None = None,
) -> TwinModel:  # fmt: skip
    """The model of a log, and of what `teachers` add to it where it is small (see `posterior`). `progress` is told what
    is being done and the share (0 to 1) that is done."""
    from threadpoolctl import threadpool_limits

    if options.epsilon is not None:
        raise TwinError("this model carries no noise yet.", hint="Fit without --epsilon; --k holds.")
    with threadpool_limits(1):  # on a busy machine threads of small products wait for one another: five times the work
        return _fitted(table, options, progress, teachers)


def _fitted(
    table: pa.Table, options: FitOptions, progress: Progress, teachers: Mapping[str, Log] | None
) -> TwinModel:  # fmt: skip
    progress("reading", 0.0)
    whole = in_order(log_of(table))
    log, names, dropped = thinned(whole, options.k, min(options.k, options.item_names))
    if not len(log.event):
        hint = f"Every event name is had by fewer than k = {options.k} users; lower --k, or fit on more users."
        raise TwinError("nothing of this core may be learnt from", hint=hint)
    log, strength = _cut(log), strength_of(whole, teachers) if teachers else Strength("", 0, {})
    taught = teachers[strength.teacher] if teachers and strength.sessions else None
    log = with_words(log, taught) if taught else log
    arrays: Named = fit_visits(log, options.k)
    key = root_key("twins", options.seed)
    progress("catalogue", 0.05)
    has = log.item >= 0
    session = log.session[has]
    named = len(names.users)
    catalogue = catalogue_of(log.item[has], session, log.user[session], named, names.frequent, options.k)
    durations = _durations(log, options.k)
    shape = shape_of(log, catalogue, durations, options.k)
    progress("examples", 0.1)
    some = _some(log, key)
    static, own = static_of(some), len(some.user)
    if taught:
        some, static = joined(some, static, pseudo_of(some, taught, strength.sessions, fold(key, 9)[0]))
    examples = examples_of(some, shape, durations, static)
    examples.kind[examples.session >= own] = -1  # a teacher knows nothing of pauses
    check = (uniform(fold(fold(key, 17), some.user)) < HELD_OUT)[examples.session]
    learning_items = aside(lambda: _items(examples, own, catalogue, shape, len(log.words["event"]), check, key))
    networks, figures = _learnt(examples, log, shape, durations, check, key, progress)
    progress("items", 0.7)
    items, figures["item"] = learning_items.result()
    arrays |= {
        **shape_arrays(shape, len(names.users)), **networks, **items,
        "dwell.atoms": durations.atoms, "dwell.edges": durations.edges, "dwell.quantiles": durations.quantiles,
        "calendar.ratio": fit_calendar(log, durations, options.k, fold(key, 8)[0]),
        **_named("burst", durations.bursts),
        "dwell.resolution": np.array([durations.resolution]), "longest": _longest(log, options.k),
    }  # fmt: skip
    words = {"event": log.words["event"], "item": log.words["item"]}
    if not taught:
        progress("rehearsal", 0.88)
        arrays["event.wide"] = rehearsed(TwinModel(arrays, words), shape, log, options.k, fold(key, 10)[0])
    told_near: dict[str, Any] = {}
    if not options.allow_near_copies:
        longest = int(min(arrays["longest"][0], 1.5 * arrays["longest"][1] + 1))
        near, told_near = fit_near_copies(log, len(names.users), options.k, longest)
        arrays |= near
    progress("properties", 0.95)
    properties, texts, left_out = fit_properties(log, len(names.users), options.k)
    arrays |= properties
    progress("done", 1.0)
    facts = {
        "users": log.users, "sessions": len(log.user), "events": len(log.event),
        "first": int(shape.span[0]), "last": int(shape.span[1]),
        "dropped": dropped, "networks": figures, "columns_left_out": left_out,
        "columns": sorted(set(log.more) - set(left_out)),
        "near_copies": told_near, "posterior": strength.told,
    }  # fmt: skip
    return TwinModel(arrays, {**words, **texts}, facts)


def _cut(log: Log) -> Log:
    place = np.arange(len(log.event)) - log.first[log.session]
    return log if (place < LONGEST).all() else chosen(log, np.flatnonzero(place < LONGEST))


def _longest(log: Log, k: int) -> I64:
    """[2]: the length at which a session of a twin is cut, if it does not end before, and the one from which on it is
    ended by and by. They are the same where k users stopped and nobody went further: that is a rule of the product.
    Else the second is the length that k sessions have, as nothing is known of what comes behind: were sessions cut
    there, all that are longer would be of one length, and a recommender would learn that they end."""
    lengths = np.sort(log.lengths)[::-1]
    shared = int(lengths[min(k - 1, len(lengths) - 1)])
    stopped = len(np.unique(log.user[log.lengths == lengths[0]]))
    return np.array([shared if stopped >= k and shared == lengths[0] else 3 * shared + 1, shared])


def _durations(log: Log, k: int) -> Durations:
    inner = np.diff(log.session) == 0
    user = log.user[log.session][1:][inner]
    return durations_of(
        log.event[1:][inner], log.time[:-1][inner], log.time[1:][inner], user, k, resolution_of(log.time)
    )


def _some(log: Log, key: np.uint64) -> Log:
    """Of a large log the sessions of some of its users: enough for the networks."""
    rows = len(log.event) + len(log.user)
    if rows <= MOST_ROWS:
        return log
    taken = uniform(fold(fold(key, 5), np.arange(log.users))) < MOST_ROWS / rows
    return chosen(log, np.flatnonzero(taken[log.user[log.session]]))


def aside(work: Callable[[], T]) -> Future[T]:
    """What is being worked out on another core. The thread is a daemon, so that Ctrl-C need not wait for it."""
    answer = Future[T]()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where the answer is asked for
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return answer


def one_hot(code: I64, size: int) -> F64:
    """[n, size]; codes below zero give zeros."""
    return np.concatenate([np.eye(size), np.zeros((1, size))])[np.where(code < 0, size, code)]


def _named(name: str, arrays: Network | Bursts) -> Named:
    return {f"{name}.{part}": array for part, array in asdict(arrays).items()}


def _learnt(
    examples: Examples, log: Log, shape: Shape, durations: Durations, check: Bools, key: np.uint64, progress: Progress
) -> tuple[Named, dict[str, Any]]:
    events, figures = len(log.words["event"]), dict[str, Any]()
    arrays: Named = {}
    learning, pairs = Learning(), shape.pairs
    progress("events", 0.2)
    of_items = bool(shape.item_code.any())
    told = [(Known(examples.inputs, examples.codes[:, :1], shape.codes if of_items else pairs), learning)]
    if of_items:
        told.append((Known(examples.inputs, examples.codes, shape.codes), replace(learning, decay=1e-3)))
    network, figures["event"] = learn(told, examples.event, events + 1, check, fold(key, 1)[0])
    arrays |= _named("event", network)
    real = np.flatnonzero(~examples.ends)
    column = one_hot(shape.column[examples.event[real]], shape.columns).astype(np.float32)
    inputs = np.concatenate([examples.inputs[real], column], axis=1)
    progress("modes", 0.4)
    told = [(Known(inputs, examples.pair_with[real], pairs), learning)]
    network, figures["mode"] = learn(told, examples.mode[real], MODES, check[real], fold(key, 2)[0])
    arrays |= _named("mode", network)
    progress("gaps", 0.55)
    later = real[examples.kind[real] >= 0]
    mode = one_hot(examples.mode[later], MODES).astype(np.float32)
    inputs = np.concatenate([inputs[examples.kind[real] >= 0], mode], axis=1)
    told = [(Known(inputs, examples.pair_with[later], pairs), learning)]
    kind, held = examples.kind[later], check[later]
    network, figures["gap"] = learn(told, kind, durations.classes, held, fold(key, 3)[0])
    return arrays | _named("gap", network), figures


def _items(
    examples: Examples, own: int, catalogue: Catalogue, shape: Shape, events: int, check: Bools, key: np.uint64
) -> tuple[Named, dict[str, Any]]:
    new = np.flatnonzero(~examples.ends & (examples.mode == NEW) & (examples.session < own))
    if not len(new):
        return {}, {"loss": 0.0, "passes": 0}
    rows = examples.items.part(new)
    column = one_hot(shape.column[rows.event], shape.columns).astype(np.float32)
    rows = replace(rows, inputs=np.concatenate([rows.inputs, column], axis=1))
    item = examples.item[new]
    network = begin(catalogue, rows.inputs.shape[1], rows.event, item, events, fold(key, 4)[0])
    network, told = learn_items(network, catalogue, rows, item, check[new], fold(key, 6)[0], Learning(patience=1))
    return {f"item.{name}": array for name, array in asdict(network).items()}, told
