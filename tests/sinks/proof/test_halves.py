"""The halves that everybody agrees on, and samples that hashes decide."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sinks.proof.log import encode
from sinks.proof.sampling import at_most, folds, halves, replicates
from tests.sinks.proof.making import shop_log


def test_the_core_is_the_users_with_an_even_hash() -> None:
    log = encode({"real": shop_log(1, 60)})["real"]
    core, holdout = halves(log)
    even = {user for user in log.users if hashlib.sha256(user.encode()).digest()[7] % 2 == 0}
    assert set(core.users) == even
    assert set(holdout.users) == set(log.users) - even
    assert core.rows + holdout.rows == log.rows


def test_samples_are_whole_users_and_weights_have_mean_one() -> None:
    log = encode({"real": shop_log(1, 200)})["real"]
    one, other = folds(log, 7)
    assert not set(one.users) & set(other.users)
    assert 70 < len(one.users) < 130
    few = at_most(log, log.sessions // 2, 7)
    lengths = {user: int(count) for user, count in zip(log.users, np.bincount(log.user), strict=True)}
    assert {user: int(count) for user, count in zip(few.users, np.bincount(few.user), strict=True)}.items() <= (
        lengths.items()
    )
    weights = replicates(log, 7, 100)
    assert weights.shape == (100, 200)
    assert abs(weights.mean() - 1) < 0.03 and abs(weights.var() - 1) < 0.05


def test_rows_are_put_in_order_and_sessions_of_two_users_with_one_name_stay_two() -> None:
    table = shop_log(1, 20)
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    log = encode({"a": shuffled})["a"]
    assert (np.diff(log.time)[np.diff(log.session) == 0] >= 0).all()
    assert sorted(log.length) == sorted(encode({"a": table})["a"].length)
    clash = table.set_column(1, "session_id", [["same"] * table.num_rows])
    assert encode({"a": clash})["a"].sessions == 20


def test_a_log_is_halved_where_the_extra_for_proofs_is_missing(tmp_path: Path) -> None:
    pq.write_table(shop_log(1, 60), tmp_path / "real.parquet")
    without = "import sys; sys.modules['sklearn'] = None; from dayone import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, "halve", str(tmp_path / "real.parquet"), "--out", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {"core.parquet", "holdout.parquet"} <= {path.name for path in tmp_path.iterdir()}
