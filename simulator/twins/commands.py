"""What `dayone fit` and `dayone sample` do, once their options are read. Speaks to the terminal.

Progress goes to standard error, results to standard output. Ctrl-C ends a command at once: nothing is left behind, as
models and files appear whole.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from personas.core.mapping import CoreMap, load_map
from personas.errors import SettingsError, TwinError
from personas.pack import Pack, load_pack
from simulator.twins.ancestry import KEY, Ancestry
from simulator.twins.artefact import Lineage, PackNamed, check_free, lineage_of, load, save

if TYPE_CHECKING:
    from simulator.twins.log import Log
    from simulator.twins.model import TwinModel

INTERRUPTED = 130


@dataclass(frozen=True)
class Wish:
    """The options of `dayone fit`."""

    core: str
    pack: str | None = None
    new_pack: Path | None = None
    out: Path | None = None
    map: Path | None = None
    columns: str | None = None
    k: int = 5
    epsilon: float | None = None
    delta: float | None = None
    seed: int = 1
    bad_rows: Path | None = None
    memory: str = "2GB"
    student: Path | None = None
    item_names: int = 2
    allow_near_copies: bool = False


def fit_command(wish: Wish, *, json_output: bool = False) -> None:
    """`dayone fit`."""
    check_wish(wish)
    folder = wish.out or Path(f"{Path(wish.core.partition('::')[0]).stem}.twin")
    check_free(folder)
    if wish.new_pack is not None:
        from simulator.twins.new_pack.making import check_new

        check_new(wish.new_pack)
    pack = load_pack(wish.pack) if wish.pack is not None else None
    with ended_by_ctrl_c(), progress_of("reading") as progress:
        lineage = fit_core(wish, folder, pack, progress)
    if json_output:
        typer.echo(json.dumps({"model": str(folder), **lineage.model_dump(mode="json")}))
        return
    for line in told(lineage):
        typer.echo(line)
    typer.echo(f"model {lineage.fingerprint[:12]} in {folder}")


def fit_core(
    wish: Wish, folder: Path, pack: Pack | None, progress: Callable[[str, float], None] = lambda step, share: None
) -> Lineage:
    """Read the core, fit a model on it, and put it into the folder."""
    from simulator.twins.core import read_core
    from simulator.twins.database import open_memory
    from simulator.twins.fit import fit
    from simulator.twins.model import FitOptions

    mapping = load_map(wish.map) if wish.map else CoreMap()
    columns = None if wish.columns is None else [name.strip() for name in wish.columns.split(",") if name.strip()]
    with open_memory(wish.memory) as database:
        core = read_core(
            database, wish.core, mapping, pack=pack, columns=columns, bad_rows=wish.bad_rows, progress=progress
        )
    check_enough(core.told, wish)
    delta = wish.delta
    if wish.epsilon is not None and delta is None:
        delta = 0.1 / core.told["users"]
    options = FitOptions(
        k=wish.k,
        epsilon=wish.epsilon,
        delta=delta,
        seed=wish.seed,
        item_names=wish.item_names,
        # hashes of sessions are exact, noise is not
        allow_near_copies=wish.allow_near_copies or wish.epsilon is not None,
    )
    log = core.log
    if options.epsilon is not None and options.delta is not None:
        from simulator.twins.log import log_of
        from simulator.twins.private.redraw import redraw
        from simulator.twins.private.release import release

        progress("counts with noise", 0.0)
        log = redraw(release(log_of(log), options.epsilon, options.delta, options.k), options.seed)
    teachers: dict[str, Log] = {}
    if pack is not None:
        from simulator.twins.teachers import teachers_of

        progress("pack", 0.0)
        teachers = teachers_of(pack, wish.student)
    model = fit(log, replace(options, epsilon=None, delta=None), progress, teachers)
    named, made = None, None
    if pack is not None and options.epsilon is None:
        from simulator.twins.evidence import evidence_of

        progress("evidence", 1.0)
        model = replace(model, facts={**model.facts, "evidence": evidence_of(core.log, pack, teachers)})
    if pack is not None:
        named = PackNamed(name=pack.product.name, version=pack.product.version, fingerprint=pack.fingerprint)
    if wish.new_pack is not None:
        from simulator.twins.new_pack.making import make_pack

        progress("pack", 1.0)
        made = make_pack(core.log, wish.new_pack, wish.k, mapping.conversion)
        named = made.named
    lineage = lineage_of(
        model, options, ancestry=with_student(core.ancestry, model, wish.student), core=core.told, pack=named,
        new_pack=made.told if made else None,
    )  # fmt: skip
    save(model, lineage, folder)
    return lineage


def with_student(ancestry: Ancestry, model: TwinModel, student: Path | None) -> Ancestry:
    """With the student among the ancestors where sessions of it taught the model."""
    if student is None or model.facts["posterior"].get("teacher") != "student":
        return ancestry
    from simulator.behaviour.artefact import read_lineage

    return replace(ancestry, ancestors=(*ancestry.ancestors, f"student {read_lineage(student).fingerprint}"))


def check_wish(wish: Wish) -> None:
    """SettingsError where options do not go together."""
    if wish.pack is not None and wish.new_pack is not None:
        raise SettingsError("--pack and --new-pack: give one of them.", hint="A pack that is there, or one to be made.")
    if wish.epsilon is not None and wish.new_pack is not None:
        raise SettingsError("--new-pack: a pack is made of exact counts.", hint="Leave --epsilon out, or give --pack.")
    if wish.epsilon is not None and wish.epsilon <= 0:
        raise SettingsError(f"--epsilon: found {wish.epsilon:g}, expected more than 0.", hint="1 is a usual choice.")
    if wish.student is not None and wish.pack is None:
        raise SettingsError("--student goes with --pack: it was taught for one.", hint="Add --pack.")
    if wish.delta is not None and (wish.epsilon is None or not 0 < wish.delta < 1):
        raise SettingsError("--delta goes with --epsilon, and lies between 0 and 1.", hint="--epsilon 1 --delta 1e-6")


def check_enough(told: dict[str, Any], wish: Wish) -> None:
    """TwinError where nothing of the core may be kept."""
    if told["users"] < 2:
        raise TwinError(f"{wish.core}: one user; a model of one user is that user.", hint="Wait for more users.")
    if told["users"] < wish.k:
        raise TwinError(
            f"{wish.core}: {told['users']:,} users, and nothing is kept that fewer than {wish.k} did (--k).",
            hint="Wait for more users. A smaller --k learns from fewer, and says more about each of them.",
        )


def sample_command(folder: Path, sessions: int, out: Path, seed: int, *, json_output: bool = False) -> None:
    """`dayone sample`."""
    if out.suffix != ".parquet":
        raise SettingsError(f"--out {out}: expected a file that ends with .parquet.", hint="--out synthetic.parquet")
    model, lineage = load(folder)
    import pyarrow.parquet as pq

    from personas.randomness import root_key
    from simulator.twins.draw import sample
    from simulator.twins.refusing import Refused

    with ended_by_ctrl_c():
        table = sample(model, sessions, root_key("sample", seed), refused := Refused())
        table = table.replace_schema_metadata({KEY: json.dumps(origin_of(lineage, seed)).encode()})
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(f".{out.name}.part")
        pq.write_table(table, part, compression="zstd")
        part.replace(out)
    done = {"out": str(out), "sessions": sessions, "events": table.num_rows, "model": lineage.fingerprint,
            "generation": lineage.generation, "seed": seed, "near_copies": refused.counts()}  # fmt: skip
    if json_output:
        typer.echo(json.dumps(done))
    else:
        typer.echo(f"{sessions:,} sessions of fictional users, {table.num_rows:,} events, in {out}")
        if refused.refused:
            cut = f", {refused.cut:,} cut" if refused.cut else ""
            typer.echo(f"near copies of real sessions: {refused.refused:,} refused and drawn again{cut}")


def explain_model_command(folder: Path, *, json_output: bool = False) -> None:
    """`dayone explain MODEL`."""
    from simulator.twins.explaining import explained, lines_of

    found = explained(folder)
    typer.echo(json.dumps(found) if json_output else "\n".join(lines_of(found)))


def origin_of(lineage: Lineage, seed: int) -> dict[str, Any]:
    """What a file of drawn sessions says of itself: that it is synthetic, by what, and the SHA-256 of the files that
    taught the model, so that a proof sees when one of them is its hold-out."""
    ancestors = [*lineage.ancestors, f"model {lineage.fingerprint}"]
    return {"synthetic": True, "generator": "twin", "generation": lineage.generation, "ancestors": ancestors,
            "real": lineage.real, "model": lineage.fingerprint, "seed": seed,
            "taught_by": [file["sha256"] for file in lineage.core.get("files", [])]}  # fmt: skip


def told(lineage: Lineage) -> Iterator[str]:
    """What fitting found, for people."""
    core = lineage.core
    counts = ", ".join(f"{core[name]:,} {name}" for name in ("events", "sessions", "users"))
    yield f"{counts}, {core['first']} to {core['last']}"
    from simulator.twins.explaining import columns_told, promises

    yield from columns_told(core, lineage.facts)
    yield from promises(lineage)
    if told_apart := lineage.facts.get("evidence"):
        listed = ", ".join(f"{name} {each['weight']:.0%}" for name, each in told_apart.items() if name != "mixture")
        yield f"weights by evidence of held-out users: {listed}"
    from simulator.twins.explaining import leaning

    yield from leaning(lineage)
    if core["set_aside"]:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in core["set_aside"].items())
        yield f"set aside of {core['rows']:,} rows: {listed}"
    if lineage.new_pack:
        made = lineage.new_pack
        counts = f"{made['events']} events, {made['items']:,} items, {len(made['personas'])} personas"
        yield f"pack {made['folder']}: {counts}"
        if beyond := made.get("events_left_out"):
            yield f"  {beyond:,} events more are too many for a pack: twins do not do them in it"
        for number, words in enumerate(made["personas"], start=1):
            yield f"  persona_{number}: {words}"
        for rule in made["preconditions"]:
            yield f"  {rule['event']} never before {rule['needs']} ({rule['sessions']:,} sessions)"
    if not core["users_named"]:
        yield "no column for users: each session is taken for a user of its own"
    if not core["sessions_given"]:
        yield "no column for sessions: they were cut where nothing happened for a while"


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Ctrl-C becomes exit code 130, whatever library it met."""
    try:
        yield
    except KeyboardInterrupt:
        interrupted = True
    except RuntimeError as error:
        if "interrupted" not in str(error).lower():
            raise
        interrupted = True
    else:
        interrupted = False
    if interrupted:
        typer.echo("stopped; nothing was written", err=True)
        raise typer.Exit(INTERRUPTED)


@contextmanager
def progress_of(title: str) -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error that is told (what is being done, the share that is done); nothing off a terminal."""
    if not sys.stderr.isatty():
        yield lambda step, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda step, share: bar.update(task, description=step, completed=share)
