"""A region silo's settings: what every silo has, the ids it gives out, where uploads lie and where control is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.settings import REGION_NAME, Reader, SettingsError, SiloSettings, read_silo

MIB = 1024 * 1024
CONFIRMATION_MAX_S_MIN = 60


@dataclass(frozen=True)
class RegionSettings:
    """Everything that a process of a region silo is told from outside. Sizes in bytes; how many hours the file of an
    upload that broke off, or of an import that failed, is kept; how much of the time an import may take while others
    work; how old control's confirmation
    of the tokens may be, 0 for any age; where repositories of git lie that fetches may read, None for nowhere.
    """

    silo: SiloSettings
    id_layout: int
    spool_folder: Path
    spool_bytes_max: int
    upload_bytes_max: int
    spool_keep_hours: int
    import_share_percent: int
    control_internal_address: str
    token_confirmation_max_s: int
    git_root: Path | None


@dataclass(frozen=True)
class MigrateSettings:
    """What `migrate` needs; it opens no door."""

    name: str
    number: int
    database_url: str


def read_settings(environment: Mapping[str, str], name: str) -> RegionSettings:
    """Settings of `serve` and `work` of region `name`. Raises SettingsError with all problems."""
    prefix, number, reader = _begin(environment, name)
    settings = RegionSettings(
        silo=read_silo(reader, prefix, name=name, number=number, first_port=7700 + 10 * number),
        id_layout=reader.integer(f"{prefix}_ID_LAYOUT", 2, 1, 2),
        spool_folder=Path(reader.text(f"{prefix}_SPOOL_DIR")),
        spool_bytes_max=reader.integer(f"{prefix}_SPOOL_MIB_MAX", 8192, 1, 10_000_000) * MIB,
        upload_bytes_max=reader.integer(f"{prefix}_UPLOAD_MIB_MAX", 2048, 1, 1_000_000) * MIB,
        # At least an hour: longer than the 3,000 s that an upload may take.
        spool_keep_hours=reader.integer(f"{prefix}_SPOOL_KEEP_HOURS", 24, 1, 8760),
        import_share_percent=reader.integer(f"{prefix}_IMPORT_SHARE_PERCENT", 50, 5, 100),
        control_internal_address=reader.address("SILOWAY_CONTROL_INTERNAL_ADDRESS", "127.0.0.1:7701"),
        token_confirmation_max_s=_confirmation_max_s(reader),
        git_root=_git_root(reader, f"{prefix}_GIT_ROOT"),
    )
    reader.finish()
    return settings


def read_migrate_settings(environment: Mapping[str, str], name: str) -> MigrateSettings:
    """Settings of `migrate`. Raises SettingsError with all problems."""
    prefix, number, reader = _begin(environment, name)
    settings = MigrateSettings(name, number, reader.database_url(f"{prefix}_DATABASE_URL"))
    reader.finish()
    return settings


def _confirmation_max_s(reader: Reader) -> int:
    """Below a minute, six of control's confirmations, one lost message would close the region."""
    name = "SILOWAY_TOKEN_CONFIRMATION_MAX_S"
    seconds = reader.integer(name, 86_400, 0, 31_536_000)
    if 0 < seconds < CONFIRMATION_MAX_S_MIN:
        reader.problems.append(f"{name} must be 0 (off) or at least {CONFIRMATION_MAX_S_MIN}, not {seconds}")
    return seconds


def _git_root(reader: Reader, name: str) -> Path | None:
    """A folder that is there, by its whole path."""
    value = reader.text(name, "")
    if not value:
        return None
    if not (Path(value).is_absolute() and Path(value).is_dir()):
        reader.problems.append(f"{name} must be the whole path of a folder, not {value!r}")
    return Path(value)


def _begin(environment: Mapping[str, str], name: str) -> tuple[str, int, Reader]:
    if not REGION_NAME.fullmatch(name) or name == "control":
        raise SettingsError([f"--region must be a region's name (lower case letters, digits, '-'), not {name!r}"])
    prefix = f"SILOWAY_REGION_{name.upper().replace('-', '_')}"
    reader = Reader(environment)
    return prefix, reader.integer(f"{prefix}_NUMBER", None, 1, 31), reader
