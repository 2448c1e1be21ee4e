"""Two regions with one number would give out the same ids: every place that can know of it refuses."""

import os
import subprocess
import sys

import pytest

from region_silo.routing.usecases import check_number
from shared.errors import RegionNumberTaken
from tests.integration.callbacks.silos import Silos, rows
from tests.stack import ROOT, plain_environment

pytestmark = [pytest.mark.integration, pytest.mark.faults]

US = "us=1@127.0.0.1:7711|127.0.0.1:7710"
FR = "fr=1@127.0.0.1:7731|127.0.0.1:7730"


def migrate(url: str, regions: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "control_silo", "migrate"],
        cwd=ROOT,
        env=plain_environment()
        | {"PATH": os.environ["PATH"], "SILOWAY_CONTROL_DATABASE_URL": url, "SILOWAY_REGIONS": regions},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_case_10_and_fault_F4_control_refuses_to_start_with_two_regions_of_one_number(
    control_database_url: str,
) -> None:
    told = migrate(control_database_url, f"{US},{FR}")
    assert (told.returncode, told.stderr) == (2, "siloway: SILOWAY_REGIONS: two regions share a number\n")
    assert migrate(control_database_url, US).returncode == 0
    told = migrate(control_database_url, FR)
    assert (told.returncode, told.stderr) == (1, "siloway: region fr cannot have number 1: it is us's\n")
    assert migrate(control_database_url, US).returncode == 0


def test_fault_F4_a_region_refuses_to_start_with_a_number_of_another(silos: Silos) -> None:
    directory = silos.regions["us"]
    directory.read(lambda transaction: check_number(transaction, name="us", number=1))
    with pytest.raises(RegionNumberTaken) as caught:
        directory.read(lambda transaction: check_number(transaction, name="us", number=2))
    assert caught.value.metadata == {"region": "us", "number": "2", "holder": "de"}
    with pytest.raises(RegionNumberTaken):
        directory.read(lambda transaction: check_number(transaction, name="fr", number=1))
    assert rows(directory, "SELECT name, number FROM region_directory ORDER BY name") == [("de", 2), ("us", 1)]
