"""Each law is broken by hand in a copy of a healthy database, and the doctor names law, place and both values."""

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

import laurels
from laurels.catalog_file import parse_catalog
from laurels.core.state import UserState
from laurels.doctor import LAWS, Finding, examine
from tests.conftest import BASE

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CATALOG = (
    BASE
    + """
[currencies.sparkle]
[metrics]
posts = {}
best = {}
tags = {}
[[rules]]
id = "post"
on = "post"
xp = 40
reward = { sparkle = 5 }
metrics = { posts = 1, best = { max = "data.score" }, tags = { distinct = "data.tag" } }
[[rules]]
id = "liked"
on = "like"
to = "data.author"
once_per = "data.post"
xp = 3
[[achievements]]
code = "FIRST"
when = { posts = 1 }
max_achievers = 5
[[achievements]]
code = "MANY"
when = { posts = 2 }
repeatable = true
[[quests]]
code = "daily"
type = "daily"
goals = { posts = 2 }
reward = { sparkle = 1 }
[[quests]]
code = "claimed-by-hand"
type = "special"
goals = { posts = 3 }
claim = "manual"
[[streaks]]
code = "writing"
on = "post"
freezes = { initial = 1, max = 2 }
[[leaderboards]]
code = "xp"
metric = "xp"
periods = ["weekly", "alltime"]
[[leaderboards]]
code = "best"
metric = "best"
ties = "first"
group = "team"
[[leaderboards]]
code = "level"
metric = "level"
"""
)


def no_progress(_what, _unit):
    return lambda _done, _total: None


def open_database(path, **options):
    return laurels.open(f"sqlite:///{path}", clock=lambda: NOW, **options)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """Ada posts on 18, 19 (twice) and 21 November, holds 4 sparkle and spends 2; Bob likes, and is in no group."""
    path = tmp_path_factory.mktemp("doctor") / "healthy.db"
    with open_database(path, catalog=parse_catalog(CATALOG)) as engine:
        engine.user("ada").set(groups={"team": "red"})
        engine.user("quiet").set(display_name="Never did anything")
        for number, day in enumerate((18, 19, 19, 21)):
            at = datetime(2026, 11, day, 10, number, tzinfo=UTC)
            data = {"score": 10 * number - 5, "tag": f"t{number % 2}"}
            engine.record(laurels.Event("post", user="ada", id=f"p{number}", time=at, data=data))
        engine.record(laurels.Event("like", user="bob", id="l1", data={"author": "ada", "post": "p1"}))
        engine.wallet("ada").hold("sparkle", 4, request_id="h1")
        engine.wallet("ada").hold("sparkle", 3, request_id="h2", expires_at=NOW + timedelta(days=1))
        engine.wallet("ada").release("h2", request_id="h2-back")
        engine.wallet("ada").spend("sparkle", 2, request_id="s1")
        engine.project()
    return path


@pytest.fixture
def path(healthy, tmp_path):
    return shutil.copy(healthy, tmp_path / "copy.db")


def examined(path):
    with open_database(path, create=False) as engine:
        return examine(engine, no_progress)


def execute(statement):
    def change(path):
        with sqlite3.connect(path) as database:
            assert database.execute(statement).rowcount > 0
        database.close()

    return change


def document(user, edit):
    """Change a user's document behind the engine's back."""

    def change(path):
        with sqlite3.connect(path) as database:
            (text,) = database.execute("SELECT state FROM users WHERE user_id = ?", [user]).fetchone()
            state = msgspec.json.decode(text, type=UserState)
            edit(state)
            text = msgspec.json.encode(state).decode()
            database.execute("UPDATE users SET state = ? WHERE user_id = ?", [text, user])
        database.close()

    return change


def test_a_healthy_database_keeps_every_law(path):
    report = examined(path)
    assert report.findings == []
    assert (report.healthy, report.users, report.rows, report.laws) == (True, 3, 10, dict.fromkeys(LAWS, 0))


BREAKS = [
    pytest.param(
        execute("UPDATE users SET version = 7 WHERE user_id = 'ada'"),
        Finding(law="versions", where="ada", what="version of the row", expected="9", found="7"),
        id="version-of-the-row",
    ),
    pytest.param(
        document("ada", lambda state: setattr(state, "version", 10)),
        Finding(law="versions", where="ada", what="version of the document", expected="9", found="10"),
        id="version-of-the-document",
    ),
    pytest.param(
        execute("DELETE FROM journal WHERE user_id = 'ada' AND version = 3"),
        Finding(law="versions", where="ada", what="version", expected="3", found="4"),
        id="a-gap-in-the-versions",
    ),
    pytest.param(
        execute("DELETE FROM users WHERE user_id = 'bob'"),
        Finding(law="versions", where="bob", what="the user of rows in journal", expected="a user", found="none"),
        id="rows-of-nobody",
    ),
    pytest.param(
        execute("UPDATE journal SET changes = replace(changes, '[\"x\",40,40,', '[\"x\",40,41,') WHERE version = 1"),
        Finding(law="chain", where="ada", what="xp after version 1", expected="40", found="41"),
        id="a-balance-in-the-ledger",
    ),
    pytest.param(
        document("ada", lambda state: state.balances.update(sparkle=99)),
        Finding(law="balances", where="ada", what="sparkle", expected="15", found="99"),
        id="a-balance-in-the-document",
    ),
    pytest.param(
        document("ada", lambda state: state.metrics.update(level=9)),
        Finding(law="level", where="ada", what="level", expected="2", found="9"),
        id="the-level",
    ),
    pytest.param(
        document("ada", lambda state: state.metrics.update(posts=5)),
        Finding(law="metrics", where="ada", what="posts", expected="4", found="5"),
        id="a-sum",
    ),
    pytest.param(
        document("ada", lambda state: state.metrics.update(best=26)),
        Finding(law="metrics", where="ada", what="best", expected="25", found="26"),
        id="a-best-value",
    ),
    pytest.param(
        document("ada", lambda state: state.metrics.update({"streak.writing": 4})),
        Finding(law="metrics", where="ada", what="streak.writing", expected="3", found="4"),
        id="the-longest-run",
    ),
    pytest.param(
        document("ada", lambda state: setattr(state.streaks["writing"], "freezes", 2)),
        Finding(
            law="streaks",
            where="ada",
            what="writing: length, longest, freezes",
            expected="(3, 3, 0)",
            found="(3, 3, 2)",
        ),
        id="a-streak",
    ),
    pytest.param(
        execute("DELETE FROM quest_runs WHERE quest = 'daily'"),
        Finding(law="quests", where="ada", what="completed runs", expected="('daily', '2026-11-19')", found="None"),
        id="a-quest-run",
    ),
    pytest.param(
        execute("UPDATE quest_runs SET claimed_at = 1 WHERE quest = 'claimed-by-hand'"),
        Finding(law="quests", where="ada", what="claimed runs", expected="None", found="('claimed-by-hand', 'once')"),
        id="a-claim-of-a-quest",
    ),
    pytest.param(
        document("ada", lambda state: state.unclaimed.clear()),
        Finding(
            law="quests",
            where="ada",
            what="runs to be claimed",
            expected="('claimed-by-hand', 'once')",
            found="None",
        ),
        id="a-reward-that-waits",
    ),
    pytest.param(
        document("ada", lambda state: state.completions.update(daily=2)),
        Finding(law="quests", where="ada", what="completions of daily", expected="1", found="2"),
        id="completions",
    ),
    pytest.param(
        execute("DELETE FROM unlocks WHERE achievement = 'MANY' AND times = 2"),
        Finding(
            law="unlocks", where="ada", what="MANY ×2, unlocked at", expected=f"{1795255380_000_000}", found="None"
        ),
        id="an-unlock",
    ),
    pytest.param(
        document("ada", lambda state: state.unlocks.update(MANY=3)),
        Finding(law="unlocks", where="ada", what="MANY, times in the document", expected="2", found="3"),
        id="unlocks-in-the-document",
    ),
    pytest.param(
        execute("DELETE FROM claims WHERE scope = 'liked'"),
        Finding(law="claims", where="ada", what="claims", expected="('liked', 'bob', 'p1')", found="None"),
        id="a-claim",
    ),
    pytest.param(
        execute("UPDATE claims SET value = 't9' WHERE value = 't1'"),
        Finding(law="claims", where="ada", what="claims", expected="None", found="(':tags', '', 't9')"),
        id="a-claim-too-many",
    ),
    pytest.param(
        execute("UPDATE holds SET amount = 5 WHERE hold = 'h1'"),
        Finding(
            law="holds",
            where="ada",
            what="rows of open holds",
            expected="{'h1': ('sparkle', 4)}",
            found="{'h1': ('sparkle', 5)}",
        ),
        id="a-hold",
    ),
    pytest.param(
        document("ada", lambda state: state.holds.clear()),
        Finding(
            law="holds", where="ada", what="open holds in the document", expected="{'h1': ('sparkle', 4)}", found="{}"
        ),
        id="holds-in-the-document",
    ),
    pytest.param(
        execute("DELETE FROM notifications WHERE number = 2"),
        Finding(
            law="notifications", where="ada", what="numbers", expected="[1, 2, 3, 4, 5, 6]", found="[1, 3, 4, 5, 6]"
        ),
        id="a-notification",
    ),
    pytest.param(
        execute("UPDATE achiever_counts SET taken = 2"),
        Finding(law="places", where="FIRST", what="places taken", expected="1", found="2"),
        id="places",
    ),
    pytest.param(
        execute("UPDATE standings SET score = 1 WHERE board = 'xp' AND period = 'all' AND user_id = 'ada'"),
        Finding(law="boards", where="xp all", what="standing of ada", expected="163", found="1"),
        id="a-score",
    ),
    pytest.param(
        execute("UPDATE standings SET reached_at = 7 WHERE board = 'best' AND member_of = 'red'"),
        Finding(
            law="boards",
            where="best all red",
            what="standing of ada",
            expected=f"25 reached at {1795255380_000_000}",
            found="25 reached at 7",
        ),
        id="when-a-score-was-reached",
    ),
    pytest.param(
        execute("DELETE FROM standings WHERE board = 'level'"),
        Finding(law="boards", where="level all", what="standing of ada", expected="2", found="none"),
        id="a-standing-less",
    ),
    pytest.param(
        execute("INSERT INTO standings VALUES ('xp', '2026-W47', '', 'ghost', 5, 0)"),
        Finding(law="boards", where="xp 2026-W47", what="standing of ghost", expected="none", found="5"),
        id="a-standing-too-many",
    ),
    pytest.param(
        execute("UPDATE standing_counts SET users = users + 1 WHERE board = 'xp' AND period = 'all' AND level = 1"),
        Finding(
            law="counts",
            where="xp all",
            what="users and different scores in bucket 1 of level 1 (1 of its buckets is wrong)",
            expected="(1, 0)",
            found="(2, 0)",
        ),
        id="a-count",
    ),
    pytest.param(
        execute("DELETE FROM standing_counts WHERE board = 'best'"),
        Finding(
            law="counts",
            where="best all red",
            what="users and different scores in bucket 0 of level 1 (2 of its buckets are wrong)",
            expected="(1, 0)",
            found="(0, 0)",
        ),
        id="counts-less",
    ),
]


@pytest.mark.parametrize(("change", "expected"), BREAKS)
def test_what_was_changed_by_hand_is_found_and_named(change, expected, path):
    change(path)
    report = examined(path)
    assert expected in report.findings
    assert not report.healthy
    assert report.laws[expected.law] == sum(finding.law == expected.law for finding in report.findings)


def test_every_law_is_broken_by_some_test_here():
    assert {case.values[1].law for case in BREAKS} == set(LAWS)


def test_a_new_database_is_healthy(tmp_path):
    with open_database(tmp_path / "new.db") as engine:
        assert examine(engine, no_progress).healthy


def test_boards_that_lag_behind_the_journal_or_are_new_are_healthy(path):
    with open_database(path) as engine:
        engine.record(laurels.Event("post", user="ada", id="p9", data={"score": 100}))
        board = '[[leaderboards]]\ncode = "posts"\nmetric = "posts"\n'
        engine.apply_catalog(parse_catalog(CATALOG + board))
        assert examine(engine, no_progress).findings == []
        engine.project()
        assert examine(engine, no_progress).findings == []


def test_levels_are_judged_by_the_curve_under_which_they_were_reached(path):
    """A changed curve moves nobody until their XP moves."""
    with open_database(path) as engine:
        engine.apply_catalog(parse_catalog(CATALOG.replace("base = 100", "base = 1")))
        assert examine(engine, no_progress).findings == []
        engine.record(laurels.Event("post", user="ada", id="p9"))
        assert engine.profile("ada").level > 10
        assert examine(engine, no_progress).findings == []


def test_the_doctor_changes_nothing(path):
    before = sqlite3.connect(path).execute("SELECT * FROM cursors").fetchall()
    with open_database(path) as engine:
        engine.record(laurels.Event("post", user="ada", id="p9"))
        examine(engine, no_progress)
    assert sqlite3.connect(path).execute("SELECT * FROM cursors").fetchall() == before


def test_progress_counts_users_and_standings(path):
    steps = []
    with open_database(path) as engine:
        examine(engine, lambda what, unit: lambda done, total: steps.append((what, unit, done, total)))
    assert steps == [("Examining users", "users", 3, 3), ("Comparing standings", "standings", 5, 5)]
