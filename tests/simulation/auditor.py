"""
What must be true at the end of a run, whatever happened in it: the laws, and that everybody was told the truth.

What is stored is held against itself by `doctor`, which shares nothing with `decide`, and against the same requests
decided once more, alone and one after the other in the order of the journal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from types import SimpleNamespace

import msgspec

from laurels import doctor
from laurels.core.catalog import Catalog
from laurels.core.changes import Outcome
from laurels.core.decide import JournalRow
from laurels.core.requests import receive
from laurels.engine import _decide_units
from laurels.lanes import Unit
from tests.laws.world import World
from tests.simulation import workload
from tests.simulation.memory import Server
from tests.simulation.simulation import Key, Simulation, Told
from tests.simulation.stand_ins import parsed_once

COLUMNS = ", ".join(JournalRow.__struct_fields__)


def simulate(seed: int) -> Simulation:
    """Run a seed to its end, and audit it; raise what went wrong."""
    run = Simulation(seed)
    run.run()
    audit(run)
    return run


def audit(run: Simulation) -> None:
    """Raise AssertionError for the first law that is broken; the slow doctor is asked only where there are boards."""
    server, told = run.server, run.told
    assert not server.open, "a transaction was left open"
    assert not server.locks, "a lock was left behind"
    rows = [JournalRow(*row) for row in server.query(f"SELECT {COLUMNS} FROM journal ORDER BY seq")]
    catalogs = {
        number: replace(parsed_once(source, format="json"), revision=number)
        for number, source in server.query("SELECT revision, source FROM catalog_revisions")
    }
    world = replayed(rows, told, catalogs)
    assert_stored_as_replayed(server, rows, world)
    assert_everybody_heard_the_truth(told, world, lost_commits=server.lost_commits)
    assert_together_or_not_at_all(told, world)
    assert_what_was_answered_first_came_first(rows, told)
    if not server.lost_commits:  # What was refused in a commit without an answer is decided once more, after the rest.
        assert_what_was_handed_over_first_came_first(rows, told)
    assert_catalogs_act_from_then_on(rows, told)
    newest = catalogs[max(catalogs)]
    assert_no_place_was_given_twice(server, newest)
    if run.has_boards:
        assert_the_doctor_finds_nothing(server, newest)


def replayed(rows: list[JournalRow], told: Told, catalogs: dict[int, Catalog]) -> World:
    """Return the world in which the journal's requests came one after the other."""
    world = World(catalogs[1])
    for row in rows:
        assert (row.actor_id, row.request_id) in told.requests, f"nobody sent {row.request_id} of {row.actor_id}"
        if row.user_id == row.actor_id:
            request = told.requests[row.actor_id, row.request_id]
            unit = Unit([receive(request, row.time, future_max=workload.DAY)])
            catalog = catalogs[row.revision]
            context, answers, decisions = _decide_units(world, [unit], catalog, row.recorded_at)
            key = (row.actor_id, row.request_id)
            assert isinstance(answers[0], list), f"{key} is in the journal; alone it is refused: {answers[0]}"
            assert decisions, f"{key} is in the journal twice"
            world.save(decisions, context.states)
    return world


def assert_stored_as_replayed(server: Server, rows: list[JournalRow], world: World) -> None:
    of_user = defaultdict(list)
    for row in rows:
        of_user[row.user_id].append(row)
    for user_id, found in of_user.items():
        assert [row.version for row in found] == list(range(1, len(found) + 1)), f"versions of {user_id}"
        for row, expected in zip(found, world.journal[user_id], strict=True):
            assert row == expected, f"{row.user_id} {row.version}:\n{row}\nis, one by one,\n{expected}"
    documents = dict(server.query("SELECT user_id, state FROM users WHERE state <> ''"))
    assert {user_id: document.encode() for user_id, document in documents.items()} == world.documents


def assert_everybody_heard_the_truth(told: Told, world: World, *, lost_commits: int) -> None:
    """
    Every answer is what the journal says, what nobody was told of is not in it, and one sender was told `applied`.

    Whose connection broke in a commit cannot tell whether it was this or another's equal request that was applied.
    """
    applied: Counter[Key] = Counter()
    accepted = set()
    for answer in told.answers:
        if isinstance(answer.told, Outcome):
            assert world.requests.get(answer.key), f"{answer.key} was answered and is not in the journal"
            stored = world._recorded(answer.key).outcome
            heard = msgspec.structs.replace(answer.told, status="applied")
            assert heard == stored, f"{answer.key}: a sender heard\n{heard}\nstored is\n{stored}"
            applied[answer.key] += answer.told.status == "applied"
            accepted.add(answer.key)
    twice = [key for key, times in applied.items() if times > 1]
    assert not twice or lost_commits, f"more than one sender was told to have applied {twice}"
    surplus = world.requests.keys() - accepted - told.unknown
    assert not surplus, f"in the journal although nobody was told so: {surplus}"


def assert_together_or_not_at_all(told: Told, world: World) -> None:
    for keys in told.together:
        found = [key for key in keys if key in world.requests]
        assert len(found) in (0, len(keys)), f"only {found} of {keys}"


def assert_what_was_answered_first_came_first(rows: list[JournalRow], told: Told) -> None:
    """Who sends after an answer stands after it, in the version of every user whom both concern."""
    answered: dict[Key, int] = {}
    for answer in reversed(told.answers):
        if isinstance(answer.told, Outcome):
            answered[answer.key] = answer.step
    earliest: dict[str, tuple[int, Key]] = {}
    for row in reversed(rows):
        key = (row.actor_id, row.request_id)
        step, later = earliest.get(row.user_id, (told.sent[key], key))
        assert step >= told.sent[key], f"{later} was answered before {key} was sent, and stands after it"
        if key in answered:
            earliest[row.user_id] = min((answered[key], key), earliest.get(row.user_id, (answered[key], key)))


def assert_what_was_handed_over_first_came_first(rows: list[JournalRow], told: Told) -> None:
    """What one sender hands over without waiting for answers is recorded in that order, for each user by itself."""
    versions = {(row.actor_id, row.request_id): row.version for row in rows if row.user_id == row.actor_id}
    for keys in told.in_order:
        of_user = defaultdict(list)
        for key in keys:
            of_user[key[0]].append(versions[key])
        for user_id, found in of_user.items():
            assert found == sorted(found), f"{user_id}: {keys} became versions {found}"


def assert_catalogs_act_from_then_on(rows: list[JournalRow], told: Told) -> None:
    for row in rows:
        sent = told.sent[row.actor_id, row.request_id]
        newest = max((number for step, number in told.catalogs if step < sent), default=1)
        assert row.revision >= newest, f"{row.request_id} was decided under {row.revision}, sent under {newest}"


def assert_no_place_was_given_twice(server: Server, newest: Catalog) -> None:
    for code, taken in server.query("SELECT achievement, taken FROM achiever_counts"):
        assert taken <= (newest.achievements[code].max_achievers or 0), f"{taken} places of {code} are taken"


def assert_the_doctor_finds_nothing(server: Server, newest: Catalog) -> None:
    projector = SimpleNamespace(kept_in_redis=dict)  # There is none.
    reader = SimpleNamespace(catalog=newest, read=server.engine.connect, projector=projector)
    report = doctor.examine(reader, lambda *_: lambda *_: None)
    assert report.healthy, [msgspec.to_builtins(finding) for finding in report.findings]
