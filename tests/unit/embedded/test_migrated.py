from pathlib import Path

import pytest

from shared.embedded.migrated import MigrationStamps


@pytest.fixture
def revisions(tmp_path: Path) -> Path:
    folder = tmp_path / "versions"
    folder.mkdir()
    (folder / "0001_start.py").write_text("one")
    return folder


def test_a_silo_without_a_stamp_is_migrated(tmp_path: Path, revisions: Path) -> None:
    assert not MigrationStamps(tmp_path / "migrated.json").is_current("us", revisions, {})


def test_a_stamped_silo_is_left_alone_until_a_revision_comes_or_changes(tmp_path: Path, revisions: Path) -> None:
    stamps = MigrationStamps(tmp_path / "migrated.json")
    stamps.stamp("us", revisions, {})
    stamps.stamp("de", revisions, {})
    assert stamps.is_current("us", revisions, {})
    (revisions / "0002_more.py").write_text("two")
    assert not stamps.is_current("us", revisions, {})
    stamps.stamp("us", revisions, {})
    (revisions / "0001_start.py").write_text("other")
    assert not stamps.is_current("us", revisions, {})


def test_other_regions_or_a_lost_token_file_migrate_control_again(tmp_path: Path, revisions: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("secret")
    environment = {"SILOWAY_REGIONS": "us=1@a:1|b:2", "SILOWAY_BOOTSTRAP_TOKEN_FILE": str(token_file)}
    stamps = MigrationStamps(tmp_path / "migrated.json")
    stamps.stamp("control", revisions, environment)
    assert stamps.is_current("control", revisions, environment)
    assert not stamps.is_current("control", revisions, {**environment, "SILOWAY_REGIONS": ""})
    token_file.unlink()
    assert not stamps.is_current("control", revisions, environment)


def test_a_broken_stamp_file_means_migrate(tmp_path: Path, revisions: Path) -> None:
    file = tmp_path / "migrated.json"
    stamps = MigrationStamps(file)
    stamps.stamp("us", revisions, {})
    file.write_text("{")
    assert not stamps.is_current("us", revisions, {})


def test_what_may_have_been_restored_is_migrated_again(tmp_path: Path, revisions: Path) -> None:
    stamps = MigrationStamps(tmp_path / "migrated.json")
    stamps.stamp("us", revisions, {})
    stamps.stamp("de", revisions, {})
    stamps.forget({"us"})
    assert not stamps.is_current("us", revisions, {})
    assert stamps.is_current("de", revisions, {})
