"""
The door to sharding: with every table of users split by `user_id`, the whole write path works as before, and no
statement on it looks for a row without saying whose it is.
"""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

import laurels
from laurels import Event
from laurels.catalog_file import load_catalog, parse_catalog
from laurels.store.postgres import WRITER_OPTIONS
from tests.conftest import BASE

TABLES = ("users", "journal", "claims", "unlocks", "quest_runs", "notifications", "holds", "profiles")
PARTS = 4

CATALOG = (
    BASE
    + """
[currencies.coin]
[metrics]
posts = {}
tags = {}
[[rules]]
id = "post"
on = "post.created"
xp = 60
metrics = { posts = 1, tags = { distinct = "data.tags" } }
reward = { coin = 20 }
[[rules]]
id = "first"
on = "post.created"
xp = 5
limit = { times = 1, per = "day" }
[[rules]]
id = "like"
on = "post.liked"
to = "data.author"
xp = 2
once_per = "data.post"
[[achievements]]
code = "WRITER"
name = "Writer"
when = { posts = 2 }
max_achievers = 2
[[quests]]
code = "daily"
name = "Daily"
type = "daily"
goals = { posts = 1 }
reward = { coin = 5 }
claim = "manual"
[[streaks]]
code = "days"
on = ["post.created"]
every = "day"
"""
)


def split(url):
    """Make every table of users anew, split by user; the views on them come back as they were."""
    with psycopg.connect(url, options="-c search_path=laurels") as connection:
        views = {
            name: connection.execute("SELECT pg_get_viewdef(%s::regclass)", [name]).fetchone()[0]
            for name in ("entries", "balances")
        }
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
            connection.execute(f"CREATE TABLE {table} (LIKE old_{table} INCLUDING ALL) PARTITION BY HASH (user_id)")
            for part in range(PARTS):
                connection.execute(
                    f"CREATE TABLE {table}_{part} PARTITION OF {table}"
                    f" FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {part})"
                )
            connection.execute(f"DROP TABLE old_{table} CASCADE")
        for name, query in views.items():
            connection.execute(f"CREATE VIEW {name} AS {query}")


def write_everything(url):
    """Take every way of writing there is."""
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def post(user, number, at=noon):
        return Event("post.created", user=user, id=f"post-{number}", time=at, data={"tags": ["a", f"t{number}"]})

    with laurels.open(url, catalog=parse_catalog(CATALOG), clock=lambda: noon + timedelta(days=1)) as engine:
        engine.record([post(user, number) for user in ("ada", "bob", "eve") for number in range(3)])
        engine.record(post("ada", 0))  # A duplicate.
        for number in range(3):
            engine.record(
                Event("post.liked", user="bob", id=f"like-{number}", data={"author": "ada", "post": "p"}, time=noon)
            )
        engine.record(Event("post.liked", user="bob", id="like-0", data={"author": "ada", "post": "p"}, time=noon))
        for days in range(1, 15):  # Late ones, further back than a document remembers.
            engine.record(post("ada", 100 + days, noon - timedelta(days=days)))
        wallet = engine.wallet("ada")
        wallet.credit("coin", 100, request_id="credit", source="shop", source_id="1")
        wallet.spend("coin", 30, request_id="spend")
        wallet.refund("spend", 10, request_id="refund")
        wallet.transfer("coin", 10, to="bob", request_id="transfer")
        wallet.hold("coin", 10, request_id="hold")
        wallet.capture("hold", 5, request_id="capture")
        wallet.hold("coin", 10, request_id="hold-2")
        wallet.release("hold-2", request_id="release")
        with pytest.raises(laurels.LaurelsError):
            wallet.capture("hold", request_id="capture-2")
        engine.user("ada").quest("daily").claim(request_id="claim", period="2026-11-20")
        engine.award_xp("new", 5, request_id="award")
        engine.user("ada").set(display_name="Ada", opted_out=True)
        engine.user("ada").mark_read()
        with psycopg.connect(url) as connection:
            engine.record(post("eve", 9), connection=connection)
        return [engine.profile(user) for user in ("ada", "bob", "eve", "new")], engine.user("ada").ledger()


def scans(node, joined_on=""):
    """Yield the tables that a plan reads, each with all conditions on its rows."""
    joined_on += node.get("Join Filter", "")
    if "Relation Name" in node and "Scan" in node["Node Type"]:
        yield node["Relation Name"].rsplit("_", 1)[0], node.get("Index Cond", "") + node.get("Filter", "") + joined_on
    for inner in node.get("Plans", ()):
        yield from scans(inner, joined_on)


def test_the_whole_write_path_names_the_user(postgres_url, monkeypatch):
    laurels.open(postgres_url).close()
    split(postgres_url)
    seen = {}
    real = psycopg.Cursor.execute

    def execute(self, query, params=None, **options):
        seen.setdefault(str(query), params)
        return real(self, query, params, **options)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Cursor, "execute", execute)
        write_everything(postgres_url)
    plannable = ("SELECT", "UPDATE", "INSERT", "DELETE")
    statements = [(query, params) for query, params in seen.items() if query.split()[0] in plannable]
    blind, looked_at = [], set()
    with psycopg.connect(postgres_url, options=WRITER_OPTIONS) as connection:
        for query, params in statements:
            try:
                ((plan,),) = connection.execute("EXPLAIN (FORMAT JSON) " + query, params).fetchall()
            except psycopg.errors.SyntaxError:
                continue  # A statement that has no plan.
            for table, conditions in scans(plan[0]["Plan"]):
                if table in TABLES:
                    looked_at.add(table)
                    if "user_id" not in conditions:
                        blind.append((query, table, conditions))
    assert blind == []
    assert looked_at >= {"users", "journal", "claims", "quest_runs", "holds", "notifications"}


def test_split_tables_hold_what_whole_ones_do(postgres_databases):
    whole, in_parts = postgres_databases.lend(), postgres_databases.lend()
    laurels.open(in_parts).close()
    split(in_parts)
    assert write_everything(in_parts) == write_everything(whole)


def test_the_test_can_fail(postgres_url):
    """A query that does not say whose rows it wants reads every part."""
    laurels.open(postgres_url, catalog=load_catalog("community")).close()
    split(postgres_url)
    with psycopg.connect(postgres_url, options=WRITER_OPTIONS) as connection:
        query = "EXPLAIN (FORMAT JSON) SELECT 1 FROM journal WHERE request_id = 'x'"
        ((plan,),) = connection.execute(query).fetchall()
    found = list(scans(plan[0]["Plan"]))
    assert len(found) == PARTS
    assert all("user_id" not in conditions for _, conditions in found)
