"""`siloway users` and `siloway tokens` against the running stack, and what its regions answer afterwards."""

import json
import uuid
from collections.abc import Callable

import grpc
import pytest
from siloway.region.v1 import snowflake_service_pb2 as snowflake_pb

from siloway_client.refusal import refusal_of
from tests.stack import RunningStack, wait_until

pytestmark = pytest.mark.integration

_REVOKED_WITHIN_S = 20.0
"""Two seconds when the machine has nothing else to do: tests/integration/tokens/test_confirmation.py says so."""


def told(stack: RunningStack, *arguments: str) -> str:
    done = stack.command(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def answer(stack: RunningStack, secret: str) -> Callable[[str], bool]:
    def becomes(wanted: str) -> bool:
        with stack.region("us", secret) as region:
            try:
                region.snowflakes.GenerateIds(snowflake_pb.GenerateIdsRequest(count=1))
            except grpc.RpcError as error:
                return refusal_of(error).reason == wanted
            return wanted == "OK"

    return becomes


def test_a_users_token_lives_from_create_to_revoke(stack: RunningStack) -> None:
    username = f"ada-{uuid.uuid4().hex[:8]}"
    user = json.loads(told(stack, "users", "create", username, "--email", f"{username}@example.com", "--json"))
    assert username in told(stack, "users", "list", "--username", username.upper())
    assert json.loads(told(stack, "users", "get", user["uid"], "--json")) == user

    made = ("tokens", "create", "--name", username, "--scope", "ids:generate", "--user", user["uid"])
    token = json.loads(told(stack, *made, "--expires-in", "1h", "--calls-per-minute", "100000", "--json"))
    answers = answer(stack, token["secret"])
    wait_until(lambda: answers("OK"), "the token never works")

    assert "suspended" in told(stack, "users", "suspend", user["uid"])
    wait_until(lambda: answers("USER_SUSPENDED"), "the user is never suspended", timeout_s=_REVOKED_WITHIN_S)
    assert "active" in told(stack, "users", "unsuspend", user["uid"])
    wait_until(lambda: answers("OK"), "the token never works again", timeout_s=_REVOKED_WITHIN_S)

    assert username in told(stack, "tokens", "list", "--user", user["uid"])
    assert token["uid"] in told(stack, "tokens", "revoke", token["uid"])
    wait_until(lambda: answers("TOKEN_REVOKED"), "the token is never revoked", timeout_s=_REVOKED_WITHIN_S)
    assert told(stack, "tokens", "list", "--user", user["uid"]) == "(none)"
    assert token["uid"] in told(stack, "tokens", "list", "--user", user["uid"], "--revoked")


def test_a_secret_is_printed_once_for_one_request(stack: RunningStack) -> None:
    made = ("tokens", "create", "--name", "once", "--scope", "org:read", "--request-id", str(uuid.uuid4()))
    assert told(stack, *made).startswith("siloway_")
    again = stack.command(*made)
    assert (again.returncode, again.stdout) == (0, "")
    assert "shown before" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("tokens", "create", "--name", "x", "--scope", "root"), 1, "token.scopes"),
        (("tokens", "create", "--name", "x", "--scope", "org:read", "--expires-in", "soon"), 2, "30d"),
        (("tokens", "revoke", "17"), 1, "TOKEN_NOT_FOUND"),
        (("users", "get", "17"), 1, "USER_NOT_FOUND"),
        (("users", "create", "a b"), 1, "user.username"),
    ],
)
def test_a_refusal_is_told_in_words(stack: RunningStack, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = stack.command(*arguments)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
