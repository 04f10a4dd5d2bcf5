"""Is a training set what it says it is? Signature, sums, lineage, audit log: every fault that is found, in words.

    signature   the manifest was signed by the key that is expected (or, where nobody was named, by the one it names)
    files       every file that the manifest sums is there as it was, and none beside them
    recipe      the version is the fingerprint of the recipe, each run id that of its identity
    lineage     the store has the manifests of the runs, unchanged since they were put down   (with a store)
    log         the store's audit log is whole, knows this build and holds the manifest's anchor   (with a store)

An unsigned set proves nothing by itself: whoever changed a file could have changed the sums. It passes only where the
store's audit log knows the sum of its manifest, or where that was asked for (`unsigned`).

Reads; changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from personas.errors import AuditError
from personas.provenance import RunIdentity, fingerprint
from sinks.audit_log import ENTRIES, GENESIS, HEAD, Entry, broken, entries_of
from sinks.batch import FINAL
from sinks.training.papers.keys import PublicKey, signer_of
from sinks.training.papers.manifest import files_in, sums_of
from sinks.training.papers.reading import Published

#: Asks a store: rows of the answer to one statement without parameters.
Ask = Callable[[str], list[tuple[Any, ...]]]
#: The run id of rows of real data: they come from no run.
CORE = "core"


@dataclass
class Verdict:
    """What was looked at, in order, and what is wrong. `signed_by` is the name of the key."""

    checks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    signed_by: str | None = None

    def look(self, what: str, faults: Sequence[str]) -> None:
        """Note a check with what it found."""
        self.checks.append(what)
        self.faults += faults


@dataclass(frozen=True)
class Evidence:
    """What a store knows: its audit log with the head, notes that wait beside it, and its run manifests
    (run id, shard, state, manifest)."""

    entries: list[Entry]
    heads: list[tuple[Any, ...]]
    waiting: list[tuple[str, str, dict[str, Any]]]
    runs: list[tuple[Any, ...]]


def evidence_of(ask: Ask, waiting: Sequence[tuple[str, str, dict[str, Any]]] = ()) -> Evidence:
    """Ask a store for all that a verdict needs. `waiting`: action, subject and details of notes beside it."""
    return Evidence(
        entries_of(ask(ENTRIES)), ask(HEAD), list(waiting),
        ask("SELECT run_id, shard, state, CAST(manifest AS VARCHAR) AS manifest FROM runs ORDER BY ALL"),
    )  # fmt: skip


def verify(
    found: Published, *, expected: PublicKey | None = None, evidence: Evidence | None = None, unsigned: bool = False
) -> Verdict:
    """Everything that can be checked with what is given. Faults are gathered, not raised."""
    verdict = Verdict()
    _look_at_signature(found, verdict, expected)
    verdict.look("files: sums, none missing, none beside them", _file_faults(found))
    verdict.look("recipe: version and run ids follow from what they name", _recipe_faults(found))
    if evidence is not None:
        verdict.look("audit log: no entry changed, missing, moved or added", broken(evidence.entries, evidence.heads))
        verdict.look("lineage: the runs' manifests are in the store, as they were put down", _run_faults(evidence))
        verdict.look("lineage: the set descends from these runs", _descent_faults(found, evidence))
        verdict.look("audit log: it knows this build", _build_faults(found, evidence, verdict.signed_by))
    elif verdict.signed_by is None and not unsigned:
        verdict.faults.append(
            "the set is unsigned, so nothing vouches for its sums: give the store that it was built from (--store), or "
            "accept that (--unsigned)"
        )
    return verdict


def _look_at_signature(found: Published, verdict: Verdict, expected: PublicKey | None) -> None:
    if found.signature is None:  # nothing that could be said to hold
        if expected is not None:
            verdict.faults.append(f"the manifest is not signed, expected a signature by {expected.name}")
        return
    verdict.checks.append("signature of the manifest")
    try:
        signer = signer_of(found.text, found.signature)
    except AuditError as error:
        verdict.faults.append(error.message)
        return
    verdict.signed_by = signer.name
    if expected is not None and signer.raw != expected.raw:
        verdict.faults.append(f"the manifest was signed by {signer.name}, expected {expected.name}")


def _file_faults(found: Published) -> list[str]:
    told, there = files_in(found.manifest), sums_of(found.directory)
    faults = [f"{path}: the file is missing" for path in told if path not in there]
    faults += [f"{path}: the manifest does not know this file" for path in there if path not in told]
    for path, file in told.items():
        size, digest = there.get(path, (0, str(file.get("sha256"))))
        if digest != file.get("sha256"):
            faults.append(
                f"{path}: the file was changed (found {size} B, SHA-256 {digest[:12] or 'of no plain file'}, expected "
                f"{file.get('contentSize')}, {str(file.get('sha256'))[:12]})"
            )
    return faults


def _recipe_faults(found: Published) -> list[str]:
    faults = []
    recipe = found.manifest["dayone:recipe"]
    version = found.subject.partition("/")[2]
    if fingerprint(recipe)[:12] != version:
        faults.append(f"the recipe is that of version {fingerprint(recipe)[:12]}, the manifest says {version}")
    for run in found.manifest["dayone:runs"]:
        if "identity" not in run:
            continue
        try:
            identity = RunIdentity.model_validate(run["identity"])
        except ValidationError as error:
            faults.append(f"run {run['run_id']}: its identity is not one ({error.error_count()} faults)")
            continue
        if identity.run_id != run["run_id"]:
            faults.append(f"run {run['run_id']}: what it names makes run {identity.run_id}")
    return faults


def _run_faults(evidence: Evidence) -> list[str]:
    """The store's run manifests against what the log says of them."""
    said = _said_of_runs(evidence)
    faults = []
    for run_id, shard, state, manifest in evidence.runs:
        subject, sha = f"{run_id}/{shard}", fingerprint(json.loads(manifest))
        if subject not in said:
            faults.append(f"run {subject} is in the store, and the audit log knows nothing of it")
        elif state in FINAL and said[subject][-1] != (state, sha):
            faults.append(f"run {subject}: its manifest in the store is not the one that the audit log knows")
    kept = {f"{run_id}/{shard}" for run_id, shard, *_ in evidence.runs}
    return faults + [f"run {subject} is in the audit log, and gone from the store" for subject in said.keys() - kept]


def _descent_faults(found: Published, evidence: Evidence) -> list[str]:
    """The runs of a set against the store: with the manifest that the set was built under, or a later one."""
    said, stored = _said_of_runs(evidence), {}
    for run_id, shard, _, manifest in evidence.runs:
        stored[f"{run_id}/{shard}"] = fingerprint(json.loads(manifest))
    faults = []
    for run in found.manifest["dayone:runs"]:
        if "identity" not in run:
            if run["run_id"] != CORE and any(row[0] == run["run_id"] for row in evidence.runs):
                continue  # its manifest came after the build
            if run["run_id"] != CORE:
                faults.append(f"run {run['run_id']}: neither the set nor the store has a manifest of it")
            continue
        for shard in run["shards"]:
            subject, sha = f"{run['run_id']}/{shard['shard']}", shard["manifest_sha256"]
            if subject not in stored:
                faults.append(f"run {subject}: the store has no manifest of it")
            elif (
                shard["state"] in FINAL
                and sha != stored[subject]
                and (shard["state"], sha) not in said.get(subject, [])
            ):
                faults.append(f"run {subject}: the store never had the manifest that the set was built under")
    if found.manifest["dayone:auditLog"]["anchor"] not in {GENESIS, *(entry.hash for entry in evidence.entries)}:
        faults.append("the audit log does not hold the entry that the manifest remembers: another log, or cut off")
    return faults


def _build_faults(found: Published, evidence: Evidence, signed_by: str | None) -> list[str]:
    notes = [(entry.action, entry.subject, json.loads(entry.details)) for entry in evidence.entries]
    builds = [told for action, subject, told in [*notes, *evidence.waiting]
              if action == "build" and subject == found.subject]  # fmt: skip
    if not builds:
        return [f"the audit log knows no build of {found.subject}"]
    sha = hashlib.sha256(found.text).hexdigest()
    same = [told for told in builds if told.get("manifest_sha256") == sha]
    if not same:
        return [f"the audit log knows {found.subject} with another manifest"]
    if signed_by not in {told.get("signed_by") for told in same}:
        return [f"the audit log says that it was signed by {same[-1].get('signed_by')}, found {signed_by or 'nobody'}"]
    return []


def _said_of_runs(evidence: Evidence) -> dict[str, list[tuple[str, str]]]:
    """What the log says of each shard of a run, in order: its state and the sum of its manifest."""
    said: dict[str, list[tuple[str, str]]] = {}
    for entry in evidence.entries:
        if entry.action == "run":
            told = json.loads(entry.details)
            said.setdefault(entry.subject, []).append((told["state"], told["manifest_sha256"]))
    return said
