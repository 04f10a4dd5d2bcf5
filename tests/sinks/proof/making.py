"""A small shop with a known truth, for tests of proofs: what is next depends on what was, items come in families.

A seed gives the same log everywhere; logs of different seeds share no user.
"""

from __future__ import annotations

import bisect
import math

import numpy as np
import pyarrow as pa

FAMILIES, SIZE = 12, 5
EVENTS = ("search", "view", "cart", "buy")
#: From each event (rows) to each event or the end (the last column). The start is a search or a view.
STEPS = np.array(
    [[0.15, 0.7, 0, 0, 0.15], [0.15, 0.4, 0.25, 0, 0.2], [0.05, 0.25, 0.05, 0.5, 0.15], [0, 0.1, 0, 0, 0.9]]
)
#: How much more of each the two personas do. The keen are also faster, and come back more.
KEEN, SHY = (1, 1.5, 2, 1, 0.5), (1, 1, 0.5, 1, 1.5)


def shop_log(seed: int, users: int = 400, prefix: str = "u") -> pa.Table:
    """A log of so many users in the shared form."""
    draw = np.random.default_rng(seed)
    numbers = iter(draw.random(users * 200).tolist())
    normals = iter(draw.normal(size=users * 60).tolist())
    steps = {keen: np.cumsum(STEPS * weights, axis=1) for keen, weights in ((True, KEEN), (False, SHY))}
    steps = {keen: (table / table[:, -1:]).tolist() for keen, table in steps.items()}
    rows: list[tuple[object, ...]] = []
    for user in range(users):
        keen = next(numbers) < 0.5
        family = int(next(numbers) * FAMILIES)
        moment = 1_700_000_000.0 + next(numbers) * 40 * 86_400
        for session in range(1 + (next(numbers) < (0.7 if keen else 0.2)) + (next(numbers) < 0.3)):
            moment = moment // 86_400 * 86_400 + (17 + 5 * next(numbers)) * 3_600  # everybody comes in the evening
            event, item, time = int(next(numbers) < 0.6), None, moment
            while event < len(EVENTS):
                if event == 1:
                    family = family if next(numbers) < 0.8 else int(next(numbers) * FAMILIES)
                    item = f"i{family * SIZE + min(int(-1.2 * math.log1p(-next(numbers))), SIZE - 1):02}"
                ids = (f"{prefix}{seed}-{user}", f"{prefix}{seed}-{user}-{session}")
                rows.append(
                    (*ids, round(time * 1e6), EVENTS[event], item if event else None, "keen" if keen else "shy")
                )
                event = bisect.bisect(steps[keen][event], next(numbers))
                time += math.exp((3.0 if keen else 4.0) + 0.8 * next(normals))
            moment = time + 86_400 - 4.0 * 86_400 * math.log1p(-next(numbers))
    names = ("user_id", "session_id", "ts", "event", "item_id", "persona")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    times = pa.array(columns.pop("ts"), pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return pa.table({**{name: pa.array(values, pa.string()) for name, values in columns.items()}, "ts": times})
