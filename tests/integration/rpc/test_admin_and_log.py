"""The admin door answers probes and Prometheus; log lines are JSON and hold no secret."""

import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import structlog

from shared.embedded.stack import is_ready
from shared.rpc import log
from shared.rpc.addresses import CannotServe
from shared.rpc.admin import AdminServer
from tests.integration.rpc.words import Client, public_server


def _get(server: AdminServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_probes_tell_states_and_nothing_of_the_reasons() -> None:
    ready = True

    def database() -> None:
        if not ready:
            raise RuntimeError("postgresql://siloway:swordfish@db is gone")

    server = AdminServer("127.0.0.1:0", checks={"database": database, "spool": lambda: True})
    server.start()
    assert _get(server, "/healthz") == (200, "ok\n")
    assert _get(server, "/readyz") == (200, '{"database": "ok", "spool": "ok"}\n')
    ready = False
    assert _get(server, "/readyz?verbose") == (503, '{"database": "failing", "spool": "ok"}\n')
    assert _get(server, "/elsewhere")[0] == 404
    status, metrics = _get(server, "/metrics")
    assert status == 200
    assert "siloway_rpc_permits_in_use" in metrics
    server.stop()


def test_a_taken_admin_port_is_one_clear_line() -> None:
    server = AdminServer("127.0.0.1:0")
    with pytest.raises(CannotServe, match=f"Cannot listen on 127.0.0.1:{server.port}: address already in use."):
        AdminServer(f"127.0.0.1:{server.port}")
    server.stop()


@pytest.fixture
def configured() -> Iterator[None]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    log.configure("info")
    yield
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("configured")
def test_a_call_is_one_json_line_without_its_token(capsys: pytest.CaptureFixture[str]) -> None:
    with public_server() as server, Client(server.port) as client:
        client.call(extra=(("x-request-id", "mine"),))
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert line["request_id"] == "mine"
    assert line["principal"] == "tokens/7"
    assert line["method"] == "/test.v1.WordsService/Say"
    assert line["code"] == "OK"
    assert line["duration_ms"] >= 0
    assert "Bearer" not in json.dumps(line)


@pytest.mark.usefixtures("configured")
def test_secrets_are_blotted_out_of_our_lines_and_of_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    url = "postgresql://me:swordfish@db/x"
    structlog.get_logger().info("hello", token="swordfish", url=url, header="Bearer swordfish")
    logging.getLogger("library").warning("connecting with password=%s", "swordfish")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["hello", "connecting with password=***"]
    assert lines[0]["url"] == "postgresql://me:***@db/x"
    assert lines[1]["logger"] == "library"
    assert "swordfish" not in json.dumps(lines)


@pytest.mark.usefixtures("configured")
def test_lines_below_the_level_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["loud"]


def test_an_answer_names_its_process_so_that_another_at_the_port_is_not_taken_for_it() -> None:
    admin = AdminServer("127.0.0.1:0")
    admin.start()
    try:
        address = f"127.0.0.1:{admin.port}"
        assert is_ready(address, os.getpid())
        assert not is_ready(address, os.getppid())
    finally:
        admin.stop()
