"""Tokens through the running doors: each wrong one is refused with its reason, a new one works everywhere soon."""

from collections.abc import Callable

import grpc
import pytest
from siloway.control.v1 import region_service_pb2 as region_pb
from siloway.region.v1 import import_service_pb2 as import_pb
from siloway.region.v1 import release_service_pb2 as release_pb
from siloway.region.v1 import snowflake_service_pb2 as snowflake_pb

from control_silo.tokens.command import mint_token
from siloway_client.refusal import refusal_of
from tests.stack import RunningStack, wait_until

pytestmark = pytest.mark.integration

_SOON_S = 10.0


def test_an_unknown_token_is_refused(stack: RunningStack) -> None:
    for token in (
        "siloway_" + "w" * 43,
        "no-token-at-all",
        stack.token[:-1] + ("A" if stack.token[-1] != "A" else "B"),
    ):
        assert _at_control(stack, token) == "TOKEN_INVALID"
        assert _at_region(stack, token) == "TOKEN_INVALID"


def test_a_token_minted_at_control_works_in_the_regions_of_its_audience(stack: RunningStack) -> None:
    done = stack.command("tokens", "mint", "--name", "ids", "--scope", "ids:generate", "--audience", "de")
    assert done.returncode == 0, done.stderr
    token = done.stdout.strip()
    _becomes(lambda: _at_region(stack, token, "de"), "OK")
    assert _at_region(stack, token, "us") == "TOKEN_INVALID", "a region hears of no token that is not for it"
    assert _at_control(stack, token) == "TOKEN_AUDIENCE"


def test_a_token_counts_until_it_expires(stack: RunningStack) -> None:
    token = _mint(stack, "ids:generate", expires_in="3s")
    _becomes(lambda: _at_region(stack, token), "OK")
    _becomes(lambda: _at_region(stack, token), "TOKEN_EXPIRED")
    assert _at_control(stack, token) == "TOKEN_EXPIRED"


def test_a_revoked_token_is_refused_within_seconds(stack: RunningStack) -> None:
    token = _mint(stack, "ids:generate")
    assert _at_control(stack, token) == "OK"
    stack.query(
        "control", "UPDATE token SET revoked_at = now() WHERE name = 'test ids:generate' AND expires_at IS NULL"
    )
    _becomes(lambda: _at_control(stack, token), "TOKEN_REVOKED")


def test_a_scope_that_does_not_suffice_is_refused_and_changes_nothing(stack: RunningStack) -> None:
    token = _mint(stack, "project:read")
    _becomes(lambda: _at_region(stack, token), "SCOPE_MISSING")
    imports = stack.value("us", "SELECT count(*) FROM data_import")
    with stack.region("us", token) as region:
        release = release_pb.CreateReleaseRequest(parent="organizations/1", projects=["x"])
        assert _reason(lambda: region.releases.CreateRelease(release)) == "SCOPE_MISSING"
        header = import_pb.UploadImportRequest.Header(scope=import_pb.DataImport.SCOPE_ORGANIZATION)
        upload = [import_pb.UploadImportRequest(header=header)]
        assert _reason(lambda: region.imports.UploadImport(iter(upload))) == "SCOPE_MISSING"
    assert stack.value("us", "SELECT count(*) FROM data_import") == imports


def _mint(stack: RunningStack, scope: str, *, expires_in: str | None = None) -> str:
    url = stack.database_url("control")
    return mint_token(url, name=f"test {scope}", scopes=[scope], expires_in=expires_in)


def _at_control(stack: RunningStack, token: str) -> str:
    with stack.control(token) as control:
        return _reason(lambda: control.regions.ListRegions(region_pb.ListRegionsRequest()))


def _at_region(stack: RunningStack, token: str, name: str = "us") -> str:
    with stack.region(name, token) as region:
        return _reason(lambda: region.snowflakes.GenerateIds(snowflake_pb.GenerateIdsRequest(count=1)))


def _reason(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return refusal_of(error).reason
    return "OK"


def _becomes(ask: Callable[[], str], answer: str) -> None:
    answers: list[str] = []

    def asked() -> bool:
        answers.append(ask())
        return answers[-1] == answer

    wait_until(asked, f"it never was {answer}, but {answers[-1:]}", timeout_s=_SOON_S)
