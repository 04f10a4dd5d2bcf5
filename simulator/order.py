"""What a user asked of the simulator: which run, how far and how fast, and which part of it.

An order is made in two steps, because the second loads the engine's libraries, which takes longer than all the rest of
a start: `run_of` reads the pack and says which run it is, `order_of` adds how it is to be played. `dayone up` starts
broker and sink between the two, so that they load theirs meanwhile. Importing this module loads none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personas.errors import SettingsError
from personas.pack import Pack, load_pack
from personas.provenance import NO_LINEAGE, RunIdentity, RunLineage, TutorIdentity, fingerprint
from simulator.options import DEFAULT_TUTOR_SHARE, RunOptions, factor_of, start_of
from simulator.settings import SimulatorSettings

if TYPE_CHECKING:
    from simulator.checkpointer import CheckpointPlan
    from simulator.run import Plan


@dataclass(frozen=True)
class Order:
    """A run to be played, and the plan for it. Without `checkpoints` none are written or used."""

    pack: Pack
    identity: RunIdentity
    plan: Plan
    shard: str = "0/1"
    partitions: int = 4
    checkpoints: CheckpointPlan | None = None
    budget: float | None = None
    student: Path | None = None
    batches: bool = False
    twin: Path | None = None
    lineage: RunLineage = NO_LINEAGE


def run_of(pack_name: str, options: RunOptions, settings: SimulatorSettings) -> tuple[Pack, RunIdentity]:
    """The run that the options describe. PackError when the pack is wrong, SettingsError when an option is,
    StudentError when the student is, TwinError when the model of twins is."""
    start, problem_rate = start_of(options.start), factor_of(options.problems)
    pack = load_pack(pack_name)
    identity = RunIdentity(
        product=pack.product.name,
        product_version=pack.product.version,
        pack_fingerprint=pack.fingerprint,
        seed=options.seed,
        users=options.users,
        start=start,
        problem_rate=problem_rate if options.generator is None else 0.0,
        tutor=tutor_of(options, settings, pack.help is not None),
        **_student_of(options, pack),
        **_twin_of(options),
    )
    return pack, identity


def _student_of(options: RunOptions, pack: Pack) -> dict[str, Any]:
    """What a run played from a student's tables has in its identity; nothing for the prior's."""
    if options.student is None:
        if options.teacher == "student":
            raise SettingsError("--teacher student needs --student DIR", hint="Make one with: dayone teach PACK")
        return {}
    if options.teacher == "prior":
        raise SettingsError("--student is for --teacher student or tutor", hint="Add --teacher student.")
    from simulator.behaviour.artefact import load_student

    lineage = load_student(options.student, pack).lineage
    return {"generator": "student", "generation": lineage.generation, "student": lineage.fingerprint}


def _twin_of(options: RunOptions) -> dict[str, Any]:
    """What a run of twins has in its identity; nothing for others."""
    if options.generator is None:
        if options.model is not None:
            raise SettingsError("--model goes with --generator twin", hint="Add it, or leave the model out.")
        return {}
    if options.model is None:
        raise SettingsError("--generator twin needs --model DIR", hint="Make one with: dayone fit CORE --pack PACK")
    if options.teacher != "prior" or options.student is not None:
        raise SettingsError("--generator twin has no teacher: its model was", hint="Leave --teacher and --student out.")
    if factor_of(options.problems) != 1.0:
        raise SettingsError("--problems: none are planted among twins", hint="Leave --problems out.")
    from simulator.twins.artefact import read_lineage

    lineage = read_lineage(options.model)
    return {"generator": "twin", "generation": lineage.generation, "twin": lineage.fingerprint}


def tutor_of(
    options: RunOptions, settings: SimulatorSettings, has_support: bool = False
) -> TutorIdentity | None:
    """Which users a language model plays, and how; None for none. With `has_support` it also speaks to support."""
    if options.teacher != "tutor":
        if options.tutor_share is not None:
            raise SettingsError("--tutor-share is for --teacher tutor", hint="Add --teacher tutor, or leave it out.")
        return None
    from simulator.agents.prices import price_table
    from simulator.agents.prompt import SUPPORT_PROMPTS, fingerprint_of

    share = DEFAULT_TUTOR_SHARE if options.tutor_share is None else options.tutor_share
    if share == 0:
        return None
    entry = price_table(settings.tutor_prices).find(settings.tutor_model)
    return TutorIdentity(
        share=share,
        mode=options.tutor_mode,
        model=settings.tutor_model,
        prompts=fingerprint_of(options.tutor_mode, *(SUPPORT_PROMPTS if has_support else ())),
        # a grammar that a provider has to make anew for each question would take longer than the answer
        exact=entry is None or entry.answer == "tool",
    )


def order_of(
    run: tuple[Pack, RunIdentity], options: RunOptions, settings: SimulatorSettings, shard: str = "0/1"
) -> Order:
    """The order to play that run as the options say."""
    from simulator.run import Plan

    plan = Plan(days=options.days, live=options.live, speed=options.speed, batch_events=settings.simulator_batch_events)
    checkpoints = _checkpoints(run[1], settings)
    return Order(
        *run, plan, shard, settings.kafka_partitions, checkpoints, budget=options.budget, student=options.student,
        batches=options.batches, twin=options.model, lineage=lineage_of(run[1], options),
    )  # fmt: skip


def lineage_of(identity: RunIdentity, options: RunOptions) -> RunLineage:
    """What the run's generators descend from: the tutor that plays, or that taught the student; the core of twins."""
    models, prompts = dict[str, None](), dict[str, str]()
    ancestors, core = list[str](), None
    if identity.tutor is not None:
        models[identity.tutor.model], prompts[identity.tutor.mode] = None, identity.tutor.prompts
    if options.student is not None:
        from simulator.behaviour.artefact import read_lineage as read_student

        student = read_student(options.student)
        ancestors.append(f"student {student.fingerprint}")
        if student.teacher.model:
            models[student.teacher.model], prompts["taught"] = None, student.teacher.prompts
        ancestors += student.teacher.ancestors
        core = fingerprint(student.teacher.files) if student.teacher.real else None
    if options.model is not None:
        from simulator.twins.artefact import read_lineage as read_model

        twin = read_model(options.model)
        ancestors += [*twin.ancestors, f"model {twin.fingerprint}"]
        core = fingerprint(twin.core) if twin.real else None
    return RunLineage(models=tuple(models), prompts=prompts, ancestors=tuple(ancestors), core=core)


def _checkpoints(identity: RunIdentity, settings: SimulatorSettings) -> CheckpointPlan | None:
    """How often; None where they are not wanted, or would end together with the run: a broker of its own. What agents
    remember stands in none, so a run with agents is played again from its recordings; twins remember nothing."""
    from simulator.checkpointer import CheckpointPlan

    if not settings.simulator_checkpoints or settings.kafka_bootstrap_servers is None or identity.tutor is not None:
        return None
    if identity.twin is not None:
        return None
    return CheckpointPlan(settings.simulator_checkpoint_events)
