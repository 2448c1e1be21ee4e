"""`siloway export` and `siloway exports` against the door of a region."""

import json
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from siloway.region.v1 import export_service_pb2 as export_pb
from typer.testing import CliRunner, Result

from siloway_client import downloads
from siloway_client.__main__ import app
from siloway_client.client import RegionClient
from siloway_client.commands.exports import ExportFailed
from siloway_client.decryption import decrypted
from siloway_client.findings_file import write_export
from tests.integration.exports.doors import Doors
from tests.integration.exports.stack import values
from tests.integration.exports.test_rules import two_organizations
from tests.integration.imports import rows_of_files as rows
from tests.tcp_proxy import TcpProxy
from tests.unit.exports.keys_of import private_pem, public_pem

Run = Callable[..., Result]


@pytest.fixture
def run(doors: Doors, tmp_path: Path) -> Iterator[Run]:
    """Runs a command as the operator, while the region works."""
    doors.stack.import_all(two_organizations())
    (tmp_path / "token").write_text("operator")
    stack = {
        "control": {"public_address": "127.0.0.1:1"},
        "regions": {"us": {"public_address": f"127.0.0.1:{doors.port}"}},
        "token_file": str(tmp_path / "token"),
        "environment_file": "127.0.0.1:1",
    }
    (tmp_path / "stack.json").write_text(json.dumps(stack))

    def command(*arguments: str) -> Result:
        result = CliRunner().invoke(app, ["--folder", str(tmp_path), *arguments])
        if result.exception is not None:
            raise result.exception
        return result

    with working(doors):
        yield command


@contextmanager
def working(doors: Doors) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=doors.stack.runner().run, args=(stop, lambda _: stop.wait(0.02)))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_file_alone_goes_to_standard_output(run: Run) -> None:
    result = run("export", "organizations", "--filter-org-slugs", "acme, nobody")
    found = json.loads(result.stdout_bytes)
    assert values(found, "sentry.organization", "slug") == ["acme"]
    assert "is queued" in result.stderr
    assert f": succeeded, {len(found)} objects\n" in result.stderr, "an export of nobody is noticed"


def test_an_export_goes_into_a_file_and_nothing_else_is_left_beside_it(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    run("export", "global", str(folder / "all.json"))
    assert [path.name for path in folder.iterdir()] == ["all.json"]
    assert stat.S_IMODE((folder / "all.json").stat().st_mode) == 0o600, "it may hold what is secret"
    found = json.loads((folder / "all.json").read_bytes())
    assert values(found, "sentry.organization", "slug") == ["acme", "umbrella"]


def test_indented_files_hold_the_same(run: Run, tmp_path: Path) -> None:
    run("export", "organizations", str(tmp_path / "plain.json"))
    run("export", "organizations", str(tmp_path / "wide.json"), "--indent", "2")
    plain = json.loads((tmp_path / "plain.json").read_bytes())
    assert (tmp_path / "wide.json").read_text() == json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    assert run("export", "users", "--filter-usernames", " ", "--indent", "2").stdout == "[]\n"


def test_users_are_named_by_an_option_or_by_a_file(run: Run, tmp_path: Path) -> None:
    names = tmp_path / "names"
    names.write_text("ada,\nbob\n")
    found = json.loads(run("export", "users", "--filter-usernames-file", str(names)).stdout_bytes)
    assert values(found, "sentry.user", "username") == ["ada", "bob"]
    found = json.loads(run("export", "users", "--filter-usernames", "eve").stdout_bytes)
    assert values(found, "sentry.user", "username") == ["eve"]
    with pytest.raises(SystemExit) as caught:
        run("export", "users", "--filter-usernames", "a", "--filter-usernames-file", str(names))
    assert caught.value.code == 2


def test_exports_are_listed_shown_taken_and_deleted(run: Run) -> None:
    first = run("export", "config")
    name = first.stderr.split()[0]
    (listed,) = json.loads(run("exports", "list", "--json").stdout)
    shown = json.loads(run("exports", "get", name, "--json").stdout)
    assert listed["name"] == shown["name"] == name
    assert run("exports", "download", name).stdout == first.stdout
    assert run("exports", "cancel", name, "--json").exit_code == 0
    run("exports", "delete", name.removeprefix("exports/"))
    assert "none" in run("exports", "list").stdout


def test_an_export_without_a_file_is_told_and_fails(run: Run, doors: Doors, tmp_path: Path) -> None:
    findings = tmp_path / "findings.json"
    run("export", "users", str(tmp_path / "users.json"), "--findings-file", str(findings))
    assert findings.read_bytes() == b"[]\n"
    doors.stack.rights.clear()
    with pytest.raises(ExportFailed) as caught:
        run("export", "global", "--findings-file", str(findings))
    assert "has no file" in str(caught.value)
    (entry,) = json.loads(findings.read_text())
    assert (entry["finding"], bool(entry["kind"])) == ("RpcExportError", True)
    assert entry["reason"] in str(caught.value)


def test_an_export_that_somebody_cancelled_has_a_finding_of_its_own(tmp_path: Path) -> None:
    write_export(tmp_path / "f.json", export_pb.DataExport(state=export_pb.DataExport.STATE_CANCELLED))
    (entry,) = json.loads((tmp_path / "f.json").read_text())
    assert (entry["finding"], entry["kind"]) == ("RpcExportError", "CANCELLED")


def test_an_encrypted_export_opens_with_the_private_key(run: Run, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(public_pem())
    (tmp_path / "key.pem").write_bytes(private_pem())
    plain = json.loads(run("export", "organizations").stdout_bytes)
    key = ("--encrypt-with", str(tmp_path / "key.pub"))
    written = run("export", "organizations", str(tmp_path / "a.tar"), *key, "--silent", "--no-prompt")
    assert written.output == ""
    name = json.loads(run("exports", "list", "--json").stdout)[0]["name"]
    (tmp_path / "b.tar").write_bytes(run("exports", "download", name, *key).stdout_bytes)
    for sealed in (tmp_path / "a.tar", tmp_path / "b.tar"):
        with decrypted(sealed, tmp_path / "key.pem") as opened:
            assert json.loads(opened.read_bytes()) == plain


def test_a_place_that_is_none_is_refused_before_anything_is_asked_for(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        run("export", "users", str(tmp_path / "no" / "file.json"))
    assert caught.value.code == 2
    assert "none" in run("exports", "list").stdout


def test_a_download_of_nothing_leaves_nothing(run: Run, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(grpc.RpcError):
        run("exports", "download", "1", str(tmp_path / "x.json"))
    assert sorted(tmp_path.iterdir()) == before


def test_a_broken_download_goes_on_where_it_ended(doors: Doors, tmp_path: Path) -> None:
    stack = doors.stack
    stack.import_all([rows.organization(1), *(rows.team(pk, 1, f"team{pk}") for pk in range(1, 6_000))])
    name = stack.create().name
    assert stack.runner().run_once()
    data = stack.download(int(name.removeprefix("exports/")))
    taken: list[int] = []
    with TcpProxy(doors.port) as proxy, RegionClient(proxy.address, "operator") as client:

        def cut(so_far: int, whole: int) -> None:
            taken.append(so_far)
            if len(taken) in (2, 7):
                proxy.drop_connections()
            if len(taken) == 7:
                proxy.mend()
            assert whole == len(data)

        proxy.slow(0.1)  # or all of it has come before the client has taken two pieces
        assert b"".join(downloads.chunks_of(client, name, on_taken=cut)) == data
    assert taken == sorted(taken)
    offsets = [row["detail"]["offset"] for row in stack.imports.all_in("region", _DOWNLOADS)]
    assert len(offsets) > 2, "it was cut"
    assert all(offset in {0, *taken} for offset in offsets)


def test_a_download_that_ended_goes_on_from_the_file_that_it_left(doors: Doors, tmp_path: Path) -> None:
    export_id = doors.stack.create().id
    assert doors.stack.runner().run_once()
    data = doors.stack.download(export_id)
    destination = tmp_path / "file.json"
    part = tmp_path / f"file.json.{export_id}.part"
    part.write_bytes(data[:2])
    with RegionClient(f"127.0.0.1:{doors.port}", "operator") as client:
        downloads.save(client, f"exports/{export_id}", destination)
        assert destination.read_bytes() == data
        assert not part.exists()
        part.write_bytes(b"x" + data[1:])
        destination.write_bytes(b"as before")
        with pytest.raises(downloads.DownloadFailed):
            downloads.save(client, f"exports/{export_id}", destination)
    assert destination.read_bytes() == b"as before"
    assert not part.exists(), "what is wrong is not gone on with"


_DOWNLOADS = "SELECT detail FROM audit_entry WHERE action = 'export.download' ORDER BY id"
