"""The container files against the code that they start: commands, settings, ports, metrics. Needs no engine.

Whatever a YAML or JSON file names (an option, an environment variable, a port, a metric, a label) has to be known to
the code; a renamed metric or option fails here, not on somebody's dashboard.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry
from pydantic_settings import BaseSettings
from typer.main import get_command

import dayone
import simulator.settings
import simulator.telemetry
import sinks.settings
import sinks.telemetry

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROMETHEUS = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text("utf-8"))
RULES = yaml.safe_load((ROOT / "deploy/rules.yml").read_text("utf-8"))
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/dayone.json").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
OURS = ("simulator", "sink")


def settings_of(service: str, monkeypatch: pytest.MonkeyPatch) -> BaseSettings:
    """The settings that the service would run with: nothing but its own environment."""
    room = simulator.settings if service == "simulator" else sinks.settings
    for name in [name for name in os.environ if name.startswith("DAYONE_")]:
        monkeypatch.delenv(name)
    for name, value in SERVICES[service]["environment"].items():
        monkeypatch.setenv(name, str(value))
    return room.load_settings()


# Services


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_pinned_hardened_and_reached_from_this_machine_only(service: str) -> None:
    it = SERVICES[service]
    assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", it["image"]), "pinned to a full version"
    assert it["user"].split(":")[0] not in {"0", "root"}
    assert it["read_only"] is True
    assert it["cap_drop"] == ["ALL"]
    assert it["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in it and "network_mode" not in it
    assert it["ports"] and all(port.startswith("127.0.0.1:") for port in it["ports"])
    assert it["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    for volume in it.get("volumes", []):
        source, target, *mode = volume.split(":")
        if source.startswith("."):
            assert (ROOT / source).exists() and mode == ["ro"], volume
        else:
            assert source in COMPOSE["volumes"] and not mode, volume
        assert target.startswith("/")
    for name, condition in it.get("depends_on", {}).items():
        assert name in SERVICES and condition == {"condition": "service_healthy"}


@pytest.mark.parametrize("service", OURS)
def test_our_containers_write_to_their_volume_and_forget_the_rest(service: str) -> None:
    it = SERVICES[service]
    assert it["tmpfs"] == ["/tmp"]
    assert [volume.split(":")[1] for volume in it.get("volumes", [])] == (["/data"] if service == "sink" else [])
    assert "HOME=/data" in DOCKERFILE and "PYTHONDONTWRITEBYTECODE=1" in DOCKERFILE


def test_every_declared_volume_is_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) == {each for each in used if not each.startswith(".")}


def test_no_two_services_publish_the_same_port() -> None:
    published = [port.rsplit(":", 1)[0] for service in SERVICES.values() for port in service["ports"]]
    assert len(published) == len(set(published))


@pytest.mark.parametrize("service", OURS)
def test_a_command_is_one_that_dayone_has(service: str) -> None:
    parse_command(SERVICES[service]["command"])


@pytest.mark.parametrize("command", [["simulate", "shop", "--no-such-option"], ["simulte"], ["sink"]])
def test_a_wrong_command_is_noticed(command: list[str]) -> None:
    with pytest.raises(Exception, match=r"No such|Missing parameter"):
        parse_command(command)


def parse_command(words: list[str]) -> None:
    """Parse a command line to the end without running it."""
    group = get_command(dayone.front_door())
    context = group.make_context("dayone", list(words))
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("service", OURS)
def test_an_environment_is_one_that_the_settings_read(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(service, monkeypatch)
    known = {f"DAYONE_{name}".upper(): name for name in type(settings).model_fields}
    for name, value in SERVICES[service]["environment"].items():
        assert name in known, f"{service}: nobody reads {name}"
        assert str(getattr(settings, known[name])) == str(value)


@pytest.mark.parametrize("service", OURS)
def test_a_metrics_port_is_the_same_everywhere(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(service, monkeypatch)
    port = getattr(settings, f"{service}_metrics_port")
    assert settings.metrics_host == "0.0.0.0", "or nobody outside the container could ask"
    assert SERVICES[service]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"http://127.0.0.1:{port}/health/ready" in " ".join(SERVICES[service]["healthcheck"]["test"])
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in PROMETHEUS["scrape_configs"]}
    assert jobs[service] == [f"{service}:{port}"]
    assert str(port) in re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)[0].split()
    assert str(port) in re.findall(r"for port in ([\d ]+);", DOCKERFILE)[0].split()


@pytest.mark.parametrize("service", OURS)
def test_the_bootstrap_servers_are_a_listener_of_kafka(service: str) -> None:
    kafka = SERVICES["kafka"]["environment"]
    advertised = dict(each.split("://") for each in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    bound = dict(each.split("://:") for each in kafka["KAFKA_LISTENERS"].split(","))
    assert SERVICES[service]["environment"]["DAYONE_KAFKA_BOOTSTRAP_SERVERS"] == advertised["SERVICES"]
    assert advertised["SERVICES"] == f"kafka:{bound['SERVICES']}"
    assert SERVICES["kafka"]["ports"] == [f"127.0.0.1:{bound['HOST']}:{advertised['HOST'].split(':')[1]}"]
    assert set(bound) == {each.split(":")[0] for each in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}


def test_the_sink_stores_on_its_volume() -> None:
    command = SERVICES["sink"]["command"]
    store = Path(command[command.index("--store") + 1])
    assert str(store.parent) in [volume.split(":")[1] for volume in SERVICES["sink"]["volumes"]]


@pytest.mark.parametrize("service", OURS)
def test_draining_is_given_time(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drain = getattr(settings_of(service, monkeypatch), "sink_drain_seconds", 30)
    assert int(SERVICES[service]["stop_grace_period"].removesuffix("s")) > drain


# The image


def test_the_image_is_built_from_hashes_and_runs_without_rights() -> None:
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["python:3.12-slim"] * 2
    assert "--require-hashes -r requirements.lock" in DOCKERFILE
    (user,) = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert user == SERVICES["sink"]["user"] == SERVICES["simulator"]["user"]
    assert 'ENTRYPOINT ["dayone"]' in DOCKERFILE and "\nHEALTHCHECK " in DOCKERFILE
    assert "VOLUME /data" in DOCKERFILE


def test_what_the_image_copies_is_let_through() -> None:
    let_through = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), re.MULTILINE)
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE)]
    assert {name for names in copied for name in names} == set(let_through)
    assert all((ROOT / name).exists() for name in let_through)


def test_the_image_has_the_version_of_the_project() -> None:
    version = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert {SERVICES[service]["image"] for service in OURS} == {f"dayone:{version[0]}"}


# Metrics


def exported_metrics() -> dict[str, set[str]]:
    """Every series that the two daemons export, with its labels."""
    series: dict[str, set[str]] = {}
    for telemetry in (simulator.telemetry.Telemetry, sinks.telemetry.Telemetry):
        registry = CollectorRegistry()
        telemetry(registry=registry)
        if telemetry is simulator.telemetry.Telemetry:
            simulator.telemetry.TutorTelemetry(registry)  # in runs whose users a language model plays
        for metric in registry._names_to_collectors.values():
            labels = set(metric._labelnames)
            for family in metric.describe():
                suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
                series |= {f"{family.name}{end}": labels | ({"le"} if end == "_bucket" else set()) for end in suffixes}
    return series


def queries() -> Iterator[tuple[str, str, str]]:
    """Every query of the dashboard and the rules: where it is, its text, and the text that shows its labels."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield f"panel {panel['title']!r}", target["expr"], target["legendFormat"]
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield f"rule {rule['alert']}", rule["expr"], rule["annotations"]["summary"]


@pytest.mark.parametrize(("place", "query", "legend"), [pytest.param(*each, id=each[0]) for each in queries()])
def test_a_query_asks_for_series_and_labels_that_exist(place: str, query: str, legend: str) -> None:
    promql_parser.parse(query.replace("$__rate_interval", "1m"))
    metrics = exported_metrics()
    names = set(re.findall(r"\bdayone_\w+", query))
    assert names <= set(metrics), f"{place}: nobody exports {sorted(names - set(metrics))}"
    assert names or "up{" in query
    labels = {"job", "instance"}.union(*(metrics[name] for name in names))
    grouped = {label.strip() for text in re.findall(r"by \(([^)]*)\)", query) for label in text.split(",")}
    shown = set(re.findall(r"{{\s*(?:\$labels\.)?([a-z_]+)\s*}}", legend))
    assert grouped | shown <= labels, f"{place}: no such label {sorted((grouped | shown) - labels)}"


def test_the_dashboard_can_be_read() -> None:
    assert DASHBOARD["schemaVersion"] >= 41
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {f"${{{variable['name']}}}"}
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        area = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & area, f"{panel['title']} lies on another panel"
        cells |= area


def test_grafana_and_prometheus_find_their_files() -> None:
    def read(path: str) -> Any:
        return yaml.safe_load((ROOT / "deploy/grafana/provisioning" / path).read_text("utf-8"))

    mounts = dict(volume.split(":")[:2] for name in ("grafana", "prometheus") for volume in SERVICES[name]["volumes"])
    (source,) = read("datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = read("dashboards/dayone.yml")["providers"]
    assert provider["options"]["path"] == mounts["./deploy/grafana/dashboards"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/dayone.json"
    assert PROMETHEUS["rule_files"] == [mounts["./deploy/rules.yml"]]
    assert f"--config.file={mounts['./deploy/prometheus.yml']}" in SERVICES["prometheus"]["command"]


def test_nothing_secret_is_written_down() -> None:
    environment = {name: str(value) for service in SERVICES.values() for name, value in
                   (service.get("environment") or {}).items()}  # fmt: skip
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY", re.IGNORECASE)
    assert [name for name, value in environment.items() if secret.search(name) and not value.startswith("${")] == []
