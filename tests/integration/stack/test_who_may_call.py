"""Who may call what: every method of every public service, walked by its row; only health is open."""

from typing import Any

import grpc
import pytest

from control_silo import wiring as control_wiring
from control_silo.tokens.command import mint_token
from region_silo import wiring as region_wiring
from shared.requests.servicer import METHODS as REQUEST_METHODS
from shared.rpc.methods import Method
from shared.tokens import SCOPES
from siloway_client.refusal import refusal_of
from tests.stack import RunningStack, wait_until

pytestmark = pytest.mark.integration

_ROWS = {
    "control": (*control_wiring.PUBLIC_METHODS, *REQUEST_METHODS),
    "us": (*region_wiring.PUBLIC_METHODS, *REQUEST_METHODS),
}
_INTERNAL = {"control": control_wiring.INTERNAL_METHODS, "us": region_wiring.INTERNAL_METHODS}
_WALK = [(silo, row) for silo, rows in _ROWS.items() for row in rows]
_NAMES = [f"{silo}-{row.name.rpartition('.')[2]}" for silo, row in _WALK]
_OPEN_TO_ANY_TOKEN = {
    "/siloway.common.v1.RequestService/GetRequest",
    "/siloway.control.v1.RegionService/ListRegions",
    "/siloway.control.v1.RegionService/GetRegion",
    "/siloway.region.v1.SnowflakeService/DescribeId",
}


@pytest.fixture(scope="module")
def weak(stack: RunningStack) -> dict[str, str]:
    """For each scope a token that has all others, known in the region."""
    url = stack.database_url("control")
    tokens = {
        scope: mint_token(url, name=f"without {scope}", scopes=[other for other in SCOPES if other != scope])
        for scope in SCOPES
    }
    wait_until(
        lambda: stack.value("us", "SELECT count(*) FROM token WHERE name LIKE 'without %%'") >= len(SCOPES),
        "the tokens did not reach the region",
    )
    return tokens


def test_only_these_methods_want_no_scope() -> None:
    assert {row.name for _, row in _WALK if not row.scopes} == _OPEN_TO_ANY_TOKEN


def test_every_scope_that_a_row_names_exists() -> None:
    assert {scope for _, row in _WALK for scope in row.scopes} <= set(SCOPES)


@pytest.mark.parametrize(("silo", "row"), _WALK, ids=_NAMES)
def test_no_method_is_served_without_a_token(stack: RunningStack, silo: str, row: Method) -> None:
    with grpc.insecure_channel(_address(stack, silo)) as channel:
        assert _reason(channel, row, ()) == "TOKEN_INVALID"


@pytest.mark.parametrize(("silo", "row"), _WALK, ids=_NAMES)
def test_a_token_without_any_of_its_scopes_is_refused(
    stack: RunningStack, weak: dict[str, str], silo: str, row: Method
) -> None:
    with grpc.insecure_channel(_address(stack, silo)) as channel:
        for scope, token in weak.items():
            reason = _reason(channel, row, (("authorization", f"Bearer {token}"),))
            if row.scopes == (scope,):
                assert reason == "SCOPE_MISSING"
            else:
                assert reason != "SCOPE_MISSING" or _asks_more(row), f"{scope} is not what {row.name} wants"


@pytest.mark.parametrize("silo", ["control", "us"])
def test_internal_methods_are_unknown_on_the_public_door(stack: RunningStack, silo: str) -> None:
    with grpc.insecure_channel(_address(stack, silo)) as channel:
        for row in _INTERNAL[silo]:
            assert _reason(channel, row, (("authorization", f"Bearer {stack.token}"),)) == "METHOD_UNKNOWN"


def _asks_more(row: Method) -> bool:
    """Methods that look at further scopes themselves, once they know what is asked for."""
    return row.name.endswith(("/UploadImport", "/ListTokens"))


def _address(stack: RunningStack, silo: str) -> str:
    described = stack.describe["control"] if silo == "control" else stack.describe["regions"][silo]
    return str(described["public_address"])


def _reason(channel: grpc.Channel, row: Method, metadata: tuple[tuple[str, str], ...]) -> str:
    """The reason for refusing an empty message; the row's budget tells nothing about streaming, so both are tried."""
    call: Any = channel.stream_stream(row.name)
    try:
        for _ in call(iter([b""]), timeout=10, metadata=metadata):
            return "OK"
    except grpc.RpcError as error:
        return refusal_of(error).reason
    return "OK"
