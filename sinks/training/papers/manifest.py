"""The manifest of a training set: one JSON-LD document that says what it is, where it comes from, and sums every file.

Croissant 1.1 (docs.mlcommons.org/croissant) for what any tool reads: files, columns, splits; its RAI terms for what a
person should know; PROV-O for the descent from runs; and under `dayone:` what it takes to check and repeat the build.
Two ways were weighed: a manifest of our own beside a Croissant file (two truths that can differ), or one document. One.

Plain data in, plain data out, in a fixed order: the same facts and files give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sinks.training.form import Part
from sinks.training.papers import words
from sinks.training.papers.facts import Facts
from sinks.training.task import Column

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
#: What a manifest cannot sum: itself, and what signs it.
UNSUMMED = (MANIFEST, SIGNATURE)
CROISSANT, RAI = "http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"

_ENCODINGS = {
    ".parquet": "application/x-parquet", ".csv": "text/csv", ".jsonl": "application/jsonlines",
    ".tsv": "text/tab-separated-values", ".inter": "text/tab-separated-values", ".item": "text/tab-separated-values",
    ".user": "text/tab-separated-values", ".md": "text/markdown", ".json": "application/json",
    ".yaml": "application/yaml", ".npz": "application/zip", ".npy": "application/octet-stream", ".svm": "text/plain",
}  # fmt: skip
#: Forms whose columns a Croissant reader can take out of the files.
_EXTRACTED = (".parquet", ".csv", ".jsonl")
_TYPES = {
    "VARCHAR": "sc:Text", "INTEGER": "sc:Integer", "BIGINT": "sc:Integer", "DOUBLE": "sc:Float", "FLOAT": "sc:Float",
    "BOOLEAN": "sc:Boolean", "TIMESTAMPTZ": "sc:DateTime", "TIMESTAMP": "sc:DateTime", "DATE": "sc:Date",
}  # fmt: skip
#: The context that the specification recommends, and the prefixes that we add. What is ours is JSON literals: no tool
#: needs to understand it.
_OURS = ("recipe", "snapshot", "runs", "shares", "splits", "columns", "gates", "auditLog", "command", "query",
         "publisher", "kind", "summary", "grain", "file")  # fmt: skip
_ALIASES = (
    "annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field",
    "fileProperty", "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
    "parentField", "path", "recordSet", "references", "regex", "readLines", "repeated", "replace", "samplingRate",
    "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value",
)  # fmt: skip
CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/", "prov": "http://www.w3.org/ns/prov#", "dayone": "urn:dayone:terms:",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"}, "description": {"@container": "@language"},
    **{alias: f"cr:{alias}" for alias in _ALIASES},
    **{f"dayone:{term}": {"@id": f"dayone:{term}", "@type": "@json"} for term in _OURS},
}  # fmt: skip


def sums_of(directory: Path) -> dict[str, tuple[int, str]]:
    """Size in bytes and SHA-256 of every file under a directory but the unsummed ones, by its path within. A link or
    anything else that is no plain file has the sum ''."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            found[name] = (0, "")
        elif path.is_file() and name not in UNSUMMED:
            with path.open("rb") as file:
                found[name] = (path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
    return found


def manifest_of(facts: Facts, parts: Sequence[Part], sums: Mapping[str, tuple[int, str]]) -> dict[str, Any]:
    """The manifest of a set with these files; `parts` are those of them that hold rows."""
    recipe, publisher = facts.recipe, facts.publisher
    shares, gates = list(facts.shares), list(facts.gates)
    day = (facts.snapshot.committed or facts.until)[:10]
    by_path = {part.path: part for part in parts}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "@id": urn_of("set", recipe.task, recipe.version),
        "conformsTo": [CROISSANT, RAI],
        "name": f"{recipe.product}-{recipe.task}",
        "description": f"{facts.summary} ({facts.grain}), for {recipe.product}. {words.origin(shares)}",
        "version": f"1.0.0+{recipe.version}",
        "url": urn_of("set", recipe.task, recipe.version),
        "license": publisher.license,
        "creator": {"@type": "sc:Organization", "name": publisher.name},
        "publisher": {"@type": "sc:Organization", "name": publisher.name},
        "datePublished": day,
        "dateCreated": day,
        "keywords": ["synthetic data", recipe.task, recipe.product, facts.kind],
        "isLiveDataset": False,
        "citeAs": f"{publisher.name}: {recipe.product}-{recipe.task}, version {recipe.version}, made with Dayone "
        f"{recipe.dayone_version}",
        "temporalCoverage": f"{facts.since}/{facts.until}",
        "distribution": [*_files(by_path, sums), *_file_sets(parts)],
        "recordSet": _record_sets(facts.columns, parts),
        "rai:dataCollection": words.origin(shares),
        "rai:dataCollectionType": sorted({"Simulations" if share["origin"] != "core" else "Observations"
                                          for share in shares}),
        "rai:dataCollectionTimeFrame": [facts.since, facts.until],
        "rai:dataPreprocessingProtocol": [f"One SQL query ({recipe.query}) over the events; see dayone:query."],
        "rai:machineAnnotationTools": [f"Dayone {recipe.dayone_version}"],
        "rai:dataUseCases": [words.purpose(recipe.task, facts.kind, recipe.product)],
        "rai:dataLimitations": [words.gaps(shares)],
        "rai:dataBiases": [words.biases(shares)],
        "rai:personalSensitiveInformation": [words.personal_data(shares, gates)],
        "rai:dataReleaseMaintenancePlan": f"This version is never changed. Retention: {publisher.retention}.",
        "prov:wasGeneratedBy": _build_activity(facts),
        "prov:wasDerivedFrom": [_run_entity(run) for run in facts.runs],
        "dayone:kind": facts.kind,
        "dayone:summary": facts.summary,
        "dayone:grain": facts.grain,
        "dayone:recipe": recipe.model_dump(mode="json"),
        "dayone:snapshot": {
            "committed": facts.snapshot.committed, "since": facts.since, "until": facts.until,
            "events": facts.snapshot.events, "users": facts.snapshot.users, "offsets": list(facts.snapshot.offsets),
        },
        "dayone:runs": list(facts.runs),
        "dayone:shares": shares,
        "dayone:splits": _splits(parts),
        "dayone:columns": [asdict(column) for column in facts.columns],
        "dayone:gates": gates,
        "dayone:auditLog": {"anchor": facts.anchor},
        "dayone:command": facts.command,
        "dayone:query": facts.query,
        "dayone:publisher": asdict(publisher),
    }  # fmt: skip


def text_of(manifest: Mapping[str, Any]) -> bytes:
    """The bytes that are written and signed."""
    return (json.dumps(manifest, ensure_ascii=False, indent=1, default=str) + "\n").encode()


def urn_of(kind: str, *names: str) -> str:
    """The name of a set, a run or a build, wherever it is kept."""
    return ":".join(("urn:dayone", kind, *names))


def files_in(manifest: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The files that a manifest sums, by path: `contentSize` ("12 B"), `sha256` and, where they hold rows,
    `dayone:file` with `split` and `rows`."""
    return {
        each["@id"]: dict(each) for each in manifest["distribution"] if each.get("@type") == "cr:FileObject"
    }  # fmt: skip


def _files(parts: Mapping[str, Part], sums: Mapping[str, tuple[int, str]]) -> list[dict[str, Any]]:
    described = []
    for path, (size, digest) in sums.items():
        told: dict[str, Any] = {
            "@type": "cr:FileObject",
            "@id": path,
            "name": path,
            "contentUrl": path,
            "contentSize": f"{size} B",
            "encodingFormat": _ENCODINGS.get(Path(path).suffix, "application/octet-stream"),
            "sha256": digest,
        }
        if path in parts:
            told["dayone:file"] = {"split": parts[path].split, "rows": parts[path].rows}
        described.append(told)
    return described


def _suffix(parts: Sequence[Part]) -> str:
    suffixes = {Path(part.path).suffix for part in parts}
    return suffixes.pop() if len(suffixes) == 1 else ""


def _file_sets(parts: Sequence[Part]) -> list[dict[str, Any]]:
    if (suffix := _suffix(parts)) not in _EXTRACTED:
        return []
    return [
        {
            "@type": "cr:FileSet",
            "@id": "data-files",
            "name": "data-files",
            "description": "The files of all splits",
            "encodingFormat": _ENCODINGS[suffix],
            "includes": f"{Path(parts[0].path).parent.as_posix()}/*{suffix}",
        }
    ]


def _record_sets(columns: Sequence[Column], parts: Sequence[Part]) -> list[dict[str, Any]]:
    """One record per row, with the split told by the file's name; none for a form that only its own tools read (the
    columns are under dayone:columns then)."""
    if (suffix := _suffix(parts)) not in _EXTRACTED:
        return []
    by = "jsonPath" if suffix == ".jsonl" else "column"
    fields: list[dict[str, Any]] = [
        {
            "@type": "cr:Field",
            "@id": f"rows/{column.name}",
            "name": column.name,
            "description": f"{column.description} ({column.role})",
            "dataType": _TYPES.get(column.type.removesuffix("[]"), "sc:Text"),
            **({"isArray": True, "arrayShape": "-1"} if column.type.endswith("[]") else {}),
            "source": {"fileSet": {"@id": "data-files"}, "extract": {by: column.name}},
        }
        for column in columns
    ]
    split = {
        "@type": "cr:Field",
        "@id": "rows/split",
        "name": "split",
        "description": "train, valid or test, from the name of the file",
        "dataType": ["sc:Text", "cr:Split"],
        "source": {
            "fileSet": {"@id": "data-files"}, "extract": {"fileProperty": "filename"},
            "transform": {"regex": "^(train|valid|test)"},
        },
    }  # fmt: skip
    keys = [{"@id": f"rows/{column.name}"} for column in columns if column.role == "key"]
    if any(column.name == "split" for column in columns):
        split["@id"] = "rows/file_split"
    return [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "key": keys, "field": [*fields, split]}]


def _splits(parts: Sequence[Part]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for part in parts:
        totals[part.split] = totals.get(part.split, 0) + part.rows
    return totals


def _build_activity(facts: Facts) -> dict[str, Any]:
    recipe = facts.recipe
    return {
        "@type": "prov:Activity",
        "@id": urn_of("build", recipe.task, recipe.version),
        "prov:label": f"dayone build {recipe.task}",
        "prov:used": [{"@id": urn_of("run", run_id)} for run_id in recipe.runs],
        "prov:wasAssociatedWith": {"@type": "prov:SoftwareAgent", "prov:label": f"Dayone {recipe.dayone_version}"},
    }


def _run_entity(run: Mapping[str, Any]) -> dict[str, Any]:
    """The events of a run as an entity, with the simulation that made them."""
    told: dict[str, Any] = {
        "@type": "prov:Entity", "@id": urn_of("run", run["run_id"]), "prov:label": f"Events of run {run['run_id']}",
    }  # fmt: skip
    if identity := run.get("identity"):
        agents = [f"generator {identity['generator']}", *run["models"]]
        told["prov:wasGeneratedBy"] = {
            "@type": "prov:Activity",
            "prov:label": f"Simulation of {identity['product']} {identity['product_version']}, seed {identity['seed']}",
            "prov:used": {"@id": urn_of("pack", identity["pack_fingerprint"])},
            "prov:wasAssociatedWith": [{"@type": "prov:SoftwareAgent", "prov:label": agent} for agent in agents],
        }
    return told
