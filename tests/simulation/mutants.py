"""
Bugs on purpose. The simulation is worth something only if it finds them: each within a few hundred seeds.

A mutant puts something in the place of what is right, in the engine, in its lanes or in the store, while it is planted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

import msgspec

from laurels import engine, lanes
from laurels.leaderboards import projector
from laurels.store import batch, tail
from tests.simulation.memory import MemoryTransaction

Plant = Callable[[], AbstractContextManager[object]]


def instead(where: object, name: str, wrong: object) -> Plant:
    """Return what puts something wrong in the place of an attribute."""
    return lambda: patch.object(where, name, wrong)


# --- The store --------------------------------------------------------------------------------------------------------


def lock_nobody(self, user_ids, *, waiting_for=()):
    """Leave users unlocked, so that two batches decide on the same state."""
    self._make_users(sorted(user_ids))
    return ()


_lock = MemoryTransaction.lock


def lock_all_but_one(self, user_ids, *, waiting_for=()):
    """Lock everybody but the last."""
    *most, _ = sorted(user_ids)
    return _lock(self, most, waiting_for=waiting_for)


_documents = MemoryTransaction._documents


@contextmanager
def documents_read_early() -> Iterator[None]:
    """Read the documents, then lock: what is committed in between is lost."""

    def lock(self, user_ids, *, waiting_for=()):
        self.read_early = _documents(self, user_ids)
        return _lock(self, user_ids, waiting_for=waiting_for)

    def documents(self, _user_ids):
        return self.read_early

    with patch.object(MemoryTransaction, "lock", lock), patch.object(MemoryTransaction, "_documents", documents):
        yield


def places_without_asking(self, drafts, catalog):
    """Take places whether they are still there or not."""
    codes = sorted({code for draft in drafts for code in draft.places_taken})
    taken = self._places(codes)
    given = [(code, taken[code] + sum(d.places_taken.count(code) for d in drafts)) for code in codes]
    self._change("UPDATE achiever_counts SET taken = CAST(k.b AS integer) FROM {keys} WHERE achievement = k.a", given)
    return True


def places_without_a_lock(self, codes):
    """Read how many places are taken without keeping others from taking one."""
    self.writes.append(("INSERT INTO achiever_counts VALUES (?, 0) ON CONFLICT DO NOTHING", [(c,) for c in codes]))
    return dict.fromkeys(codes, 0) | dict(self._rows("SELECT achievement, taken FROM achiever_counts"))


def nothing_is_known(self, context, keys):
    """Never find a request that was recorded before."""


def settled_at_what_is_seen(self, connection):
    """Take the largest number that was drawn for the end of the journal, whatever is still open."""
    return connection.scalar(tail._LAST_VALUE)


# --- The lanes --------------------------------------------------------------------------------------------------------

_leave = lanes.Lane._leave_for_later


def forget_the_last(self, units, *, waited):
    """Forget one of several units whose users were busy."""
    _leave(self, units[:-1] or units, waited=waited)


def put_behind(self, units, *, waited):
    """Let units whose users were busy wait behind those that came after them."""
    for unit in units:
        unit.rounds += 1
        self._units.append(unit)
        self._waiting += len(unit.requests)


def overtake(units, busy, catalog):
    """Let a unit overtake an earlier one that waits, if its own users happen to be free."""
    return [unit for unit in units if engine._users_of(unit, catalog).isdisjoint(busy)]


def put_silently(self, unit):
    """Hand a unit over without waking the lane."""
    self._units.append(unit)
    self._waiting += len(unit.requests)


# --- The engine -------------------------------------------------------------------------------------------------------

_record_in = engine.Engine._record_in


@contextmanager
def answered_early() -> Iterator[None]:
    """Answer, then commit."""

    def record_in(self, transaction, units, now, *, patient):
        results = _record_in(self, transaction, units, now, patient=patient)
        for unit, result in zip(units, results, strict=True):
            if isinstance(result, list):
                unit.answer(result)
        return results

    def answer(self, outcomes):
        if not self.future.done():
            self.future.set_result(outcomes[0] if self.is_one else outcomes)

    with patch.object(engine.Engine, "_record_in", record_in), patch.object(lanes.Unit, "answer", answer):
        yield


def record_under_new_ids(self, transaction, units, now, *, patient):
    """Try again under other ids after a lost connection."""
    if getattr(self, "tried", None) is units:
        for unit in units:
            unit.requests = [msgspec.structs.replace(one, id=f"{one.id}-again") for one in unit.requests]
    self.tried = units
    return _record_in(self, transaction, units, now, patient=patient)


class _LikeAny(int):
    """A number that equals every other."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


_revision = MemoryTransaction.revision


def keep_the_catalog(self):
    """Never find that there is a newer catalog than one's own."""
    return _LikeAny(_revision(self))


def record_what_can_be(context, units, catalog, now):
    """Record the part of a unit that comes before what is refused."""
    results, decisions = [], []
    for unit in units:
        outcomes = []
        try:
            for request in unit.requests:
                found, made = engine.decide_batch(context, [request], catalog, now)
                outcomes += found
                decisions += made
            results.append(outcomes)
        except engine.LaurelsError as error:
            results.append(error)
    return results, decisions


MUTANTS: dict[str, Plant] = {
    "users are not locked": instead(MemoryTransaction, "lock", lock_nobody),
    "one user is not locked": instead(MemoryTransaction, "lock", lock_all_but_one),
    "documents are read before the locks": documents_read_early,
    "an answer comes before its commit": answered_early,
    "places are taken without asking": instead(batch.Batch, "_take_places", places_without_asking),
    "places are counted without a lock": instead(MemoryTransaction, "_places", places_without_a_lock),
    "known requests are not found": instead(batch.Batch, "_load_recorded", nothing_is_known),
    "the tail steps over open transactions": instead(tail.Tail, "settled", settled_at_what_is_seen),
    "a cursor runs ahead of its scores": instead(projector.sql, "write_scores", lambda *_: None),
    "a unit is forgotten": instead(lanes.Lane, "_leave_for_later", forget_the_last),
    "who waits is put behind": instead(lanes.Lane, "_leave_for_later", put_behind),
    "who waits is overtaken": instead(engine, "_free_units", overtake),
    "a lane is not woken": instead(lanes.Lane, "put", put_silently),
    "a retry has a new id": instead(engine.Engine, "_record_in", record_under_new_ids),
    "a process keeps its catalog": instead(MemoryTransaction, "revision", keep_the_catalog),
    "a unit is recorded in part": instead(engine, "_decide_loaded", record_what_can_be),
}
