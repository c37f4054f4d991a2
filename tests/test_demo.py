"""The demo: the same community for the same seed and day, a tour that shows it, never in somebody else's database."""

import io
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from rich.console import Console

import laurels
from laurels import demo, terminal
from laurels.catalog_file import load_catalog
from laurels.core.errors import Conflict
from laurels.demo import DAYS, GUIDE, PEOPLE, Community
from laurels.doctor import examine

TODAY = date(2026, 11, 22)


def no_progress(_what, _unit):
    return lambda _done, _total: None


def events(seed, until=TODAY):
    return [event for _, event in Community(seed, until).events()]


def shown(tour, width=110):
    console = Console(width=width, file=io.StringIO())
    for part in terminal.tour(tour, "laurels"):
        console.print(part)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('demo')}/demo.db"


@pytest.fixture(scope="module")
def tour(url):
    """The demo, built once for all tests here."""
    return demo.build(url, None, no_progress, today=TODAY)


# The community


def test_the_same_seed_and_day_give_the_same_events():
    assert events(3) == events(3)


def test_another_seed_gives_another_community():
    assert events(3) != events(4)


def test_the_community_lives_for_six_weeks_until_yesterday():
    times = [event.time for event in events(3)]
    assert min(times) < datetime(2026, 10, 13, tzinfo=UTC)
    assert datetime(2026, 11, 21, 12, tzinfo=UTC) < max(times) < datetime(2026, 11, 22, tzinfo=UTC)
    assert all(before <= after for before, after in pairwise(times))


def test_no_two_events_share_an_id():
    ids = [event.id for event in events(3)]
    assert len(set(ids)) == len(ids) > 3_000


def test_everything_that_somebody_reacts_to_was_there_before():
    made = {}
    for event in events(3):
        for name in ("target", "post", "comment"):
            thing = event.data.get(name)
            if thing is not None and thing != event.id:
                assert made[thing] <= event.time
        made[event.id] = event.time


def test_everybody_does_something_and_all_kinds_of_things_are_done():
    assert {event.user for event in events(3)} == {person.id for person in PEOPLE}
    assert {event.type for event in events(3)} == {
        "user.login",
        "post.created",
        "post.featured",
        "comment.created",
        "comment.helpful",
        "reaction.added",
        "user.followed",
    }


# The tour


def test_the_tour_shows_boards_with_movement_a_profile_and_an_outcome_that_tells(tour):
    weekly, alltime, _ = tour.boards
    assert (weekly[1].kind, weekly[1].key, alltime[1].kind) == ("weekly", "2026-W47", "alltime")
    assert any(line.movement for line in weekly[2])
    assert tour.profile.user_id == GUIDE
    assert len({view.rarity for view in tour.achievements if view.unlocked}) >= 5
    types = {change.type for change in tour.outcome.changes}
    assert types >= {"xp.awarded", "level.reached", "achievement.unlocked", "metric.changed"}
    assert any(skip.retry_at for skip in tour.outcome.skipped)


def test_the_guides_streak_is_unbroken_thanks_to_freezes(tour):
    assert (tour.profile.streaks["login"].length, tour.profile.streaks["login"].longest) == (DAYS - 3, DAYS - 3)
    assert [day.status for day in tour.streak_days].count("frozen") == 3


def test_notifications_are_told_when_things_happen(tour):
    days = {told.created_at.date() for told in tour.notifications}
    assert days <= {date(2026, 11, 22) - timedelta(days=back) for back in range(1, 5)}


def test_what_is_shown_names_everything_and_says_what_to_type_next(tour, url):
    text = shown(tour, width=300)
    for part in ("Mira Lindqvist", "Level", "Rising Star", "legendary", "❄", "Notifications", "again from", "Why?"):
        assert part in text
    commands = [line for line in text.splitlines() if line.startswith("laurels ")]
    assert len(commands) == 6
    assert all(f"--database {url}" in command for command in commands)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_tour_fits_into_narrow_and_wide_terminals(width, tour):
    # What to type stands on one line whatever its length, so that it can be copied.
    lines = [line for line in shown(tour, width).splitlines() if "--database" not in line]
    assert max(map(len, lines)) <= width


def test_the_doctor_finds_the_community_in_good_health(tour, url):
    with laurels.open(url, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC)) as engine:
        report = examine(engine, no_progress)
    assert (report.healthy, report.findings) == (True, [])


# The database


def test_a_second_run_finds_the_community_and_records_nothing_twice(tour, url):
    again = demo.build(url, None, no_progress, today=TODAY + timedelta(days=3))
    assert (again.new_events, again.events) == (0, tour.events)
    assert (again.until, again.profile, again.boards) == (tour.until, tour.profile, tour.boards)
    assert again.outcome.changes == tour.outcome.changes


def test_the_same_seed_and_day_give_the_same_database_also_in_one_that_was_only_made(tour, tmp_path):
    url = f"sqlite:///{tmp_path}/other.db"
    laurels.open(url).close()
    other = demo.build(url, tour.seed, no_progress, today=TODAY)
    assert (other.profile, other.boards, other.outcome) == (tour.profile, tour.boards, tour.outcome)


def test_a_run_that_was_stopped_is_finished_by_the_next(tour, tmp_path):
    url = f"sqlite:///{tmp_path}/stopped.db"

    def stop_in_the_middle(_what, _unit):
        def step(done, _total):
            if done == DAYS // 2:
                raise KeyboardInterrupt

        return step

    with pytest.raises(KeyboardInterrupt):
        demo.build(url, None, stop_in_the_middle, today=TODAY)
    finished = demo.build(url, None, no_progress, today=TODAY)
    assert 0 < finished.new_events < finished.events == tour.events
    assert finished.profile == tour.profile


@pytest.mark.parametrize(
    ("prepare", "seed", "expected"),
    [
        pytest.param(lambda engine: engine.user("ada").set(), None, "is in use: 1 users", id="somebody-is-there"),
        pytest.param(
            lambda engine: engine.apply_catalog(load_catalog("stackexchange")),
            None,
            "under the catalog 'Stack Exchange'",
            id="another-catalog",
        ),
    ],
)
def test_a_database_that_is_in_use_is_left_alone(prepare, seed, expected, tmp_path):
    url = f"sqlite:///{tmp_path}/used.db"
    with laurels.open(url) as engine:
        prepare(engine)
        users = engine.users()
    with pytest.raises(Conflict, match="Give the demo a database of its own") as caught:
        demo.build(url, seed, no_progress)
    assert expected in str(caught.value)
    with laurels.open(url) as engine:
        assert engine.users() == users


def test_a_demo_of_another_seed_is_left_alone(tour, url):
    with pytest.raises(Conflict, match="holds the demo of seed 7"):
        demo.build(url, 8, no_progress)
