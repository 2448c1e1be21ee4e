"""`siloway regions declare-lost` and `recover` against control's public door."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from siloway_client.__main__ import app
from tests.integration.callbacks.silos import Silos, add_organizations, organization_ids, reservations
from tests.integration.operators.conftest import Client

pytestmark = pytest.mark.integration


def test_a_region_is_declared_lost_and_recovered_by_the_command(silos: Silos, client: Client, tmp_path: Path) -> None:
    (organization,) = organization_ids(1, 1)
    add_organizations(silos.regions["us"], [(organization, "acme")])
    silos.reserve("us", [(organization, "acme")])
    token_file = tmp_path / "token"
    token_file.write_text(client.secret)
    stack = {
        "control": {"public_address": client.address},
        "regions": {},
        "token_file": str(token_file),
        "environment_file": "127.0.0.1:1",
    }
    (tmp_path / "stack.json").write_text(json.dumps(stack))

    def command(*arguments: str, said: str = "") -> tuple[int, str]:
        result = CliRunner().invoke(app, ["--folder", str(tmp_path), "regions", *arguments], input=said)
        return result.exit_code, result.stdout

    assert command("declare-lost", "us", said="n\n")[0] == 1
    assert list(reservations(silos.control)) == ["acme"]
    code, told = command("declare-lost", "us", "--yes")
    assert (code, "1 slugs freed" in told) == (0, True)
    assert list(reservations(silos.control)) == []
    assert command("declare-lost", "us", said="y\n")[0] == 0
    code, told = command("declare-lost", "regions/us", "--yes", "--json")
    assert (code, json.loads(told)["region"]) == (0, "us")
    assert command("recover", "us") == (0, "regions/us is there: it may call control again\n")
