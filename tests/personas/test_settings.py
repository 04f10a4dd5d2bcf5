"""Settings of a connection fit together or say why not; what is shown of settings has no secret in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, SecretStr, ValidationError

from personas.connection import KafkaConnection, KafkaSettings
from personas.errors import SettingsError
from personas.settings import describe_faults, masked, settings_in_force, told
from tests.certificates import Authority

LOGIN = {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_username": "ann", "kafka_sasl_password": "geheim"}


def test_without_settings_nothing_but_the_address_is_said() -> None:
    assert KafkaSettings().connection == KafkaConnection()
    assert KafkaConnection(bootstrap_servers="a:1, b:2").client_options() == {"bootstrap.servers": "a:1, b:2"}
    assert KafkaConnection(bootstrap_servers="a:1, b:2").admin_options() == {"bootstrap_servers": ["a:1", "b:2"]}


def test_a_login_in_the_words_of_both_clients() -> None:
    made = KafkaSettings(**LOGIN, kafka_bootstrap_servers="k:1").connection  # type: ignore[arg-type]
    assert made.client_options() == {
        "bootstrap.servers": "k:1", "security.protocol": "sasl_plaintext", "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "ann", "sasl.password": "geheim",
    }  # fmt: skip
    assert made.admin_options() == {
        "bootstrap_servers": ["k:1"], "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ann", "sasl_plain_password": "geheim",
    }  # fmt: skip
    assert "geheim" not in f"{made!r} {made} {made.model_dump_json()}"


def test_certificates_in_the_words_of_librdkafka(tmp_path: Path) -> None:
    authority = Authority.make(tmp_path, "authority")
    own = authority.sign("own", password="key's")
    made = KafkaSettings(
        kafka_security_protocol="ssl", kafka_ssl_ca_file=authority.file, kafka_ssl_certificate_file=own,  # type: ignore[arg-type]
        kafka_ssl_key_password=SecretStr("key's"),
    ).connection  # fmt: skip
    assert made.client_options() == {
        "bootstrap.servers": "127.0.0.1:9092", "security.protocol": "ssl", "ssl.ca.location": str(authority.file),
        "ssl.certificate.location": str(own), "ssl.key.location": str(own), "ssl.key.password": "key's",
    }  # fmt: skip
    assert set(made.admin_options()) == {"bootstrap_servers", "security_protocol", "ssl_context"}


def test_a_password_from_a_file_is_its_text_without_the_end_of_the_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" gehe im \n", "utf-8")
    made = KafkaSettings(**LOGIN | {"kafka_sasl_password": "", "kafka_sasl_password_file": file}).connection  # type: ignore[arg-type]
    assert made.sasl_password.get_secret_value() == " gehe im "


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kafka_sasl_username": ""}, "needs DAYONE_KAFKA_SASL_USERNAME"),
        ({"kafka_sasl_password": ""}, r"needs DAYONE_KAFKA_SASL_PASSWORD \(or _FILE\)"),
        ({"kafka_security_protocol": "PLAINTEXT"}, "DAYONE_KAFKA_SASL_USERNAME is set, but .* is PLAINTEXT"),
        ({"kafka_security_protocol": "SSL"}, "DAYONE_KAFKA_SASL_USERNAME is set, but .* is SSL"),
        ({"kafka_ssl_ca_file": "/nowhere"}, "DAYONE_KAFKA_SSL_CA_FILE is set, but .* is SASL_PLAINTEXT"),
        ({"kafka_sasl_password_file": "/nowhere"}, "SASL_PASSWORD and DAYONE_KAFKA_SASL_PASSWORD_FILE are both set"),
        (
            {"kafka_sasl_password": "", "kafka_sasl_password_file": "/nowhere/file"},
            "DAYONE_KAFKA_SASL_PASSWORD_FILE: /nowhere/file cannot be used .No such file or directory",
        ),
        (
            {"kafka_security_protocol": "SASL_SSL", "kafka_ssl_ca_file": __file__},
            "DAYONE_KAFKA_SSL_CA_FILE: .*test_settings.py cannot be used .*expected certificates in PEM format",
        ),
        (
            {"kafka_security_protocol": "SASL_SSL", "kafka_ssl_certificate_file": "/nowhere"},
            "DAYONE_KAFKA_SSL_CERTIFICATE_FILE: /nowhere cannot be used",
        ),
        (
            {"kafka_security_protocol": "SASL_SSL", "kafka_ssl_key_file": "/nowhere"},
            "DAYONE_KAFKA_SSL_KEY_FILE is set without DAYONE_KAFKA_SSL_CERTIFICATE_FILE",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_the_names_of_variables(changes: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        _ = KafkaSettings(**LOGIN | changes).connection  # type: ignore[arg-type]
    assert "geheim" not in str(caught.value)


def test_a_key_with_another_password_is_an_error_and_no_question(tmp_path: Path) -> None:
    own = Authority.make(tmp_path, "authority").sign("own", password="key's")
    settings = KafkaSettings(kafka_security_protocol="SSL", kafka_ssl_certificate_file=own)
    with pytest.raises(SettingsError, match="SSL_CERTIFICATE_FILE"):
        _ = settings.connection


class Room(BaseModel):
    secret: SecretStr = Field(SecretStr(""), min_length=0, max_length=8, description="What nobody sees")
    secret_file: Path | None = None
    store: str = Field("here", description="Where things are")
    number: int = 3


def test_the_list_says_where_values_come_from_and_hides_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYONE_STORE", "x")
    monkeypatch.setenv("dayone_number", "4")
    rooms = {
        "one": Room(secret=SecretStr("geheim"), store="postgres://ann:geheim@host/db", number=4),
        "two": Room(secret_file=Path("/run/secret")),
    }
    found = {each.variable: each for each in settings_in_force({"one": rooms["one"]})}
    assert (found["DAYONE_STORE"].value, found["DAYONE_STORE"].source) == ("postgres://ann:***@host/db", "environment")
    assert (found["DAYONE_NUMBER"].value, found["DAYONE_NUMBER"].source) == ("4", "environment")
    assert (found["DAYONE_SECRET"].value, found["DAYONE_SECRET"].source) == ("***", "default")
    both = {each["variable"]: each for each in json.loads(told(rooms, True))}
    assert (both["DAYONE_SECRET"]["source"], both["DAYONE_SECRET"]["rooms"]) == ("file /run/secret", ["one", "two"])
    text = told(rooms, False)
    assert text.index("DAYONE_STORE") < text.index("DAYONE_SECRET_FILE") and "Where things are" in text
    assert "geheim" not in text + told(rooms, True)


def test_faults_of_secrets_do_not_say_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYONE_NUMBER", "many")
    with pytest.raises(ValidationError) as caught:
        Room.model_validate({"secret": "geheim geheim", "number": "many"})
    words = describe_faults(caught.value, Room, {"secret": ""})
    assert "geheim" not in words
    assert "DAYONE_SECRET (option) (What nobody sees): found ***, " in words
    assert "DAYONE_NUMBER: found 'many', input should be a valid integer" in words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("./a.duckdb", "./a.duckdb"),
        ("ducklake:postgres:dbname=a password=pw host=b", "ducklake:postgres:dbname=a password=*** host=b"),
        ("ducklake:postgres:password='p w' host=b", "ducklake:postgres:password=*** host=b"),
        ("postgresql://me:pw@host:5432/a", "postgresql://me:***@host:5432/a"),
        ("http://host:80/a@b", "http://host:80/a@b"),
    ],
)
def test_passwords_inside_of_values(text: str, expected: str) -> None:
    assert masked(text) == expected
