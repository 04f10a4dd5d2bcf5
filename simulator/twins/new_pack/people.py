"""Personas of a pack that is made of a core: one for each kind of users, with neutral names and a sentence of what
marks them. Shares, hours, returns, tastes and how their events differ are measured; traits are not, and there are none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from simulator.twins.log import I64, Log
from simulator.twins.new_pack.habits import Kinds
from simulator.twins.new_pack.names import names_for

DAY_US, HOUR_US, WEEK_US = 86_400_000_000, 3_600_000_000, 7 * 86_400_000_000
F64 = npt.NDArray[np.float64]
UNKNOWN_DEVICE = "unknown"


def personas_of(log: Log, kinds: Kinds, category: dict[int, str], k: int) -> dict[str, dict[str, Any]]:
    """The files by the names of the personas, as plain data."""
    found = {}
    shares = np.bincount(kinds.of, minlength=kinds.count) / len(kinds.of)
    shares = np.round(shares, 6)
    shares[0] += 1.0 - shares.sum()
    for kind in range(kinds.count):
        users = np.flatnonzero(kinds.of == kind)
        name = f"persona_{kind + 1}"
        rate, churn = _returns(log, users)
        story = f"{kinds.words[kind]}. Found among real users; {shares[kind]:.0%} of them are like this."
        found[name] = {
            "name": name, "share": round(float(shares[kind]), 6), "title": f"Kind {kind + 1} of {kinds.count}",
            "story": story, "voice": "Not known: no text of these users was read.", "traits": {},
            "tastes": _tastes(log, kinds.of == kind, category, k), "taste_spread": 0.0,
            "intents": {f"visit_{kind + 1}": 1.0}, "activity": {"week": _week(log, kinds.of == kind, k)},
            "devices": _devices(log, kinds.of == kind, k), "sessions_per_week": rate,
            "patience": {"median": 100_000, "spread": 0.0}, "satisfaction": 1.0, "churn": churn,
        }  # fmt: skip
    return found


def intents_of(log: Log, kinds: Kinds, names: list[str], conversion: str | None, k: int) -> dict[str, Any]:
    """An intent for each kind: how much more or less of each event it does than all users, and how soon it leaves."""
    by_user = log.user[log.session]
    overall = np.bincount(log.event, minlength=len(names)) / len(log.event)
    length = len(log.event) / len(log.user)
    found: dict[str, Any] = {}
    for kind in range(kinds.count):
        rows, sessions = kinds.of[by_user] == kind, kinds.of[log.user] == kind
        share = np.bincount(log.event[rows], minlength=len(names)) / max(rows.sum(), 1)
        seen = [len(np.unique(by_user[rows & (log.event == event)])) >= k for event in range(len(names))]
        ratio = np.clip(share / np.maximum(overall, 1e-9), 0.05, 20.0)
        weights = {
            name: float(f"{ratio[event]:.3g}") for event, name in enumerate(names)
            if seen[event] and abs(ratio[event] - 1) > 0.05
        }  # fmt: skip
        own = rows.sum() / max(sessions.sum(), 1)
        leave = 1.0 if kinds.count == 1 else float(f"{np.clip(length / max(own, 1e-9), 0.05, 20.0):.3g}")
        found[f"visit_{kind + 1}"] = {
            "summary": kinds.words[kind], "weights": weights if kinds.count > 1 else {}, "leave": leave,
            "leave_after_goal": 1.0, **({"goal": conversion} if conversion else {}),
        }  # fmt: skip
    return found


def adoption_of(log: Log) -> dict[str, float]:
    """The Bass model (Bass 1969) that is nearest to the days on which users came first, by squares over a grid."""
    begun = log.time[log.first[:-1]]
    first = np.full(log.users, np.iinfo(np.int64).max)
    np.minimum.at(first, log.user, begun)
    day = (first - first.min()) // DAY_US
    days = int(day.max()) + 1
    curve = np.cumsum(np.bincount(day, minlength=days)) / log.users
    at = np.arange(1, days + 1)
    best, chosen = np.inf, (0.03, 0.25)
    for total in np.geomspace(1.5 / days, 3.0, 30).tolist():
        for share in np.linspace(0.05, 1.0, 20).tolist():
            p, q = total * share, total * (1 - share)
            decay = np.exp(-total * at)
            error = float((((1 - decay) / (1 + q / p * decay) - curve) ** 2).mean())
            if error < best:
                best, chosen = error, (p, q)
    return {
        "innovation": float(f"{min(max(chosen[0], 1e-6), 1.0):.4g}"),
        "imitation": float(f"{min(chosen[1], 2.0):.4g}"),
    }


def _returns(log: Log, users: I64) -> tuple[dict[str, float], float]:
    """Sessions a week of those who come back, and how likely nobody comes back after a session. A last session
    counts as the last where the log goes on for longer than four usual pauses."""
    mine = np.isin(log.user, users)
    begun, user = log.time[log.first[:-1]][mine], log.user[mine]
    order = np.lexsort((begun, user))
    begun, user = begun[order], user[order]
    again = np.diff(user, prepend=-1) == 0
    gaps = np.diff(begun, prepend=0)[again] / WEEK_US
    gaps = gaps[gaps > 0]
    if not len(gaps):
        return {"median": 1.0, "spread": 0.0}, 1.0
    usual = float(np.exp(np.log(np.maximum(gaps, 1e-4)).mean()))
    last = np.append(np.diff(user) != 0, True)
    seen = log.time.max() - begun > 4 * usual * WEEK_US
    gone = int((last & seen).sum())
    churn = gone / max(gone + len(gaps), 1)
    spread = float(min(np.log(np.maximum(gaps, 1e-4)).std() / 2, 1.5))
    return {"median": float(f"{min(1.0 / gaps.mean(), 500.0):.4g}"), "spread": round(spread, 3)}, round(churn, 4)


def _week(log: Log, mine: npt.NDArray[np.bool_], k: int) -> list[float]:
    """168 intensities; hours in which fewer than k users began a session share what they have."""
    begun = log.time[log.first[:-1]][mine[log.user]]
    hour = ((begun // HOUR_US + 72) % 168).astype(np.int64)
    counts = np.bincount(hour, minlength=168).astype(np.float64)
    users = log.user[mine[log.user]]
    pairs = np.unique(hour * log.users + users) // log.users
    rare = np.bincount(pairs, minlength=168) < k
    spare = np.where(rare, counts, 0.0).sum() / max(int(rare.sum()), 1)
    known: F64 = np.where(rare, spare, counts)
    if not (begun % DAY_US).any():  # days are all that is known
        known = np.repeat(counts.reshape(7, 24).sum(axis=1) / 24, 24)
    return [float(f"{value:.3g}") for value in known / known.mean() + 1e-3]  # relative: no count can be read off


def _tastes(log: Log, mine: npt.NDArray[np.bool_], category: dict[int, str], k: int) -> dict[str, float]:
    """Shares of categories against those of the catalogue's own popularity are what the kind likes."""
    if not category:
        return {}
    names = sorted(set(category.values()))
    of_item = np.full(len(log.words["item"]) + 1, -1, dtype=np.int64)
    for code, name in category.items():
        of_item[code] = names.index(name)
    by_user = log.user[log.session]
    kind = of_item[log.item]
    rows = (log.item >= 0) & mine[by_user] & (kind >= 0)
    counts = np.bincount(kind[rows], minlength=len(names)).astype(np.float64)
    pairs = np.unique(kind[rows] * log.users + by_user[rows]) // log.users
    counts[np.bincount(pairs, minlength=len(names)) < k] = 0.0
    total = counts.sum()
    return {name: float(f"{max(counts[place] / total, 1e-3):.4g}") for place, name in enumerate(names)} if total else {}


def _devices(log: Log, mine: npt.NDArray[np.bool_], k: int) -> dict[str, float]:
    """Shares of devices, where the core tells them."""
    if "device" not in log.more:
        return {UNKNOWN_DEVICE: 1.0}
    by_user = log.user[log.session]
    rows = np.flatnonzero(mine[by_user])
    seen: dict[str, set[int]] = {}
    for device, user in zip(log.more["device"].take(rows).to_pylist(), by_user[rows].tolist(), strict=True):
        if device is not None:
            seen.setdefault(str(device), set()).add(user)
    often = {device: len(users) for device, users in seen.items() if len(users) >= k}
    if not often:
        return {UNKNOWN_DEVICE: 1.0}
    names = names_for(sorted(often), "device")
    shares = {names[device]: round(count / sum(often.values()), 6) for device, count in often.items()}
    largest = max(shares, key=lambda name: shares[name])
    return {**shares, largest: round(shares[largest] + 1.0 - sum(shares.values()), 6)}
