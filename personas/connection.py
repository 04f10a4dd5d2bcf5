"""How to reach Kafka, and who we are there: what the simulator and the sink share. Reads no environment by itself.

`KafkaSettings` are the settings as people write them (both rooms' settings inherit them); `KafkaConnection` is what
clients are made from. The secrets in it are pydantic's SecretStr: they show as `**********` wherever they are printed,
and leave only through `client_options()` and `admin_options()`, which are for clients and never for a log.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from personas.errors import SettingsError

DEFAULT_SERVERS = "127.0.0.1:9092"
PREFIX = "DAYONE_"
Upper = BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
Protocol = Annotated[Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], Upper]
Mechanism = Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Upper]


class KafkaConnection(BaseModel):
    """Where the brokers are and how to log in. `bootstrap_servers` is None where the embedded broker is to be used."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bootstrap_servers: str | None = None
    security_protocol: Protocol = "PLAINTEXT"
    sasl_mechanism: Mechanism = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: SecretStr = SecretStr("")
    ssl_ca_file: Path | None = None
    ssl_certificate_file: Path | None = None
    ssl_key_file: Path | None = None
    ssl_key_password: SecretStr = SecretStr("")

    @property
    def servers(self) -> str:
        """The addresses, HOST:PORT with commas between."""
        return self.bootstrap_servers or DEFAULT_SERVERS

    @property
    def uses_tls(self) -> bool:
        """Whether what is sent is encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def logs_in(self) -> bool:
        """Whether a name and a password are shown."""
        return self.security_protocol.startswith("SASL")

    def client_options(self) -> dict[str, str]:
        """The options that every librdkafka client gets, in librdkafka's words; secrets among them."""
        options = {"bootstrap.servers": self.servers}
        if self.security_protocol == "PLAINTEXT":
            return options
        options["security.protocol"] = self.security_protocol.lower()
        if self.logs_in:
            options["sasl.mechanism"] = self.sasl_mechanism
            options["sasl.username"] = self.sasl_username
            options["sasl.password"] = self.sasl_password.get_secret_value()
        if self.uses_tls and self.ssl_ca_file:
            options["ssl.ca.location"] = str(self.ssl_ca_file)
        if self.uses_tls and self.ssl_certificate_file:
            options["ssl.certificate.location"] = str(self.ssl_certificate_file)
            options["ssl.key.location"] = str(self.ssl_key_file or self.ssl_certificate_file)
            if self.ssl_key_password.get_secret_value():
                options["ssl.key.password"] = self.ssl_key_password.get_secret_value()
        return options

    def admin_options(self) -> dict[str, Any]:
        """The same in the words of kafka-python, where they differ from its defaults; secrets among them."""
        options: dict[str, Any] = {"bootstrap_servers": [server.strip() for server in self.servers.split(",")]}
        if self.security_protocol != "PLAINTEXT":
            options["security_protocol"] = self.security_protocol
        if self.uses_tls:
            options["ssl_context"] = self.tls_context()
        if self.logs_in:
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password.get_secret_value()
        return options

    def tls_context(self) -> ssl.SSLContext:
        """Python's side of TLS as it is set here: the broker's name is checked, and ours shown where we have one.
        SettingsError names the file that is no certificate, no key, or not to be opened with the password."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.ssl_ca_file:
                context.load_verify_locations(self.ssl_ca_file)
            else:
                context.load_default_certs()
        except (OSError, ssl.SSLError) as error:
            raise _unusable("ssl_ca_file", self.ssl_ca_file, "certificates in PEM format", error) from None
        try:
            if self.ssl_certificate_file:
                # Given as a function, since without any password OpenSSL would ask for one at the terminal.
                password = self.ssl_key_password.get_secret_value()
                context.load_cert_chain(self.ssl_certificate_file, self.ssl_key_file, lambda: password)
        except (OSError, ssl.SSLError) as error:
            expected = "our certificate in PEM format, with its key there or in DAYONE_KAFKA_SSL_KEY_FILE"
            raise _unusable("ssl_certificate_file", self.ssl_certificate_file, expected, error) from None
        return context


class KafkaSettings(BaseModel):
    """The settings of a connection; `connection` puts them together, and says what does not fit."""

    kafka_bootstrap_servers: str | None = Field(None, description="Kafka brokers, HOST:PORT[,HOST:PORT...]")
    kafka_security_protocol: Protocol = Field("PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
    kafka_sasl_mechanism: Mechanism = Field("SCRAM-SHA-512", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    kafka_sasl_username: str = Field("", description="Name to log in with")
    kafka_sasl_password: SecretStr = Field(SecretStr(""), description="Password to log in with")
    kafka_sasl_password_file: Path | None = Field(None, description="File that holds that password")
    kafka_ssl_ca_file: Path | None = Field(None, description="Who signs brokers (PEM); the system's list if unset")
    kafka_ssl_certificate_file: Path | None = Field(None, description="Our certificate (PEM), if brokers ask for one")
    kafka_ssl_key_file: Path | None = Field(None, description="Its key (PEM); the certificate's file if unset")
    kafka_ssl_key_password: SecretStr = Field(SecretStr(""), description="Password of that key")
    kafka_ssl_key_password_file: Path | None = Field(None, description="File that holds that password")

    @property
    def connection(self) -> KafkaConnection:
        """How to reach Kafka. SettingsError where settings contradict each other or a file cannot be read."""
        self._refuse_contradictions()
        made = KafkaConnection(
            bootstrap_servers=self.kafka_bootstrap_servers,
            security_protocol=self.kafka_security_protocol,
            sasl_mechanism=self.kafka_sasl_mechanism,
            sasl_username=self.kafka_sasl_username,
            sasl_password=self._secret("kafka_sasl_password"),
            ssl_ca_file=self.kafka_ssl_ca_file,
            ssl_certificate_file=self.kafka_ssl_certificate_file,
            ssl_key_file=self.kafka_ssl_key_file,
            ssl_key_password=self._secret("kafka_ssl_key_password"),
        )
        if made.logs_in and not (made.sasl_username and made.sasl_password.get_secret_value()):
            missing = "KAFKA_SASL_PASSWORD (or _FILE)" if made.sasl_username else "KAFKA_SASL_USERNAME"
            raise SettingsError(
                f"DAYONE_KAFKA_SECURITY_PROTOCOL is {made.security_protocol}, which needs DAYONE_{missing}."
            )
        if made.uses_tls:
            made.tls_context()
        return made

    def _refuse_contradictions(self) -> None:
        protocol = self.kafka_security_protocol
        given = [
            name for name in KafkaSettings.model_fields
            if name != "kafka_sasl_mechanism" and getattr(self, name) not in (None, "", SecretStr(""))
        ]  # fmt: skip
        idle = [name for name in given if name.startswith("kafka_sasl") and not protocol.startswith("SASL")]
        idle += [name for name in given if name.startswith("kafka_ssl") and not protocol.endswith("SSL")]
        if idle:
            raise SettingsError(
                f"{PREFIX}{idle[0].upper()} is set, but {PREFIX}KAFKA_SECURITY_PROTOCOL is {protocol}: it has no use.",
                hint="Use SASL_SSL for a login over TLS, SSL for TLS alone, SASL_PLAINTEXT for a login in the clear.",
            )
        for name in ("kafka_sasl_password", "kafka_ssl_key_password"):
            if name in given and f"{name}_file" in given:
                raise SettingsError(f"{PREFIX}{name.upper()} and {PREFIX}{name.upper()}_FILE are both set: give one.")
        if self.kafka_ssl_key_file and not self.kafka_ssl_certificate_file:
            raise SettingsError("DAYONE_KAFKA_SSL_KEY_FILE is set without DAYONE_KAFKA_SSL_CERTIFICATE_FILE.")

    def _secret(self, name: str) -> SecretStr:
        """A secret from its variable or from its file, without the line's end."""
        file: Path | None = getattr(self, f"{name}_file")
        if file is None:
            secret: SecretStr = getattr(self, name)
            return secret
        try:
            return SecretStr(file.read_text("utf-8").rstrip("\r\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise _unusable(f"{name}_file"[6:], file, "a file with the password in it", error) from None


def _unusable(name: str, file: Path | None, expected: str, error: Exception) -> SettingsError:
    words = getattr(error, "strerror", None) or type(error).__name__
    return SettingsError(f"{PREFIX}KAFKA_{name.upper()}: {file} cannot be used ({words}), expected {expected}.")
