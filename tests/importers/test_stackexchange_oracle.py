"""
A real site's own record of who has which badge, against what its dump earns under the bundled catalog.

`compare` takes what was awarded from anywhere: here from `counted`, a plain dict model of adding, taking a maximum and
counting different values under the rules of `stackexchange.toml`, without the engine.

The dump lacks what was deleted, so a badge may be missed, or come later than on the site. Each such difference must
have a reason that follows from the dump's own rows, read here a second time, without the importer: see `reason_for`.
"""

import tomllib
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from laurels.core.conditions import compile_condition
from laurels.importers.stackexchange import Dump

SITE = Path(__file__).parents[3] / "shared/data/stackexchange-2011"
pytestmark = pytest.mark.skipif(not SITE.is_dir(), reason=f"the real site's history is not at {SITE}")

#: Precision and recall, to two places, that a careful reading of the rules gives on this dump.
FLOORS = {
    "Student": (1, 0.97),
    "Teacher": (1, 0.97),
    "Scholar": (0.98, 0.94),
    "Editor": (1, 0.97),
    "Commentator": (1, 0.94),
    "Self-Learner": (1, 1),
    "Nice Question": (1, 1),
    "Nice Answer": (1, 0.94),
    "Good Question": (1, 1),
    "Good Answer": (1, 1),
}
#: What `left` has to reach for a badge.
NEEDED = {
    "Student": 1,
    "Teacher": 1,
    "Scholar": 1,
    "Editor": 1,
    "Commentator": 10,
    "Self-Learner": 3,
    "Nice Question": 10,
    "Nice Answer": 10,
    "Good Question": 25,
    "Good Answer": 25,
}

TOO_LITTLE_LEFT = "what is left in the dump does not earn it; the rest was deleted"
DELETED_ANSWER = "accepted an answer that was deleted since"
OWN_QUESTION = "answered only an own question, which the rule leaves out"
NIGHT_JOB = "awarded by a job that ran the day after"


# The comparison


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One badge: who has it on both sides, and who on one only. `days` are the days (ours, the site's) that differ."""

    precision: float
    recall: float
    wrong: frozenset[str]
    missed: frozenset[str]
    days: dict[str, tuple[date, date]]


def compare(awarded, oracle):
    """Compare two {badge: {user: day of the first award}}, badge by badge of the oracle."""
    return {badge: compare_one(awarded.get(badge, {}), held) for badge, held in oracle.items()}


def compare_one(awarded, held):
    both = awarded.keys() & held.keys()
    return Comparison(
        precision=len(both) / len(awarded) if awarded else 1.0,
        recall=len(both) / len(held),
        wrong=frozenset(awarded.keys() - held.keys()),
        missed=frozenset(held.keys() - awarded.keys()),
        days={user: (awarded[user], held[user]) for user in both if awarded[user] != held[user]},
    )


@cache
def site_badges():
    """The site's own {badge: {user: days, first first}}."""
    held = defaultdict(lambda: defaultdict(list))
    for row in site_rows("Badges"):
        held[row["Name"]][row["UserId"]].append(day_of(row["Date"]))
    return {badge: {user: sorted(days) for user, days in users.items()} for badge, users in held.items()}


def first_days(awards):
    return {badge: {user: days[0] for user, days in users.items()} for badge, users in awards.items()}


# What the rules of the catalog award, by counting


@cache
def site_events():
    with Dump(SITE) as dump:
        dump.load(now=datetime(2022, 1, 1, tzinfo=UTC), on_bad_row=pytest.fail)
        return tuple(dump.events())


@cache
def counted():
    """{badge: {user: days of its awards}} for all events of the site."""
    metrics, seen = Counter(), defaultdict(set)
    awards = defaultdict(lambda: defaultdict(list))
    for event in site_events():
        for metric, change in metric_changes(event):
            apply(metrics, seen, (event.user, metric), change, event.data)
        for badge in catalog()["achievements"]:
            award(awards[badge["code"]][event.user], badge, metrics, event)
    return {badge: {user: days for user, days in users.items() if days} for badge, users in awards.items()}


@cache
def catalog():
    return tomllib.loads((resources.files("laurels.catalogs") / "stackexchange.toml").read_text(encoding="utf-8"))


@cache
def rules_on(event_type):
    on = [rule for rule in catalog()["rules"] if event_type == rule["on"] or event_type in list(rule["on"])]
    return [(compile_condition(rule.get("when", "true")), rule.get("metrics", {})) for rule in on]


def metric_changes(event):
    for condition, changes in rules_on(event.type):
        if condition.check(event.data, event.user, event.type) is None:
            yield from changes.items()


def apply(metrics, seen, key, change, data):
    match change:
        case int():
            metrics[key] += change
        case {"max": path}:
            metrics[key] = max(metrics.get(key, -(2**53)), value_at(path, data))
        case {"distinct": path}:
            value = value_at(path, data)
            seen[key] |= set(value) if isinstance(value, list) else {value}
            metrics[key] = len(seen[key])


def value_at(path, data):
    return data[path.removeprefix("data.")]


def award(days, badge, metrics, event):
    ((metric, target),) = badge["when"].items()
    due = max(metrics[event.user, metric] // target, 0)
    days += [event.time.date()] * ((due if badge.get("repeatable") else min(due, 1)) - len(days))


# The dump's own rows, a second time


@cache
def site_rows(name):
    return tuple(row.attrib for row in ET.parse(SITE / f"{name}.xml").getroot())


@cache
def site_posts():
    return {row["Id"]: row for row in site_rows("Posts")}


def day_of(text):
    return date.fromisoformat(text[:10])


def best_score(wanted, until):
    """Return the highest score that a post with wanted(post) has had by the end of a day."""
    scores, best = Counter(), 0
    for vote in site_rows("Votes"):
        post = site_posts().get(vote["PostId"])
        if post is not None and wanted(post) and day_of(vote["CreationDate"]) <= until:
            scores[post["Id"]] += {"2": 1, "3": -1}.get(vote["VoteTypeId"], 0)
            best = max(best, scores[post["Id"]])
    return best


def number_of(rows, wanted, until):
    return sum(wanted(row) and day_of(row["CreationDate"]) <= until for row in rows)


def is_question(post):
    return post["PostTypeId"] == "1"


def is_answer(post):
    return post["PostTypeId"] == "2"


def is_self_answer(post):
    return is_answer(post) and site_posts()[post["ParentId"]].get("OwnerUserId") == post.get("OwnerUserId")


def left(badge, user, until):
    """Count what the dump shows of what a user had done for a badge by the end of a day."""

    def own(wanted):
        return lambda post: post.get("OwnerUserId") == user and wanted(post)

    def accepts(vote):
        answer = site_posts().get(vote["PostId"])
        return vote["VoteTypeId"] == "1" and answer is not None and own(is_question)(site_posts()[answer["ParentId"]])

    def edits(row):
        post = site_posts()[row["PostId"]]
        is_edit = row["PostHistoryTypeId"] in {"4", "5"} and (is_question(post) or is_answer(post))
        return row.get("UserId") == user and is_edit

    match badge:
        case "Student" | "Nice Question" | "Good Question":
            return best_score(own(is_question), until)
        case "Nice Answer" | "Good Answer":
            return best_score(own(is_answer), until)
        case "Teacher":
            return best_score(own(lambda post: is_answer(post) and not is_self_answer(post)), until)
        case "Self-Learner":
            return best_score(own(is_self_answer), until)
        case "Scholar":
            return number_of(site_rows("Votes"), accepts, until)
        case "Commentator":
            return number_of(site_rows("Comments"), lambda row: row.get("UserId") == user, until)
        case "Editor":
            return number_of(site_rows("PostHistory"), edits, until)


def reason_for(badge, user, ours, theirs):
    """Return why the site awarded a badge on another day than we, who may never have; None if nothing tells."""
    if ours is not None and ours < theirs:
        return NIGHT_JOB if theirs - ours == timedelta(days=1) else None
    if left(badge, user, theirs) >= NEEDED[badge]:
        return None
    if badge == "Teacher" and left("Self-Learner", user, theirs) >= NEEDED["Teacher"]:
        return OWN_QUESTION
    if badge == "Scholar" and theirs in days_of_acceptances_of_deleted_answers():
        return DELETED_ANSWER
    return TOO_LITTLE_LEFT


def days_of_acceptances_of_deleted_answers():
    votes = [vote for vote in site_rows("Votes") if vote["VoteTypeId"] == "1" and vote["PostId"] not in site_posts()]
    return {day_of(vote["CreationDate"]) for vote in votes}


# The tests


@pytest.fixture(scope="module", params=[pytest.param(counted, id="by-counting")])
def awards(request):
    """{badge: {user: days of its awards, the first first}}, by each way of finding them."""
    return request.param()


@pytest.fixture(scope="module")
def found(awards):
    return compare(first_days(awards), first_days(site_badges()))


@pytest.mark.parametrize(("badge", "precision", "recall"), [(badge, *floor) for badge, floor in FLOORS.items()])
def test_badges_go_to_the_users_who_have_them_on_the_site(badge, precision, recall, found):
    assert round(found[badge].precision, 2) >= precision
    assert round(found[badge].recall, 2) >= recall


def test_no_badge_goes_to_anybody_else(found):
    assert {badge: found[badge].wrong for badge in FLOORS} == dict.fromkeys(FLOORS, frozenset())


def test_every_user_who_misses_a_badge_is_explained(found):
    days = {(badge, user): site_badges()[badge][user][0] for badge in FLOORS for user in found[badge].missed}
    explained = {
        (badge, user): (reason_for(badge, user, None, day), left(badge, user, day))
        for (badge, user), day in days.items()
    }
    assert explained == {
        ("Student", "851"): (TOO_LITTLE_LEFT, 0),
        ("Student", "2087"): (TOO_LITTLE_LEFT, 0),
        ("Student", "4082"): (TOO_LITTLE_LEFT, 0),
        ("Teacher", "949"): (OWN_QUESTION, 0),
        ("Teacher", "6994"): (OWN_QUESTION, 0),
        ("Teacher", "15770"): (TOO_LITTLE_LEFT, 0),
        ("Scholar", "56"): (DELETED_ANSWER, 0),
        ("Editor", "2087"): (TOO_LITTLE_LEFT, 0),
        ("Editor", "13244"): (TOO_LITTLE_LEFT, 0),
        ("Commentator", "107"): (TOO_LITTLE_LEFT, 9),
        ("Commentator", "277"): (TOO_LITTLE_LEFT, 9),
        ("Nice Answer", "13100"): (TOO_LITTLE_LEFT, 9),
    }


@pytest.mark.parametrize(
    ("badge", "same_day", "other_days"),
    [
        ("Student", 98, {TOO_LITTLE_LEFT: 2, NIGHT_JOB: 1}),
        ("Teacher", 83, {TOO_LITTLE_LEFT: 3, NIGHT_JOB: 1, OWN_QUESTION: 1}),
        ("Scholar", 46, {TOO_LITTLE_LEFT: 3}),
        ("Editor", 72, {}),
        ("Commentator", 19, {TOO_LITTLE_LEFT: 5, NIGHT_JOB: 5}),
        ("Self-Learner", 10, {TOO_LITTLE_LEFT: 1}),
        ("Nice Question", 17, {TOO_LITTLE_LEFT: 4}),
        ("Nice Answer", 15, {TOO_LITTLE_LEFT: 2}),
        ("Good Question", 1, {}),
        ("Good Answer", 1, {TOO_LITTLE_LEFT: 1}),
    ],
)
def test_badges_are_of_the_day_they_have_on_the_site_and_every_other_day_is_explained(
    badge, same_day, other_days, found, awards
):
    days = found[badge].days
    assert Counter(reason_for(badge, user, *both) for user, both in days.items()) == other_days
    assert len(awards[badge]) - len(days) == same_day


@pytest.mark.parametrize(
    ("badge", "ours", "theirs"),
    [("Nice Question", 34, 37), ("Nice Answer", 39, 41), ("Good Question", 3, 3), ("Good Answer", 3, 3)],
)
def test_a_badge_for_a_post_is_awarded_again_for_another_and_never_more_often_than_on_the_site(
    badge, ours, theirs, awards
):
    times, held = ({user: len(days) for user, days in users.items()} for users in (awards[badge], site_badges()[badge]))
    assert {user: number for user, number in times.items() if number > held[user]} == {}
    assert (sum(times.values()), sum(held.values())) == (ours, theirs)


@pytest.mark.parametrize("badge", ["Organizer", "Strunk & White"])
def test_the_catalogs_further_badges_go_to_exactly_the_same_users_too(badge, found):
    assert (found[badge].precision, found[badge].recall) == (1, 1)


def test_every_event_carries_what_the_catalog_declares_for_its_type():
    declared = {type_: events.get("data", {}) for type_, events in catalog()["events"].items()}
    carried = defaultdict(set)
    for event in site_events():
        carried[event.type].add(tuple((name, type(value).__name__) for name, value in event.data.items()))
    assert {type_: [dict(fields) for fields in seen] for type_, seen in carried.items()} == {
        type_: [fields] for type_, fields in declared.items()
    }


def test_the_same_dump_gives_the_same_events_and_no_user_an_id_twice():
    events = site_events()
    assert site_events.__wrapped__() == events
    assert len({(event.user, event.id) for event in events}) == len(events) == 8_438
