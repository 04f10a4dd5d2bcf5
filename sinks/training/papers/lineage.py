"""Lineage events of builds in the words of OpenLineage (spec 2-0-2), so that a catalogue can draw them with all else.

A build is a run of the job `build.<task>`: START, then COMPLETE or FAIL, with one run id. It reads the store's tables
and writes a data set whose version is the version that was built. Plain dictionaries: the official client would bring
an HTTP stack for a few lines of JSON; a test reads them with its classes, so the names are theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sinks.training.task import Column

State = Literal["START", "COMPLETE", "FAIL"]
SPECIFICATION = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
NAMESPACE = "dayone"
_FACETS = "https://openlineage.io/spec/facets"
#: What a task may read of a store.
TABLES = ("events", "sessions", "users", "labels", "items")


def run_event(
    state: State, *, run_id: str, task: str, version: str, store: str, product: str, out: Path, time: datetime,
    program: str, snapshot: str = "", columns: Sequence[Column] = (), rows: Mapping[str, int] | None = None,
    size: int = 0, files: int = 0, error: str = "",
) -> dict[str, Any]:  # fmt: skip
    """One event. `run_id` is a UUID, `version` that of the set (empty while unknown), `store` the store's name, `rows`
    by split, `size` in bytes. Shape: RunEvent of the specification."""
    producer = f"urn:dayone:program:{program}"

    def facet(kind: str, edition: str, **told: Any) -> dict[str, Any]:
        return {"_producer": producer, "_schemaURL": f"{_FACETS}/{edition}/{kind}.json#/$defs/{kind}", **told}

    run_facets: dict[str, Any] = {
        "processing_engine": facet("ProcessingEngineRunFacet", "1-1-1", version=program, name="Dayone"),
    }
    if error:
        run_facets["errorMessage"] = facet(
            "ErrorMessageRunFacet", "1-0-1", message=error, programmingLanguage="PYTHON"
        )  # fmt: skip
    source = {"version": facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=snapshot)} if snapshot else {}
    output: dict[str, Any] = {"namespace": "file", "name": f"{out.absolute()}/{task}"}
    facets: dict[str, Any] = {}
    if version:
        facets["version"] = facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=version)
    if columns:
        fields = [{"name": each.name, "type": each.type, "description": each.description} for each in columns]
        facets["schema"] = facet("SchemaDatasetFacet", "1-2-0", fields=fields)
    if facets:
        output["facets"] = facets
    if rows is not None:
        output["outputFacets"] = {
            "outputStatistics": facet(
                "OutputStatisticsOutputDatasetFacet", "1-0-2", rowCount=sum(rows.values()), size=size, fileCount=files
            )
        }
    return {
        "eventType": state,
        "eventTime": time.astimezone(UTC).isoformat(),
        "producer": producer,
        "schemaURL": SPECIFICATION,
        "run": {"runId": run_id, "facets": run_facets},
        "job": {
            "namespace": NAMESPACE,
            "name": f"build.{task}",
            "facets": {
                "jobType": facet(
                    "JobTypeJobFacet", "2-0-4", processingType="BATCH", integration="DAYONE", jobType="BUILD"
                )
            },
        },
        "inputs": [
            {"namespace": f"duckdb:{store}", "name": f"{product}.{table}" if product else table, "facets": source}
            for table in TABLES
        ],
        "outputs": [output],
    }
