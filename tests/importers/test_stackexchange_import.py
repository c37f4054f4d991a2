"""
A real site's history through the engine: the same badges as by counting, on the same days, and the same twice.

`test_stackexchange_oracle.py` holds the counting against the site's own record and explains every difference; here
the engine is held against both.
"""

import csv
import io
from collections import defaultdict
from datetime import UTC, datetime
from itertools import islice

import pytest

import laurels
from laurels import exporting
from laurels.core.errors import Conflict, InvalidInput
from laurels.importers.loading import Tally, import_dump, load
from laurels.importers.stackexchange import Dump
from tests.importers.dump import answer, question, up, user, write_dump
from tests.importers.test_stackexchange_oracle import FLOORS, SITE, compare, counted, first_days, site_badges

needs_site = pytest.mark.skipif(not SITE.is_dir(), reason=f"the real site's history is not at {SITE}")
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def no_progress(_what, _unit):
    return lambda _done, _total: None


def open_database(path):
    return laurels.open(f"sqlite:///{path}", first_catalog="stackexchange", clock=lambda: NOW)


def run(engine, folder):
    """Import a dump; return (recorded, repeated, left out) and what was reported."""
    reports = []
    tally = Tally(reports.append)
    with Dump(folder) as dump:
        import_dump(engine, dump, tally, no_progress)
    return (tally.recorded, tally.repeated, tally.left_out), reports


def exported(engine, what):
    out = io.StringIO()
    exporting.export(engine, what, "csv", out, no_progress)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


def everything(engine):
    """All that an import could change, as far as anybody can see it."""
    rows = {what: exported(engine, what) for what in ("achievements", "entries", "events")}
    boards = {code: engine.leaderboard(code).top(100) for code in engine.catalog.leaderboards}
    return rows, boards, engine.profiles(limit=10_000)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, imported once for all tests here."""
    with open_database(tmp_path_factory.mktemp("site") / "site.db") as engine:
        assert run(engine, SITE) == ((8_438, 0, 0), [])
        yield engine


@pytest.fixture(scope="module")
def awarded(site):
    """{badge: {user: days of its awards, the first first}}, as exported."""
    days = defaultdict(lambda: defaultdict(list))
    for row in exported(site, "achievements"):
        held = days[row["achievement"]][row["user_id"]]
        held.append(datetime.fromisoformat(row["unlocked_at"]).date())
        assert int(row["times"]) == len(held)
    return days


@needs_site
def test_the_engine_awards_what_counting_awards_to_the_same_users_on_the_same_days(awarded):
    assert {badge: dict(users) for badge, users in awarded.items()} == {
        badge: users for badge, users in counted().items() if users
    }


@needs_site
@pytest.mark.parametrize(("badge", "precision", "recall"), [(badge, *floor) for badge, floor in FLOORS.items()])
def test_badges_go_to_the_users_who_have_them_on_the_site(badge, precision, recall, awarded):
    found = compare(first_days(awarded), first_days(site_badges()))[badge]
    assert round(found.precision, 2) >= precision
    assert round(found.recall, 2) >= recall


@needs_site
def test_an_import_run_twice_changes_nothing(site):
    before = everything(site)
    assert run(site, SITE) == ((0, 8_438, 0), [])
    assert everything(site) == before


@needs_site
def test_an_import_stopped_and_run_again_ends_as_one_that_ran_through(site, tmp_path):
    def interrupted(dump):
        yield from ((event, "") for event in islice(dump.events(), 3_100))
        raise KeyboardInterrupt

    with open_database(tmp_path / "again.db") as engine:
        with Dump(SITE) as dump:
            dump.load(now=NOW, on_bad_row=pytest.fail)
            with pytest.raises(KeyboardInterrupt):
                load(engine, interrupted(dump), Tally(pytest.fail), on_batch=lambda: None)
        assert run(engine, SITE) == ((8_438 - 3_000, 3_000, 0), [])
        assert everything(engine) == everything(site)


def test_a_small_dump_becomes_users_with_names_badges_and_reputation(tmp_path):
    votes = [up(number, post=1) for number in range(1, 4)]
    folder = write_dump(
        tmp_path / "dump",
        users=[user(1, DisplayName="Ada"), user(2, DisplayName=" Bob ")],
        posts=[question(1, owner=1), answer(2, to=1, owner=2)],
        votes=votes,
    )
    with open_database(tmp_path / "small.db") as engine:
        assert run(engine, folder) == ((2 + 2 + 3, 0, 0), [])
        assert [(of.user_id, of.display_name, of.xp) for of in engine.profiles()] == [("1", "Ada", 31), ("2", "Bob", 1)]
        assert [row["achievement"] for row in exported(engine, "achievements")] == ["Student"]
        lines = engine.leaderboard("xp").top()
        assert [(line.rank, line.display_name, line.score) for line in lines] == [(1, "Ada", 31), (2, "Bob", 1)]


def test_rows_that_make_no_sense_are_reported_with_file_and_line_and_left_out(tmp_path):
    folder = write_dump(tmp_path / "dump", users=[user(1), user("x"), user(3)], posts=[question(1, owner="me")])
    with open_database(tmp_path / "bad.db") as engine:
        done, reports = run(engine, folder)
    assert done == (2, 0, 2)
    assert [report.removeprefix(f"{folder}/").partition("=")[0] for report in reports] == [
        "Users.xml:4: Id",
        "Posts.xml:3: OwnerUserId",
    ]


def test_a_database_under_another_catalog_is_left_alone(tmp_path):
    folder = write_dump(tmp_path / "dump", users=[user(1)])
    with laurels.open(f"sqlite:///{tmp_path}/other.db") as engine:
        with pytest.raises(Conflict, match="laurels catalog apply stackexchange") as caught:
            run(engine, folder)
        assert caught.value.code == "catalog_differs"
        assert engine.users() == []


def test_a_dump_that_breaks_off_records_nothing(tmp_path):
    folder = write_dump(tmp_path / "dump", users=[user(1)], posts=[question(1)])
    (folder / "Posts.xml").write_text((folder / "Posts.xml").read_text()[:-20])
    with open_database(tmp_path / "cut.db") as engine:
        with pytest.raises(InvalidInput, match=r"Posts\.xml:\d+: "):
            run(engine, folder)
        assert engine.users() == []
