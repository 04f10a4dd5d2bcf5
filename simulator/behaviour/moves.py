"""Fits the factors of the next event to traces: a multinomial logit over the legal moves, shrunk towards a base.

The logarithm of a weight is that of the base Behaviour plus a sum of effects, one block for each way in which users may
differ: by event alone, by persona, by intent, by situation, by two or all three of these; by the event before, by a
problem, by traits; on leaving, by tiredness and by the goal. The effects of a block are normal with mean 0 and a
variance of the block's own, so a block that the traces do not speak for stays at the base: global, then persona, then
cell. What is found is the mode of the posterior (L-BFGS). The variances are those under which the traces are likeliest,
by the fixed point of MacKay 1992 (The evidence framework applied to classification networks, Neural Computation 4) with
the diagonal of the curvature: variance = sum of squares / number of effects that the traces determine.

Two ways were weighed: pseudo-counts in a tree of cells (closed form, but a user is in one leaf, and traits, problems
and the event before would need cells of their own), or this. Rows that differ only in traits, patience and items share
a context (see `contexts`), so effects are added up once per context and not once per row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from personas.randomness import F64
from simulator.behaviour.contexts import Contexts
from simulator.world import I64

#: Blocks of effects on the weight of an event, by what else they depend on.
BLOCKS: dict[str, tuple[str, ...]] = {
    "event": (),
    "screen": ("screen",),
    "situation": ("situation",),
    "persona": ("persona",),
    "intent": ("intent",),
    "persona, intent": ("persona", "intent"),
    "persona, screen": ("persona", "screen"),
    "intent, screen": ("intent", "screen"),
    "persona, situation": ("persona", "situation"),
    "intent, situation": ("intent", "situation"),
    "persona, intent, situation": ("persona", "intent", "situation"),
    "after": ("last",),
    "reaction": ("problem",),
    "traits": ("trait",),
    "leave after goal": ("intent",),
    "fatigue": (),
}
#: Blocks whose effects are on the weight of leaving alone.
ON_LEAVING = ("leave after goal", "fatigue")
#: Blocks whose effects are multiplied by something that differs from row to row within a context.
BY_ROW = ("traits", "fatigue")
FIRST_VARIANCE = 0.05
VARIANCES = (1e-7, 4.0)
#: The fixed point is neared faster when each round goes further than it points.
HURRY = 1.5
ROUNDS, STEPS_PER_ROUND, LAST_STEPS = 6, 10, 40
CHUNK = 4096


@dataclass(frozen=True)
class BlockFit:
    """One block: `effects` and their posterior variances `uncertainty`, dense arrays of the sizes of what the block
    depends on and (but for those on leaving) the moves; `spread` the standard deviation from which it was drawn, how
    many effects the traces `touched`, and how many they `determined` (what is left is the base's)."""

    effects: F64
    uncertainty: F64
    spread: float
    touched: int
    determined: float


@dataclass(frozen=True)
class MovesFit:
    """All blocks by name, and the mean log-loss (nats) over the traces before and after."""

    blocks: dict[str, BlockFit]
    log_loss_before: float
    log_loss: float


class Design:
    """The effects of all blocks, one after another in one vector, and how likely traces are under them. A *move* is a
    context and an event that may happen in it; `design` [moves, effects] says which effects each move is the sum of."""

    def __init__(self, contexts: Contexts) -> None:
        from scipy.sparse import csr_array

        self.rows, there = contexts, contexts.column >= 0
        self.move = np.where(there, np.cumsum(there).reshape(there.shape) - 1, int(there.sum()))
        of, event = np.nonzero(there)[0], contexts.column[there]
        self.leaving = contexts.column == contexts.moves - 1
        self.offset = np.append(contexts.offset[there], -np.inf)
        self.codes: dict[str, I64] = {}  # block → the dense codes of the effects that the traces touch
        self.part: dict[str, slice] = {}  # block → where its effects stand in the vector
        rows, columns, first = [], [], 0
        for name, depends in BLOCKS.items():
            if name in BY_ROW:
                codes = np.arange(int(np.prod(self.shape(name))))
            else:
                used = np.ones(len(of), dtype=bool)
                for key in depends:
                    used &= contexts.keys[key][of] >= 0
                if name in ON_LEAVING:
                    used &= (event == contexts.moves - 1) & contexts.reached[of]
                keys = [contexts.keys[key][of[used]] for key in depends]
                dense = np.ravel_multi_index((*keys, event[used])[: len(self.shape(name))], self.shape(name))
                codes, place = np.unique(dense, return_inverse=True)
                rows.append(np.flatnonzero(used))
                columns.append(first + place)
            self.codes[name], self.part[name] = codes, slice(first, first + len(codes))
            first += len(codes)
        self.count = first
        filled = (np.concatenate(rows), np.concatenate(columns))
        self.design = csr_array((np.ones(len(filled[0])), filled), shape=(len(of), first))
        self.back = self.design.T.tocsr()
        self.block = np.repeat(np.arange(len(BLOCKS)), [len(codes) for codes in self.codes.values()])

    def shape(self, name: str) -> tuple[int, ...]:
        """The sizes of a block's dense array."""
        sizes = tuple(self.rows.sizes[depends] for depends in BLOCKS[name])
        return sizes if name in ON_LEAVING else (*sizes, self.rows.moves)

    def evaluate(self, effects: F64, curvature: bool = False) -> tuple[float, F64]:
        """Minus the log-likelihood, and its gradient, or with `curvature` the diagonal of its second derivative."""
        rows = self.rows
        weights = self.offset.copy()
        weights[:-1] += self.design @ effects
        total = weights[self.move]
        traits = rows.traits + effects[self.part["traits"]].reshape(self.shape("traits"))
        fatigue = rows.fatigue + float(effects[self.part["fatigue"]][0])
        loss, by_context = 0.0, np.zeros(total.shape)
        by_trait, by_tired = np.zeros((rows.features.shape[1], rows.moves + 1)), 0.0
        for first in range(0, len(rows.context), CHUNK):
            some = slice(first, first + CHUNK)
            context, features, tired = rows.context[some], rows.features[some], rows.tired[some]
            column, leaving = rows.column[context], self.leaving[context]
            bent = np.einsum("nt,te->ne", features, traits)
            eta = total[context] + np.take_along_axis(bent, np.maximum(column, 0), axis=1)
            eta += leaving * (fatigue * tired)[:, None] + rows.is_bag[context] * rows.appeal[some, None]
            eta -= eta.max(axis=1, keepdims=True)
            chance = np.exp(eta)
            sums = chance.sum(axis=1)
            chosen = (np.arange(len(context)), rows.chosen[some])
            loss += float((rows.weight[some] * (np.log(sums) - eta[chosen])).sum())
            chance /= sums[:, None]
            if curvature:
                residual = chance * (1.0 - chance)
                features, tired = features**2, tired**2
            else:
                residual = chance
                residual[chosen] -= 1.0
            residual *= rows.weight[some, None]
            bounds = np.flatnonzero(np.diff(context, prepend=-1))
            by_context[context[bounds]] += np.add.reduceat(residual, bounds, axis=0)
            spread = np.zeros((len(context), rows.moves + 1))
            np.put_along_axis(spread, np.where(column >= 0, column, rows.moves), residual, axis=1)
            by_trait += np.einsum("nt,ne->te", features, spread)
            by_tired += float((residual * leaving).sum(axis=1) @ tired)
        result = self.back @ by_context[rows.column >= 0]
        result[self.part["traits"]] = by_trait[:, : rows.moves].ravel()
        result[self.part["fatigue"]] = by_tired
        return loss, result


def fit_moves(
    contexts: Contexts,
    tell: Callable[[int, int], None] = lambda done, of: None,
    spreads: dict[str, float] | None = None,
) -> MovesFit:
    """The effects that the traces speak for. `tell` hears of each round. With `spreads` (see `BlockFit`, found by
    another fit) these are not estimated."""
    from scipy.optimize import minimize  # takes a third of a second

    problem = Design(contexts)
    variance = np.full(len(BLOCKS), FIRST_VARIANCE)
    rounds = ROUNDS if spreads is None else 0
    if spreads is not None:
        variance = np.clip([spreads[name] ** 2 for name in BLOCKS], *VARIANCES)
    effects = np.zeros(problem.count)
    before, _ = problem.evaluate(effects)
    loss, curvature = before, np.zeros(problem.count)
    for number in range(rounds + 1):
        scale = np.sqrt(variance)[problem.block]

        def objective(standard: F64, scale: F64 = scale) -> tuple[float, F64]:
            value, gradient = problem.evaluate(standard * scale)
            return value + 0.5 * float(standard @ standard), gradient * scale + standard

        steps = LAST_STEPS if number == rounds else STEPS_PER_ROUND
        found = minimize(
            objective, effects / scale, jac=True, method="L-BFGS-B", options={"maxiter": steps, "maxcor": 10}
        )
        effects = found.x * scale
        loss, curvature = problem.evaluate(effects, curvature=True)
        if number < rounds:
            determined = curvature * scale**2 / (curvature * scale**2 + 1.0)
            squares = np.bincount(problem.block, effects**2, minlength=len(BLOCKS))
            known = np.bincount(problem.block, determined, minlength=len(BLOCKS))
            wanted = np.where(known > 1e-6, squares / np.maximum(known * variance, 1e-12), 1.0)
            variance = np.clip(variance * wanted**HURRY, *VARIANCES)
        tell(number + 1, rounds + 1)
    total = max(float(contexts.weight.sum()), 1.0)
    return MovesFit(_blocks(problem, effects, curvature, variance), before / total, loss / total)


def _blocks(problem: Design, effects: F64, curvature: F64, variance: F64) -> dict[str, BlockFit]:
    found = {}
    for number, name in enumerate(BLOCKS):
        mine = problem.part[name]
        shape = problem.shape(name)
        dense, doubt = np.zeros(int(np.prod(shape))), np.full(int(np.prod(shape)), variance[number])
        dense[problem.codes[name]] = effects[mine]
        doubt[problem.codes[name]] = 1.0 / (curvature[mine] + 1.0 / variance[number])
        scaled = curvature[mine] * variance[number]
        found[name] = BlockFit(
            effects=dense.reshape(shape),
            uncertainty=doubt.reshape(shape),
            spread=float(np.sqrt(variance[number])),
            touched=int((curvature[mine] > 0).sum()),
            determined=float((scaled / (scaled + 1.0)).sum()),
        )
    return found
