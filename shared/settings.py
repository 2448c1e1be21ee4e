"""Settings are read once, from one mapping, and all problems are told at once.

Each silo has a frozen dataclass of its own; this file has the parts that both share and the reader that collects
problems instead of stopping at the first. Secrets and URLs with passwords are never printed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REGION_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


class SettingsError(Exception):
    """Some settings are missing or wrong; `problems` has one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Reader:
    """Reads values out of an environment and notes every problem; `finish` raises them together."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        """The value, or the default; without both it is a problem."""
        value = self._environment.get(name, "").strip()
        if value:
            return value
        if default is None:
            self.problems.append(f"{name} is not set")
            return ""
        return default

    def integer(self, name: str, default: int | None, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self.text(name, None if default is None else str(default))
        if value and not re.fullmatch(r"-?[0-9]{1,18}", value):
            self.problems.append(f"{name} must be a whole number, not {value!r}")
        elif value and not low <= int(value) <= high:
            self.problems.append(f"{name} must be {low} to {high}, not {value}")
        elif value:
            return int(value)
        return low

    def flag(self, name: str) -> bool:
        """True for 1, true, yes, on; false for 0, false, no, off and nothing."""
        value = self._environment.get(name, "").strip().lower()
        if value not in _TRUE | _FALSE:
            self.problems.append(f"{name} must be 1 or 0, not {value!r}")
        return value in _TRUE

    def address(self, name: str, default: str | None = None) -> str:
        """`host:port`, the host perhaps in brackets."""
        value = self.text(name, default)
        if value and not _is_address(value):
            self.problems.append(f"{name} must be host:port, not {value!r}")
        return value

    def database_url(self, name: str) -> str:
        """A postgresql:// URL; its text is never told, for it may hold a password."""
        value = self.text(name)
        if value and not re.match(r"postgres(ql)?://", value):
            self.problems.append(f"{name} must be a postgresql:// URL")
        return value

    def redis_url(self, name: str) -> str:
        """A URL of a Redis server, or nothing; its text is never told, for it may hold a password."""
        value = self.text(name, "")
        if value and not re.match(r"(rediss?|unix)://", value):
            self.problems.append(f"{name} must be a redis:// URL")
        return value

    def file(self, name: str, default: str | None = None) -> Path:
        """The path of a file that can be read."""
        value = self.text(name, default)
        if value and not Path(value).is_file():
            self.problems.append(f"{name}: there is no file {value}")
        return Path(value)

    def optional_file(self, name: str) -> Path | None:
        """As `file`, but it may be absent."""
        return self.file(name) if self._environment.get(name, "").strip() else None

    def finish(self) -> None:
        """Raise SettingsError when anything was wrong."""
        if self.problems:
            raise SettingsError(self.problems)


@dataclass(frozen=True)
class DoorSettings:
    """Where a silo's processes listen and how they prove who they are."""

    public_address: str
    internal_address: str
    serve_admin_address: str
    work_admin_address: str
    cert_file: Path
    key_file: Path
    ca_file: Path
    public_cert_file: Path | None
    public_key_file: Path | None
    allow_plaintext: bool
    share_ports: bool


@dataclass(frozen=True)
class SiloSettings:
    """What both kinds of silo need. Times in seconds."""

    name: str
    number: int
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    doors: DoorSettings
    log_level: str
    grace_s: int
    pool_size: int
    barriers: str
    outbox_refusals_max: int = 12
    audit_retention_days: int = 365


def read_doors(reader: Reader, prefix: str, first_port: int) -> DoorSettings:
    """The doors of the silo whose settings begin with `prefix`; default ports count up from `first_port`."""
    addresses = {
        kind: reader.address(f"{prefix}_{kind}_ADDRESS", f"127.0.0.1:{first_port + offset}")
        for offset, kind in enumerate(("PUBLIC", "INTERNAL", "SERVE_ADMIN", "WORK_ADMIN"))
    }
    certificate = reader.optional_file("SILOWAY_PUBLIC_TLS_CERT_FILE")
    key = reader.optional_file("SILOWAY_PUBLIC_TLS_KEY_FILE")
    if (certificate is None) != (key is None):
        reader.problems.append("SILOWAY_PUBLIC_TLS_CERT_FILE and SILOWAY_PUBLIC_TLS_KEY_FILE go together")
    return DoorSettings(
        public_address=addresses["PUBLIC"],
        internal_address=addresses["INTERNAL"],
        serve_admin_address=addresses["SERVE_ADMIN"],
        work_admin_address=addresses["WORK_ADMIN"],
        cert_file=reader.file(f"{prefix}_CERT_FILE"),
        key_file=reader.file(f"{prefix}_KEY_FILE"),
        ca_file=reader.file("SILOWAY_INTERNAL_CA_FILE"),
        public_cert_file=certificate,
        public_key_file=key,
        allow_plaintext=reader.flag("SILOWAY_ALLOW_PLAINTEXT"),
        share_ports=reader.flag("SILOWAY_SHARE_PORTS"),
    )


def read_silo(reader: Reader, prefix: str, *, name: str, number: int, first_port: int) -> SiloSettings:
    """The part of a silo's settings that does not depend on its kind."""
    return SiloSettings(
        name=name,
        number=number,
        database_url=reader.database_url(f"{prefix}_DATABASE_URL"),
        redis_url=reader.redis_url("SILOWAY_REDIS_URL"),
        doors=read_doors(reader, prefix, first_port),
        log_level=one_of(reader, "SILOWAY_LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        grace_s=reader.integer("SILOWAY_GRACE_S", 10, 0, 3600),
        pool_size=reader.integer("SILOWAY_POOL_SIZE", 16, 1, 200),
        barriers=reader.text("SILOWAY_BARRIERS", ""),
        outbox_refusals_max=reader.integer("SILOWAY_OUTBOX_REFUSALS_MAX", 12, 1, 1000),
        audit_retention_days=reader.integer("SILOWAY_AUDIT_RETENTION_DAYS", 365, 1, 36_500),
    )


def one_of(reader: Reader, name: str, default: str, values: Sequence[str]) -> str:
    """One of the words `values`; another one is a problem."""
    value = reader.text(name, default).lower()
    if value not in values:
        reader.problems.append(f"{name} must be one of {', '.join(values)}, not {value!r}")
    return value


def _is_address(value: str) -> bool:
    host, _, port = value.rpartition(":")
    return bool(host) and port.isdigit() and 0 <= int(port) <= 65535
