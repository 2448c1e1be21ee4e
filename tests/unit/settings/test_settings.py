from pathlib import Path

import pytest

from control_silo.settings import read_migrate_settings as read_control_migrate
from control_silo.settings import read_settings as read_control
from region_silo.settings import read_settings as read_region
from shared.settings import SettingsError


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    pem = tmp_path / "x.pem"
    pem.write_text("pem")
    return {
        "SILOWAY_CONTROL_CERT_FILE": str(pem),
        "SILOWAY_CONTROL_KEY_FILE": str(pem),
        "SILOWAY_REGION_US_CERT_FILE": str(pem),
        "SILOWAY_REGION_US_KEY_FILE": str(pem),
        "SILOWAY_INTERNAL_CA_FILE": str(pem),
    }


def test_control_has_defaults_for_all_addresses(files: dict[str, str]) -> None:
    settings = read_control({**files, "SILOWAY_CONTROL_DATABASE_URL": "postgresql://x@h/c"})
    assert settings.silo.doors.public_address == "127.0.0.1:7700"
    assert settings.silo.doors.work_admin_address == "127.0.0.1:7703"
    assert settings.regions == ()


def test_control_keeps_exported_rows_where_it_is_told(files: dict[str, str], tmp_path: Path) -> None:
    database = {**files, "SILOWAY_CONTROL_DATABASE_URL": "postgresql://x@h/c"}
    told = {"SILOWAY_CONTROL_EXPORT_DIR": str(tmp_path), "SILOWAY_CONTROL_EXPORT_MIB_MAX": "3"}
    kept = read_control({**database, **told}).export_keeping
    assert (kept.folder, kept.bytes_max) == (tmp_path, 3 << 20)
    assert read_control(database).export_keeping.folder is None
    with pytest.raises(SettingsError, match="EXPORT_DIR: there is no folder"):
        read_control({**database, "SILOWAY_CONTROL_EXPORT_DIR": str(tmp_path / "none")})


def test_region_ports_follow_its_number(files: dict[str, str], tmp_path: Path) -> None:
    settings = read_region(
        {
            **files,
            "SILOWAY_REGION_US_DATABASE_URL": "postgresql://x@h/r",
            "SILOWAY_REGION_US_NUMBER": "1",
            "SILOWAY_REGION_US_SPOOL_DIR": str(tmp_path),
        },
        "us",
    )
    assert settings.silo.doors.internal_address == "127.0.0.1:7711"
    assert settings.id_layout == 2


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        read_control({"SILOWAY_CONTROL_PUBLIC_ADDRESS": "nonsense", "SILOWAY_GRACE_S": "soon"})
    text = "\n".join(caught.value.problems)
    for name in ("CONTROL_DATABASE_URL", "PUBLIC_ADDRESS", "GRACE_S", "CERT_FILE", "KEY_FILE", "CA_FILE"):
        assert name in text


def test_a_database_url_is_never_told() -> None:
    with pytest.raises(SettingsError) as caught:
        read_control_migrate({"SILOWAY_CONTROL_DATABASE_URL": "mysql://me:hunter2@h/x"})
    assert "hunter2" not in str(caught.value)


def test_a_redis_url_of_another_kind_is_refused_and_never_told() -> None:
    environment = {"SILOWAY_CONTROL_DATABASE_URL": "postgresql://h/c", "SILOWAY_REDIS_URL": "http://me:hunter2@host"}
    with pytest.raises(SettingsError) as caught:
        read_control(environment)
    assert "SILOWAY_REDIS_URL must be a redis:// URL" in caught.value.problems
    assert "hunter2" not in str(caught.value)


def test_settings_hide_urls_when_printed(files: dict[str, str]) -> None:
    settings = read_control({**files, "SILOWAY_CONTROL_DATABASE_URL": "postgresql://me:hunter2@h/c"})
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    "regions",
    ["us", "us=1", "us=1@a:1|b:2,de=1@c:3|d:4", "us=1@a:1|b:2,us=2@c:3|d:4", "us=32@a:1|b:2", "control=1@a:1|b:2"],
)
def test_a_wrong_directory_is_refused(regions: str) -> None:
    with pytest.raises(SettingsError, match="SILOWAY_REGIONS"):
        read_control_migrate({"SILOWAY_CONTROL_DATABASE_URL": "postgresql://h/c", "SILOWAY_REGIONS": regions})


def test_the_directory_is_read() -> None:
    settings = read_control_migrate(
        {
            "SILOWAY_CONTROL_DATABASE_URL": "postgresql://h/c",
            "SILOWAY_REGIONS": "us=1@127.0.0.1:7711|127.0.0.1:7710, de=2@127.0.0.1:7721|127.0.0.1:7720",
        }
    )
    assert [(region.name, region.number, region.public_address) for region in settings.regions] == [
        ("us", 1, "127.0.0.1:7710"),
        ("de", 2, "127.0.0.1:7720"),
    ]


def test_no_region_may_be_called_control() -> None:
    with pytest.raises(SettingsError, match="--region"):
        read_region({}, "control")


@pytest.mark.parametrize(("given", "read"), [(None, 86_400), ("0", 0), ("60", 60)])
def test_age_of_a_confirmation_is_a_day_unless_told_otherwise(
    files: dict[str, str], tmp_path: Path, given: str | None, read: int
) -> None:
    environment = region_environment(files, tmp_path, given)
    assert read_region(environment, "us").token_confirmation_max_s == read


def test_age_of_a_confirmation_that_one_lost_message_would_exceed_is_refused(
    files: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="SILOWAY_TOKEN_CONFIRMATION_MAX_S"):
        read_region(region_environment(files, tmp_path, "59"), "us")


def region_environment(files: dict[str, str], folder: Path, confirmation_max_s: str | None) -> dict[str, str]:
    environment = {
        **files,
        "SILOWAY_REGION_US_DATABASE_URL": "postgresql://x@h/r",
        "SILOWAY_REGION_US_NUMBER": "1",
        "SILOWAY_REGION_US_SPOOL_DIR": str(folder),
    }
    if confirmation_max_s is not None:
        environment["SILOWAY_TOKEN_CONFIRMATION_MAX_S"] = confirmation_max_s
    return environment
