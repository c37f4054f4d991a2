"""Keys: what they are made of, what is stored of them, and who makes the first."""

from __future__ import annotations

import os
import string
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE

import pytest
from sqlalchemy import select

import laurels
from laurels import audit, keys
from laurels.core.errors import Conflict, InvalidInput, Unknown
from laurels.store.tables import metadata
from tests.conftest import on_sqlite_alone

ACTOR = "tests"
SOURCE = Path(laurels.__file__).parents[1]


def test_a_key_says_what_it_is_and_whether_it_was_mistyped():
    key_id, key = keys._new_key()
    prefix, shown, secret = key.split("_")
    assert (prefix, shown) == ("lrl", key_id)
    assert len(secret) == keys.SECRET_CHARACTERS + keys.CHECK_CHARACTERS
    assert 62**keys.SECRET_CHARACTERS > 2**256
    assert keys.key_id_of(key) == key_id
    for place in range(len(key)):
        for other in (string.ascii_letters[place % 52], "é", "_", " "):
            if other != key[place]:
                assert keys.key_id_of(key[:place] + other + key[place + 1 :]) is None
    assert keys.key_id_of(key[:-1]) is keys.key_id_of(key + "0") is keys.key_id_of("") is None


def test_what_is_stored_of_keys_lets_nobody_in(open_engine):
    engine = open_engine()
    made = [keys.create(engine, "one", ["admin"], actor=ACTOR)]
    made.append(keys.rotate(engine, made[0].id, overlap_s=60, actor=ACTOR))
    keys.revoke(engine, made[0].id, actor=ACTOR)
    with engine.read() as connection:
        told = repr([list(connection.execute(select(table))) for table in metadata.sorted_tables])
    secrets = [key.key.split("_")[2][: keys.SECRET_CHARACTERS] for key in made]
    assert all(key.id in told for key in made)
    assert all(secret not in told for secret in secrets)
    assert all(secret not in repr(keys.every(engine)) for secret in secrets)


@on_sqlite_alone
def test_no_file_of_the_database_holds_a_key(open_engine, tmp_path):
    made = keys.create(open_engine(), "one", ["admin"], actor=ACTOR)
    secret = made.key.split("_")[2].encode()
    contents = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert made.id.encode() in contents
    assert secret[: keys.SECRET_CHARACTERS] not in contents


#: Opens the database, says so, and makes the first key when it is told to.
STARTING = """
import sys, laurels
from laurels import keys
with laurels.open(sys.argv[1]) as engine:
    print("ready", flush=True)
    sys.stdin.readline()
    made = keys.create_first(engine)
    print(made.id if made else "none")
"""


def test_processes_that_start_at_once_make_one_first_key(database_url, open_engine):
    command = [sys.executable, "-c", STARTING, database_url]
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    started = [subprocess.Popen(command, env=environment, stdin=PIPE, stdout=PIPE, text=True) for _ in range(3)]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=60)[0].strip() for process in started]
    engine = open_engine()
    (key,) = keys.every(engine)
    assert sorted(told) == sorted(["none", "none", key.id])
    assert key.scopes == ("admin",)
    keys.revoke(engine, key.id, actor=ACTOR)
    assert keys.create_first(engine) is None, "a revoked first key is no reason for another"


def test_a_rotated_key_and_its_successor_are_both_good_for_a_while(open_engine, clock):
    engine = open_engine()
    old = keys.create(engine, "shop", ["ingest", "read"], actor=ACTOR)
    new = keys.rotate(engine, old.id, overlap_s=60, actor=ACTOR)
    assert (new.name, new.scopes, new.expires_at) == ("shop", ("ingest", "read"), None)
    assert good(engine, old.key)
    assert good(engine, new.key)
    clock.advance(seconds=59)
    assert good(engine, old.key)
    clock.advance(seconds=1)
    assert not good(engine, old.key)
    assert good(engine, new.key)
    with pytest.raises(Conflict, match="revoked or has expired"):
        keys.rotate(engine, old.id, overlap_s=60, actor=ACTOR)
    assert {key.id: key.replaced_by for key in keys.every(engine)} == {old.id: new.id, new.id: None}


@on_sqlite_alone
def test_a_key_that_ends_is_rotated_into_one_that_lasts_as_long(open_engine, clock):
    engine = open_engine()
    old = keys.create(engine, "guest", ["read"], expires_at=clock() + timedelta(days=30), actor=ACTOR)
    clock.advance(days=29)
    new = keys.rotate(engine, old.id, overlap_s=7 * 86_400, actor=ACTOR)
    assert new.expires_at == clock() + timedelta(days=30)
    clock.advance(days=1)
    assert not good(engine, old.key), "the overlap does not make it last longer"


@on_sqlite_alone
def test_a_key_is_rotated_once(open_engine):
    engine = open_engine()
    old = keys.create(engine, "shop", ["read"], actor=ACTOR)
    keys.rotate(engine, old.id, overlap_s=60, actor=ACTOR)
    with pytest.raises(Conflict) as caught:
        keys.rotate(engine, old.id, overlap_s=60, actor=ACTOR)
    assert caught.value.code == "key_rotated"


@on_sqlite_alone
def test_what_cannot_be_a_key_is_refused(open_engine, clock):
    engine = open_engine()
    for code, call in (
        ("unknown_scope", lambda: keys.create(engine, "x", ["reed"], actor=ACTOR)),
        ("unknown_scope", lambda: keys.create(engine, "x", [], actor=ACTOR)),
        ("invalid_text", lambda: keys.create(engine, " ", ["read"], actor=ACTOR)),
        ("time_in_past", lambda: keys.create(engine, "x", ["read"], expires_at=clock(), actor=ACTOR)),
        ("invalid_overlap", lambda: keys.rotate(engine, "x", overlap_s=-1, actor=ACTOR)),
        ("unknown_key", lambda: keys.rotate(engine, "x", overlap_s=1, actor=ACTOR)),
        ("unknown_key", lambda: keys.revoke(engine, "x", actor=ACTOR)),
    ):
        with pytest.raises((InvalidInput, Unknown)) as caught:
            call()
        assert caught.value.code == code
    assert keys.every(engine) == []


def test_every_act_with_keys_is_in_the_audit_log_once(open_engine):
    engine = open_engine()
    first = keys.create_first(engine)
    assert first is not None
    new = keys.rotate(engine, first.id, overlap_s=0, actor="cli")
    keys.revoke(engine, new.id, actor=first.id)
    keys.revoke(engine, new.id, actor=first.id)
    with engine.read() as connection:
        acts = [(act.actor, act.action, act.target) for act in audit.acts(connection, limit=10)]
    assert acts == [
        (first.id, "key.revoked", new.id),
        ("cli", "key.rotated", first.id),
        ("serve", "key.created", first.id),
    ]


def good(engine: laurels.Engine, key: str) -> bool:
    with engine.read() as connection:
        proof = keys.proofs(connection).get(keys.key_id_of(key) or "")
    return proof is not None and proof.holds(key, engine.now())
