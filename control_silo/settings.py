"""The control silo's settings: what every silo has, the regions that it knows, the times of deletions."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from control_silo.deletions.domain import GRACE, QUARANTINE, Deletions
from control_silo.model_exports.domain import Keeping
from control_silo.reconciliation.domain import ReconciliationSettings, RepairMode
from shared.settings import REGION_NAME, Reader, SiloSettings, one_of, read_silo

PREFIX = "SILOWAY_CONTROL"
_REGION = re.compile(r"(?P<name>[^=]+)=(?P<number>[0-9]{1,2})@(?P<internal>[^|]+)\|(?P<public>.+)")


@dataclass(frozen=True)
class RegionAddress:
    """One region of the directory. `number` is 1 to 31; addresses are host:port."""

    name: str
    number: int
    internal_address: str
    public_address: str


@dataclass(frozen=True)
class ControlSettings:
    """Everything that a process of the control silo is told from outside."""

    silo: SiloSettings
    regions: tuple[RegionAddress, ...]
    deletions: Deletions
    reconciliation: ReconciliationSettings = field(default_factory=ReconciliationSettings)
    export_keeping: Keeping = field(default_factory=Keeping)


@dataclass(frozen=True)
class MigrateSettings:
    """What `migrate` and `mint-token` need; they open no door."""

    database_url: str
    regions: tuple[RegionAddress, ...]
    bootstrap_token_file: Path | None


def read_settings(environment: Mapping[str, str]) -> ControlSettings:
    """Settings of `serve` and `work`. Raises SettingsError with all problems."""
    reader = Reader(environment)
    settings = ControlSettings(
        silo=read_silo(reader, PREFIX, name="control", number=0, first_port=7700),
        regions=_read_regions(reader),
        deletions=_read_deletions(reader),
        reconciliation=_read_reconciliation(reader),
        export_keeping=_read_export_keeping(reader),
    )
    reader.finish()
    return settings


def read_migrate_settings(environment: Mapping[str, str]) -> MigrateSettings:
    """Settings of `migrate` and `mint-token`. Raises SettingsError with all problems."""
    reader = Reader(environment)
    token_file = reader.text("SILOWAY_BOOTSTRAP_TOKEN_FILE", "")
    settings = MigrateSettings(
        database_url=reader.database_url(f"{PREFIX}_DATABASE_URL"),
        regions=_read_regions(reader),
        bootstrap_token_file=Path(token_file) if token_file else None,
    )
    reader.finish()
    return settings


def _read_deletions(reader: Reader) -> Deletions:
    """Both in days; 0 is no time at all."""
    grace_days = reader.integer("SILOWAY_DELETION_GRACE_DAYS", GRACE.days, 0, 3650)
    quarantine_days = reader.integer("SILOWAY_SLUG_QUARANTINE_DAYS", QUARANTINE.days, 0, 36_500)
    return Deletions(timedelta(days=grace_days), timedelta(days=quarantine_days))


def _read_reconciliation(reader: Reader) -> ReconciliationSettings:
    modes = [mode.value for mode in RepairMode]
    repair = one_of(reader, "SILOWAY_RECONCILIATION_REPAIR", RepairMode.LATEST.value, modes)
    return ReconciliationSettings(
        every_s=reader.integer("SILOWAY_RECONCILIATION_EVERY_S", 300, 0, 86_400),
        pause_s=reader.integer("SILOWAY_RECONCILIATION_PAUSE_MS", 100, 0, 60_000) / 1000,
        repair=RepairMode(repair) if repair in modes else RepairMode.LATEST,
    )


def _read_export_keeping(reader: Reader) -> Keeping:
    folder = reader.text(f"{PREFIX}_EXPORT_DIR", "")
    if folder and not Path(folder).is_dir():
        reader.problems.append(f"{PREFIX}_EXPORT_DIR: there is no folder {folder}")
    mib_max = reader.integer(f"{PREFIX}_EXPORT_MIB_MAX", 4096, 1, 10_000_000)
    return Keeping(Path(folder) if folder else None, mib_max << 20)


def _read_regions(reader: Reader) -> tuple[RegionAddress, ...]:
    """SILOWAY_REGIONS: `name=number@internal|public`, separated by commas."""
    regions = []
    for text in filter(None, (part.strip() for part in reader.text("SILOWAY_REGIONS", "").split(","))):
        match = _REGION.fullmatch(text)
        if match is None or not REGION_NAME.fullmatch(match["name"]) or match["name"] == "control":
            reader.problems.append(f"SILOWAY_REGIONS: expected name=number@host:port|host:port, not {text!r}")
            continue
        regions.append(RegionAddress(match["name"], int(match["number"]), match["internal"], match["public"]))
    for kind, values in (("name", [r.name for r in regions]), ("number", [r.number for r in regions])):
        if len(set(values)) != len(values):
            reader.problems.append(f"SILOWAY_REGIONS: two regions share a {kind}")
    reader.problems += [
        f"SILOWAY_REGIONS: {r.name}'s number must be 1 to 31" for r in regions if not 1 <= r.number <= 31
    ]
    return tuple(regions)
