"""Keys from the command line: made and shown once, listed without their secret, rotated, revoked."""

import re
from contextlib import closing
from datetime import UTC, datetime

import pytest

import laurels as package
from laurels import keys


def made(laurels, *arguments):
    return laurels("keys", "create", *arguments, "--json").json


def proofs():
    """The proofs that a service would go by."""
    with closing(package.open("sqlite:///laurels.db")) as engine, engine.read() as connection:
        return keys.proofs(connection), engine.now()


def test_a_key_is_made_with_its_scopes_and_shown_once(laurels):
    done = laurels("keys", "create", "shop", "--scope", "read", "--scope", "ingest")
    assert done.code == 0
    key = re.search(r"^lrl_(\w{12})_\w+$", done.out, re.MULTILINE)
    found, now = proofs()
    assert found[key[1]].holds(key[0], now)
    assert found[key[1]].scopes == {"read", "ingest"}
    listed = laurels("keys", "list").out
    assert key[1] in listed
    assert key[0] not in listed
    assert "never used" in listed


def test_a_key_can_end_by_itself(laurels):
    expires_at = made(laurels, "shop", "--scope", "admin", "--expires", "2999-01-01T00:00:00Z")["expires_at"]
    assert datetime.fromisoformat(expires_at) == datetime(2999, 1, 1, tzinfo=UTC)
    assert "good until Tue 01 Jan 2999" in laurels("keys", "list").out


def test_a_rotated_key_stays_good_for_a_while_beside_the_new_one(laurels):
    old = made(laurels, "shop", "--scope", "wallet")
    new = laurels("keys", "rotate", old["id"], "--overlap", "60", "--json").json
    found, now = proofs()
    assert (new["name"], new["scopes"]) == ("shop", ["wallet"])
    assert found[new["id"]].holds(new["key"], now)
    assert found[old["id"]].holds(old["key"], now + 59_000_000)
    assert not found[old["id"]].holds(old["key"], now + 61_000_000)


def test_a_revoked_key_is_refused(laurels):
    key = made(laurels, "shop", "--scope", "admin")
    assert "refused from now on" in laurels("keys", "revoke", key["id"]).out
    assert proofs()[0] == {}
    assert "revoked" in laurels("keys", "list").out
    (listed,) = laurels("keys", "list", "--json").json["items"]
    assert listed["revoked_at"] is not None
    assert "key" not in listed


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        pytest.param(["create", "shop"], 2, "--scope", id="no-scope"),
        pytest.param(["create", "shop", "--scope", "rread"], 1, "did you mean 'read'?", id="scope"),
        pytest.param(["create", "", "--scope", "read"], 1, "name", id="name"),
        pytest.param(["create", "shop", "--scope", "read", "--expires", "soon"], 2, "--expires", id="expires"),
        pytest.param(["revoke", "4fT0qPzRm81x"], 1, "There is no key '4fT0qPzRm81x'", id="revoke-unknown"),
        pytest.param(["rotate", "4fT0qPzRm81x"], 1, "There is no key '4fT0qPzRm81x'", id="rotate-unknown"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, code, expected, laurels):
    laurels("init")
    done = laurels("keys", *arguments)
    assert (done.code, expected in done.err) == (code, True), done.err


def test_listing_keys_makes_no_database(laurels, folder):
    assert laurels("keys", "list").code == 1
    assert list(folder.iterdir()) == []
