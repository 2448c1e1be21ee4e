"""The README's commands, taken out of it line by line, do what it says."""

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from siloway_client.export_file import write_export
from tests.stack import COMMAND_TIMEOUT_S, ROOT, SILOWAY, RunningStack, plain_environment
from tests.unit.exports.keys_of import private_pem, public_pem

pytestmark = [pytest.mark.integration, pytest.mark.long]

_COMMITS = [
    {"id": "a1" * 20, "repository": "shop/api", "message": "First", "author_email": "ada@example.com"},
    {"id": "b2" * 20, "repository": "shop/web", "message": "Second", "author_email": "lin@example.com"},
]


@pytest.fixture
def folder(stack: RunningStack, tmp_path: Path) -> Path:
    """A checkout as the README supposes it: the environment and the stack's folder in their places."""
    (tmp_path / ".venv").symlink_to(SILOWAY.parent.parent)
    (tmp_path / ".siloway").symlink_to(stack.folder)
    return tmp_path


def test_the_five_commands_show_services_ids_and_regions(stack: RunningStack, folder: Path) -> None:
    (function, *commands) = _block("Look around by hand", 0)
    assert function.startswith("call() {")
    answers = [_run(f"{function}\n{_on_ports_of(stack, command)}", folder) for command in commands]
    services, methods, regions, organizations, ids = answers
    assert set(services.split()) > {
        "siloway.common.v1.RequestService",
        "siloway.control.v1.OrganizationService",
        "siloway.control.v1.RegionService",
        "siloway.control.v1.SlugReservationService",
    }
    assert set(methods.split()) > {
        "siloway.region.v1.ReleaseService/UpdateRelease",
        "siloway.region.v1.ImportService/UploadImport",
        "siloway.region.v1.SnowflakeService/GenerateIds",
    }
    assert [region["name"] for region in json.loads(regions)["regions"]] == ["regions/de", "regions/us"]
    assert isinstance(json.loads(organizations).get("organizations", []), list)
    assert len({int(each) for each in json.loads(ids)["ids"]}) == 3


def test_the_siloway_commands_run_one_after_the_other(stack: RunningStack, folder: Path) -> None:
    _write_export(folder / "export.json")
    (folder / "commits.json").write_text(json.dumps(_COMMITS))
    commands = _block("Look around by hand", 1)
    told: dict[str, tuple[str, str]] = {}
    for command in commands:
        undone = command.split()[1] == "undo"
        import_id = told["apply export.json.plan" if undone else "import organizations"][1] if told else "ID"
        subject = " ".join(command.split()[1:3])
        told[subject] = (answer := _run(command.replace(" ID ", f" {import_id} "), folder)), _first_id(answer)
    assert " succeeded, 61 of 61 objects" in told["import organizations"][0]
    assert re.search(r"my-org -> my-org\n", told["import organizations"][0])
    assert "sentry.unheardof" in told["imports findings"][0]
    assert "checkout (Checkout)" in told["project create"][0]
    assert told["release create"][0].startswith("created\n")
    assert "2 commits" in told["release update"][0]
    assert "layout 2" in told["ids describe"][0]
    secret = told["tokens mint"][0].strip()
    with stack.control(secret) as control:
        assert control.address == stack.describe["control"]["public_address"]
    assert secret.startswith("siloway_")
    exported = json.loads((folder / "my-org.json").read_text())
    assert [row["fields"]["slug"] for row in exported if row["model"] == "sentry.organization"] == ["my-org"]
    assert " planned, 61 of 61 objects" in told["plan organizations"][0]
    assert " succeeded, 61 of 61 objects" in told["apply export.json.plan"][0]
    assert re.search(r": undone, \d+ rows undone, 0 stay\n", told["undo ID"][0])
    assert len(commands) == 13
    _check_what_ci_jobs_do(folder)


def _check_what_ci_jobs_do(folder: Path) -> None:
    """In a repository of their own, for the organization of the commands before."""
    me = "-c user.name=Ada -c user.email=ada@example.com"
    _run(f"git init --quiet . && git {me} commit --quiet --allow-empty --message Third", folder)
    commands = _block("Look around by hand", 2)
    answers = {" ".join(command.split()[1:3]): _run(command, folder) for command in commands}
    assert len(answers) == len(commands) == 4
    assert answers["release create"].startswith("created\n")
    assert "1 commit" in answers["release set-commits"]
    assert "Third" in answers["release compare"]
    assert "production" in answers["release deploy"]


def test_the_operators_commands_run_one_after_the_other(folder: Path) -> None:
    commands = _block("Look around by hand", 3)
    answers = {" ".join(command.split()[1:3]): _run(command, folder) for command in commands}
    assert len(answers) == len(commands) == 8
    assert "blue-shop" in answers["orgs provision"]
    assert "taken" in answers["slugs check"]
    assert "azure-shop" in answers["orgs rename"]
    assert "ada@example.com" in answers["members list"]
    assert {"us", "de"} <= set(answers["regions list"].split())
    assert "token.create" in answers["audit list"] or "(none)" not in answers["audit list"]
    assert " 0 findings" in answers["doctor"]


def test_the_commands_for_export_files_run_one_after_the_other(folder: Path) -> None:
    write_export(folder / "export.json", objects=60, seed=12, organization_slug="from-a-sealed-file")
    (folder / "key.pem").write_bytes(private_pem())
    (folder / "key.pub").write_bytes(public_pem())
    commands = _block("Export files", 0)
    answers = {command.split()[1]: _run(command, folder) for command in commands}
    assert list(answers) == ["encrypt", "import", "export", "decrypt", "compare", "sanitize"]
    assert " succeeded, 60 of 60 objects" in answers["import"]
    with tarfile.open(folder / "sealed.tar") as sealed:
        assert sorted(sealed.getnames()) == ["data.key", "export.json", "key.pub"]
    assert answers["compare"] == "no differences\n"
    assert (folder / "differences.json").read_text() == "[]\n"
    assert "from-a-sealed-file" not in (folder / "shareable.json").read_text()
    name = f"imports/{_first_id(answers['import'])}"
    assert _run(f".venv/bin/siloway compare {name} {name} --region us", folder) == "no differences\n"


def _write_export(file: Path) -> None:
    """An export with one row of a model that nobody knows, so that there is a finding."""
    write_export(file, objects=60, seed=11, organization_slug="my-org")
    rows = json.loads(file.read_text())
    file.write_text(json.dumps([*rows, {"model": "sentry.unheardof", "pk": 1, "fields": {}}]))


def _block(heading: str, number: int) -> list[str]:
    """The commands of a section's n-th block of shell lines."""
    readme = (ROOT / "README.md").read_text()
    section = re.search(rf"^## {re.escape(heading)}$(.*?)^## ", readme, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    block = re.findall(r"```sh\n(.*?)```", section[1], re.DOTALL)[number]
    return [line for line in block.splitlines() if line]


def _on_ports_of(stack: RunningStack, command: str) -> str:
    """The command as it stands; another port only where this stack could not have the usual one."""
    command = command.replace("127.0.0.1:7700", stack.describe["control"]["public_address"])
    return command.replace("127.0.0.1:7710", stack.describe["regions"]["us"]["public_address"])


def _run(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=plain_environment() | {"HOME": os.environ.get("HOME", str(folder))},
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def _first_id(answer: str) -> str:
    found = re.search(r"[0-9]{16}", answer)
    return found[0] if found else ""
