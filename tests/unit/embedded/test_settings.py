"""The stack's settings: where silos listen and what their programs learn."""

from pathlib import Path

import pytest

from shared.embedded.failures import OptionInvalid, SettingInvalid
from shared.embedded.settings import (
    SiloFiles,
    inherited_environment,
    read_settings,
    silo_environment,
    split_address,
)

_FOLDER = Path("/data/siloway")
_FILES = SiloFiles("postgresql://own", Path("/ca.pem"), Path("/own.pem"), Path("/own.key"))


def test_default_addresses_are_the_published_ones() -> None:
    settings = read_settings({}, folder=_FOLDER, ports_from=7700)
    assert [silo.public_address for silo in settings.silos] == ["127.0.0.1:7700", "127.0.0.1:7710", "127.0.0.1:7720"]
    assert settings.regions[1].work_admin_address == "127.0.0.1:7723"
    assert [(silo.name, silo.number) for silo in settings.silos] == [("control", 0), ("us", 1), ("de", 2)]


def test_free_ports_are_all_different() -> None:
    settings = read_settings({}, folder=_FOLDER, ports_from=0)
    addresses = [address for silo in settings.silos for address in silo.purposes().values()]
    assert len(set(addresses)) == 12


def test_an_address_in_the_environment_wins() -> None:
    settings = read_settings({"SILOWAY_REGION_US_PUBLIC_ADDRESS": "[::1]:99"}, folder=_FOLDER, ports_from=7700)
    assert settings.regions[0].public_address == "[::1]:99"
    assert split_address("[::1]:99") == ("::1", 99)


def test_control_learns_the_regions_and_where_to_put_the_token() -> None:
    settings = read_settings({}, folder=_FOLDER, ports_from=7700)
    learnt = silo_environment(settings, settings.control, _FILES, "redis://r")
    assert learnt == {
        "SILOWAY_CONTROL_DATABASE_URL": "postgresql://own",
        "SILOWAY_CONTROL_PUBLIC_ADDRESS": "127.0.0.1:7700",
        "SILOWAY_CONTROL_INTERNAL_ADDRESS": "127.0.0.1:7701",
        "SILOWAY_CONTROL_SERVE_ADMIN_ADDRESS": "127.0.0.1:7702",
        "SILOWAY_CONTROL_WORK_ADMIN_ADDRESS": "127.0.0.1:7703",
        "SILOWAY_CONTROL_CERT_FILE": "/own.pem",
        "SILOWAY_CONTROL_KEY_FILE": "/own.key",
        "SILOWAY_INTERNAL_CA_FILE": "/ca.pem",
        "SILOWAY_REDIS_URL": "redis://r",
        "SILOWAY_BOOTSTRAP_TOKEN_FILE": "/data/siloway/token",
        "SILOWAY_REGIONS": "us=1@127.0.0.1:7711|127.0.0.1:7710,de=2@127.0.0.1:7721|127.0.0.1:7720",
    }


def test_a_region_learns_its_number_its_spool_and_controls_address() -> None:
    settings = read_settings({}, folder=_FOLDER, ports_from=7700)
    learnt = silo_environment(settings, settings.regions[1], _FILES, "redis://r")
    assert learnt["SILOWAY_REGION_DE_NUMBER"] == "2"
    assert learnt["SILOWAY_REGION_DE_SPOOL_DIR"] == "/data/siloway/spool/de"
    assert learnt["SILOWAY_CONTROL_INTERNAL_ADDRESS"] == "127.0.0.1:7701"
    assert "SILOWAY_BOOTSTRAP_TOKEN_FILE" not in learnt


def test_no_silo_inherits_a_database_url() -> None:
    given = {
        "SILOWAY_CONTROL_DATABASE_URL": "postgresql://c",
        "SILOWAY_REGION_US_DATABASE_URL": "postgresql://u",
        "SILOWAY_LOG_LEVEL": "debug",
    }
    settings = read_settings(given, folder=_FOLDER, ports_from=7700)
    assert settings.control.database_url == "postgresql://c"
    assert settings.regions[1].database_url is None
    assert inherited_environment(settings) == {"SILOWAY_LOG_LEVEL": "debug"}


def test_a_silo_whose_database_is_being_restored_is_left_out() -> None:
    settings = read_settings({}, folder=_FOLDER, ports_from=7700, without=["us"])
    assert [silo.name for silo in settings.started] == ["control", "de"]
    assert [silo.name for silo in settings.silos] == ["control", "us", "de"]
    with pytest.raises(OptionInvalid, match="no silo 'nl'; there are: control, us, de"):
        read_settings({}, folder=_FOLDER, ports_from=7700, without=["nl"])


@pytest.mark.parametrize("regions", ["", "us", "us=0", "us=32", "us=1,us=2", "us=1,de=1", "control=1", "US=1", "us=1,"])
def test_wrong_regions_are_refused(regions: str) -> None:
    with pytest.raises(OptionInvalid, match="regions"):
        read_settings({}, folder=_FOLDER, ports_from=7700, regions=regions)


@pytest.mark.parametrize("address", ["7700", ":7700", "host:", "host:0", "host:70000", "host:x"])
def test_wrong_addresses_are_refused(address: str) -> None:
    with pytest.raises(SettingInvalid, match="address"):
        split_address(address)


def test_a_wrong_time_names_its_setting() -> None:
    for name in ("SILOWAY_GRACE_S", "SILOWAY_RESTART_MAX_S"):
        with pytest.raises(SettingInvalid, match=name):
            read_settings({name: "soon"}, folder=_FOLDER, ports_from=7700)


def test_bytecode_that_may_not_stand_beside_the_sources_stands_in_the_folder() -> None:
    settings = read_settings({"PYTHONDONTWRITEBYTECODE": "1"}, folder=_FOLDER, ports_from=7700)
    assert inherited_environment(settings) == {"PYTHONPYCACHEPREFIX": "/data/siloway/bytecode"}
