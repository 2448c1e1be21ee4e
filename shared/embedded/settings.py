"""What the local stack is made of: silos, addresses, files, and the environment that each silo's programs get.

Pure: the command line and the environment come in as values. The invariant: a silo's programs get the URL of no other
silo's database.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.embedded.failures import OptionInvalid, SettingInvalid
from shared.embedded.folder import free_ports

CONTROL = "control"
DEFAULT_FOLDER = ".siloway"
DEFAULT_PORTS_FROM = 7700
DEFAULT_REGIONS = "us=1,de=2"
DEFAULT_GRACE_S = 30.0
DEFAULT_RESTART_MAX_S = 30.0
_HOST = "127.0.0.1"
_PORTS_PER_SILO = 10
_REGION = re.compile(r"([a-z](?:[a-z0-9-]{0,30}[a-z0-9])?)=([1-9][0-9]?)")
_REGION_NUMBER_MAX = 31
_DOORS = ("PUBLIC_ADDRESS", "INTERNAL_ADDRESS", "SERVE_ADMIN_ADDRESS", "WORK_ADMIN_ADDRESS")
_DATABASE_URL = re.compile(r"SILOWAY_(CONTROL|REGION_[A-Z0-9_]+)_DATABASE_URL")


@dataclass(frozen=True)
class Silo:
    """One silo of the stack; addresses are `host:port`, `number` is 0 for control."""

    name: str
    number: int
    public_address: str
    internal_address: str
    serve_admin_address: str
    work_admin_address: str
    database_url: str | None

    @property
    def prefix(self) -> str:
        """What the names of its settings begin with."""
        return _prefix(self.name)

    @property
    def database(self) -> str:
        """The name of its database on the local server."""
        return "siloway_control" if self.name == CONTROL else f"siloway_region_{self.name.replace('-', '_')}"

    def purposes(self) -> dict[str, str]:
        """Every address that it listens on, with what for."""
        return {
            f"{self.name}, public": self.public_address,
            f"{self.name}, internal": self.internal_address,
            f"{self.name}, admin of serve": self.serve_admin_address,
            f"{self.name}, admin of work": self.work_admin_address,
        }


@dataclass(frozen=True)
class StackSettings:
    """The whole stack; `environment` is what the programs inherit."""

    folder: Path
    silos: tuple[Silo, ...]
    redis_url: str | None
    postgres_binaries: Path | None
    redis_program: Path | None
    grace_s: float
    environment: Mapping[str, str]
    restart_max_s: float = DEFAULT_RESTART_MAX_S
    """How long a program that ends again and again waits at most for its next start."""
    without: frozenset[str] = frozenset()
    """Silos whose programs do not run; their databases do: this is how one of them is restored."""

    @property
    def started(self) -> tuple[Silo, ...]:
        """The silos whose programs run."""
        return tuple(silo for silo in self.silos if silo.name not in self.without)

    @property
    def control(self) -> Silo:
        return self.silos[0]

    @property
    def regions(self) -> tuple[Silo, ...]:
        return self.silos[1:]

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def stack_file(self) -> Path:
        """Where clients find the addresses while the stack runs."""
        return self.folder / "stack.json"

    @property
    def environment_file(self) -> Path:
        """Where an operator's programs on this machine find a silo's settings, secrets included."""
        return self.folder / "environment.json"


@dataclass(frozen=True)
class SiloFiles:
    """What the stack has made for one silo."""

    database_url: str
    ca_file: Path
    cert_file: Path
    key_file: Path


def read_settings(
    environment: Mapping[str, str],
    *,
    folder: Path,
    ports_from: int,
    regions: str = DEFAULT_REGIONS,
    without: Collection[str] = (),
) -> StackSettings:
    """The settings of the stack. Raises SettingInvalid, OptionInvalid.

    `ports_from`: control gets the four ports from it on, each region four from 10 later; 0 takes free ports. An address
    or a database URL in the environment wins. `regions`: `name=number` with commas. `without`: names of silos.
    """
    silos = [_read_silo(environment, CONTROL, 0, ports_from, 0)]
    for place, (name, number) in enumerate(_parse_regions(regions), start=1):
        silos.append(_read_silo(environment, name, number, ports_from, place))
    for name in sorted(set(without) - {silo.name for silo in silos}):
        raise OptionInvalid(f"without: there is no silo {name!r}; there are: {', '.join(silo.name for silo in silos)}")
    return StackSettings(
        folder=folder.resolve(),
        silos=tuple(silos),
        redis_url=environment.get("SILOWAY_REDIS_URL"),
        postgres_binaries=_path(environment, "SILOWAY_PG_BIN"),
        redis_program=_path(environment, "SILOWAY_REDIS_BIN"),
        grace_s=_seconds(environment, "SILOWAY_GRACE_S", DEFAULT_GRACE_S),
        environment=environment,
        restart_max_s=_seconds(environment, "SILOWAY_RESTART_MAX_S", DEFAULT_RESTART_MAX_S),
        without=frozenset(without),
    )


def silo_environment(settings: StackSettings, silo: Silo, files: SiloFiles, redis_url: str) -> dict[str, str]:
    """What the stack adds for the programs of `silo`."""
    own = {
        "DATABASE_URL": files.database_url,
        "PUBLIC_ADDRESS": silo.public_address,
        "INTERNAL_ADDRESS": silo.internal_address,
        "SERVE_ADMIN_ADDRESS": silo.serve_admin_address,
        "WORK_ADMIN_ADDRESS": silo.work_admin_address,
        "CERT_FILE": str(files.cert_file),
        "KEY_FILE": str(files.key_file),
    }
    shared = {
        "SILOWAY_REDIS_URL": redis_url,
        "SILOWAY_INTERNAL_CA_FILE": str(files.ca_file),
        "SILOWAY_CONTROL_INTERNAL_ADDRESS": settings.control.internal_address,
    }
    if silo.name == CONTROL:
        shared["SILOWAY_BOOTSTRAP_TOKEN_FILE"] = str(settings.token_file)
        shared["SILOWAY_REGIONS"] = ",".join(
            f"{region.name}={region.number}@{region.internal_address}|{region.public_address}"
            for region in settings.regions
        )
    else:
        own["NUMBER"] = str(silo.number)
        own["SPOOL_DIR"] = str(settings.folder / "spool" / silo.name)
    return shared | {f"{silo.prefix}_{name}": value for name, value in own.items()}


def inherited_environment(settings: StackSettings) -> dict[str, str]:
    """The stack's own environment without anybody's database.

    Where Python must not write bytecode beside the sources it does so in the data folder: processes that compile all
    their libraries at each start need three times as long for it.
    """
    kept = {name: value for name, value in settings.environment.items() if not _DATABASE_URL.fullmatch(name)}
    if kept.pop("PYTHONDONTWRITEBYTECODE", ""):
        kept.setdefault("PYTHONPYCACHEPREFIX", str(settings.folder / "bytecode"))
    return kept


def split_address(address: str) -> tuple[str, int]:
    """`host:port` apart; an IPv6 host stands in brackets. Raises SettingInvalid."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingInvalid(f"{address!r} is not an address: expected host:port")
    return host.strip("[]"), int(port)


def _read_silo(environment: Mapping[str, str], name: str, number: int, ports_from: int, place: int) -> Silo:
    prefix = _prefix(name)
    first = ports_from + place * _PORTS_PER_SILO
    ports = free_ports(len(_DOORS)) if ports_from == 0 else range(first, first + len(_DOORS))
    addresses = {
        door: environment.get(f"{prefix}_{door}", f"{_HOST}:{port}") for door, port in zip(_DOORS, ports, strict=True)
    }
    for address in addresses.values():
        split_address(address)
    return Silo(
        name=name,
        number=number,
        public_address=addresses["PUBLIC_ADDRESS"],
        internal_address=addresses["INTERNAL_ADDRESS"],
        serve_admin_address=addresses["SERVE_ADMIN_ADDRESS"],
        work_admin_address=addresses["WORK_ADMIN_ADDRESS"],
        database_url=environment.get(f"{prefix}_DATABASE_URL"),
    )


def _parse_regions(text: str) -> list[tuple[str, int]]:
    regions: dict[str, int] = {}
    for part in text.split(","):
        matched = _REGION.fullmatch(part.strip())
        if matched is None or int(matched[2]) > _REGION_NUMBER_MAX or matched[1] == CONTROL:
            raise OptionInvalid(f"regions: {part!r} is not name=number with a number from 1 to {_REGION_NUMBER_MAX}")
        if matched[1] in regions or int(matched[2]) in regions.values():
            raise OptionInvalid(f"regions: {part!r} repeats a name or a number")
        regions[matched[1]] = int(matched[2])
    return list(regions.items())


def _prefix(name: str) -> str:
    return "SILOWAY_CONTROL" if name == CONTROL else f"SILOWAY_REGION_{name.upper().replace('-', '_')}"


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name, str(default))
    try:
        return float(text)
    except ValueError:
        raise SettingInvalid(f"{name}: {text!r} is not a number of seconds") from None


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    value = environment.get(name)
    return Path(value) if value else None
