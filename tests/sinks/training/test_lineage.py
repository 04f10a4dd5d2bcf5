"""Lineage of builds: events that the official client's classes take, in a file or on a topic, whatever happens."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from openlineage.client import event_v2
from openlineage.client.generated import (
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    processing_engine_run,
    schema_dataset,
)

from personas.connection import KafkaConnection
from personas.errors import BrokerError, SettingsError, TrainingError
from sinks.training.build import Built, Order
from sinks.training.papers.emitting import emitter, told_build
from sinks.training.registry import task_of
from tests.sinks.training.making import built_set, told_store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FACETS = {
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "schema": schema_dataset.SchemaDatasetFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "jobType": job_type_job.JobTypeJobFacet,
}


def order() -> Order:
    task = task_of("next_event")
    return Order(task, task.options(), product="shop")


def official(event: dict[str, Any]) -> event_v2.RunEvent:
    """The event out of the client's own classes, which know names and required fields."""

    def facets(told: dict[str, Any]) -> dict[str, Any]:
        made = {}
        for name, facet in told.items():
            kind = FACETS[name]
            assert facet["_schemaURL"] == kind._get_schema(), name
            made[name] = kind(**{key: value for key, value in facet.items() if not key.startswith("_")})
        return made

    def dataset(kind: Any, told: dict[str, Any], extra: str) -> Any:
        given = {key: facets(value) for key, value in told.items() if key in ("facets", extra)}
        return kind(namespace=told["namespace"], name=told["name"], **given)

    assert event["schemaURL"] == event_v2.RunEvent._get_schema()
    return event_v2.RunEvent(
        eventTime=event["eventTime"], eventType=event_v2.RunState[event["eventType"]], producer=event["producer"],
        run=event_v2.Run(runId=event["run"]["runId"], facets=facets(event["run"]["facets"])),
        job=event_v2.Job(event["job"]["namespace"], event["job"]["name"], facets(event["job"]["facets"])),
        inputs=[dataset(event_v2.InputDataset, each, "inputFacets") for each in event["inputs"]],
        outputs=[dataset(event_v2.OutputDataset, each, "outputFacets") for each in event["outputs"]],
    )  # fmt: skip


def test_a_build_is_told_from_start_to_completion_in_a_file(tmp_path: Path) -> None:
    emit = emitter(f"file:{tmp_path}/lineage.jsonl", KafkaConnection())
    with told_store() as store:
        built = told_build(lambda: built_set(store, tmp_path), emit, order=order(), store="a", out=tmp_path)
    events = [json.loads(line) for line in (tmp_path / "lineage.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    assert len({event["run"]["runId"] for event in events}) == 1
    for event in events:
        official(event)
    [output] = events[1]["outputs"]
    assert output["facets"]["version"]["datasetVersion"] == built.recipe.version
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == sum(built.rows.values())
    assert {each["name"] for each in output["facets"]["schema"]["fields"]} >= {"run_id", "history_types", "next_type"}
    assert {each["name"] for each in events[1]["inputs"]} >= {"shop.events", "shop.sessions"}


def failing() -> Built:
    raise TrainingError("there is nothing to train on.")


def test_a_build_that_fails_is_told_with_its_error() -> None:
    events: list[dict[str, Any]] = []
    with pytest.raises(TrainingError, match="nothing to train"):
        told_build(failing, events.append, order=order(), store="a", out=Path("x"), clock=lambda: NOW)
    assert [official(event).eventType.name for event in events] == ["START", "FAIL"]
    assert events[1]["run"]["facets"]["errorMessage"]["message"] == "there is nothing to train on."


def test_a_wrong_target_ends_a_build_before_it_begins_and_a_lost_end_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for target in ("x", "file:", "http://example.org"):
        with pytest.raises(SettingsError, match="expected file:PATH or kafka:TOPIC"):
            emitter(target, KafkaConnection())
    assert emitter("", KafkaConnection()) is None
    emit = emitter(f"file:{tmp_path}/none/lineage.jsonl", KafkaConnection())
    with pytest.raises(SettingsError, match="cannot be written"):
        told_build(failing, emit, order=order(), store="a", out=tmp_path)

    def only_the_start(event: dict[str, Any]) -> None:
        if event["eventType"] != "START":
            raise BrokerError("gone")

    with pytest.raises(TrainingError):
        told_build(failing, only_the_start, order=order(), store="a", out=tmp_path)
    assert "FAIL was not sent: gone" in caplog.text
