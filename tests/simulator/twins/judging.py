"""How well a model foretells what people do next: nats an event, over the events and the ends of a log."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from simulator.twins.draw import Stage, part_of
from simulator.twins.log import log_of
from simulator.twins.model import TwinModel
from simulator.twins.network import Known, Network, _forward
from simulator.twins.privacy import chosen, in_order
from simulator.twins.sequence import examples_of
from simulator.twins.user_state import static_of

UNKNOWN = 1e-3


def nats(model: TwinModel, table: pa.Table) -> float:
    """Mean over all events and ends; an event that the model does not have is given a thousandth."""
    log, stage = in_order(log_of(table)), Stage(model)
    known = {word: code for code, word in enumerate(model.words["event"])}
    code = np.array([known.get(word, -1) for word in log.words["event"]])[log.event]
    lost = int((code < 0).sum())
    items = {word: code for code, word in enumerate(model.words["item"])}
    item = np.array([items.get(word, len(items) - 1) for word in log.words["item"]] + [-1])[log.item]
    rows = np.flatnonzero(code >= 0)
    log = chosen(replace(log, event=code, item=item, words=model.words, more={}), rows)
    examples = examples_of(log, stage.shape, stage.durations, static_of(log))
    network = Network(**part_of(model.arrays, "event"))
    told = (examples.codes, stage.shape.codes) if stage.of_items else (examples.codes[:, :1], stage.shape.pairs)
    logits = _forward(network, Known(examples.inputs, *told))[1].astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    taken = chance[np.arange(len(chance)), examples.event] * (1 - UNKNOWN)
    return float(-np.log(taken + 1e-12).sum() - lost * np.log(UNKNOWN)) / (len(taken) + lost)
