"""What explains that a row stands otherwise than in its file."""

from typing import Any

import msgspec
import pytest

from region_silo.verification.domain import compare, file_row
from shared.importing.changes import BY_RULE, FILLED, explained
from shared.importing.registry import ImportScope
from shared.importing.terms import Terms

_ORGANIZATION = Terms(ImportScope.ORGANIZATION)
_GLOBAL = Terms(ImportScope.GLOBAL)


def test_a_scope_explains_powers_and_passwords_and_global_scope_does_not() -> None:
    fields = {"username": "a", "flags": "1"}
    assert explained("sentry.user", _ORGANIZATION, fields, ())["is_superuser"] == BY_RULE
    assert explained("sentry.user", _ORGANIZATION, fields, ())["password"] == BY_RULE
    assert "is_superuser" not in explained("sentry.user", Terms(ImportScope.CONFIG), fields, ())
    assert explained("sentry.user", _GLOBAL, fields, ()) == {}


def test_a_hidden_organization_has_another_status() -> None:
    hidden = Terms(ImportScope.ORGANIZATION, hide_organizations=True)
    assert explained("sentry.organization", hidden, {"name": "x"}, ()) == {"slug": BY_RULE, "status": BY_RULE}
    assert explained("sentry.organization", _ORGANIZATION, {"name": "x"}, ()) == {"slug": BY_RULE}


def test_what_the_file_leaves_empty_is_filled_and_what_nobody_keeps_is_told() -> None:
    fields = {"slug": "", "flags": "0", "made_up": 1}
    assert explained("sentry.project", _GLOBAL, fields, ()) == {"slug": FILLED, "made_up": "UNKNOWN_FIELD"}
    assert explained("sentry.team", _GLOBAL, {"slug": "x", "date_added": "x", "actor": 1}, ()) == {
        "actor": "FIELD_REMOVED"
    }


def test_a_finding_explains_its_field_and_what_goes_with_it() -> None:
    told = explained("sentry.organizationmember", _GLOBAL, {"invite_status": 0}, [("TOKEN_CLEARED", "token")])
    assert (told["token"], told["token_expires_at"]) == ("TOKEN_CLEARED", "TOKEN_CLEARED")
    token = {"token": "x" * 64, "token_last_characters": "xxxx", "refresh_token": None}
    told = explained("sentry.apitoken", _GLOBAL, token, [("KEY_REPLACED", "token")])
    assert told == {"token": "KEY_REPLACED", "token_last_characters": "KEY_REPLACED"}
    assert explained("sentry.option", _GLOBAL, {"key": "a"}, [("ID_REPLACED", "pk")]) == {}


@pytest.mark.parametrize(
    ("left", "right", "is_same"),
    [
        (1, 1.0, True),
        (1, True, False),
        ([1, {"a": None}], [1, {"a": None}], True),
        ([1, {"a": None}], [1, {}], False),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ("1", 1, False),
    ],
)
def test_values_are_the_same_when_their_json_means_the_same(left: Any, right: Any, is_same: bool) -> None:
    head = {"key": "a", "last_updated": "2023-06-22T22:59:55.521Z"}
    data = msgspec.json.encode({"model": "sentry.option", "pk": 1, "fields": {**head, "value": left}})
    standing = msgspec.json.encode({**head, "value": right, "more": 1})
    found = compare("sentry.option", _GLOBAL, file_row("sentry.option", data), standing, new_pks={}, findings=())
    assert (found.differences == []) is is_same
    assert found.explained == {}
