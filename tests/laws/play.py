"""How streams are played to the engine: in what batches, in what order, and to which database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import msgspec
from hypothesis import strategies as st
from sqlalchemy import text

from laurels import Engine, Event, Hold
from laurels.core.errors import LaurelsError
from laurels.core.periods import to_datetime
from tests.laws.strategies import Asked, Setting
from tests.laws.world import World

Step = Asked | Setting


def play(world: World, stream: Iterable[Step], cuts: Iterable[int] = ()) -> list:
    """
    Play a stream to a world, with a new batch at each of the `cuts` and around each setting; return an answer for each.

    Without cuts everything between two settings is one batch.
    """
    answers: list = []
    for batch in batches(list(stream), cuts):
        if isinstance(batch[0], Setting):
            world.set(batch[0].user, **batch[0].fields)
            answers.append(None)
        else:
            answers += world.submit(batch)
    return answers


def batches(stream: Sequence[Step], cuts: Iterable[int]) -> Iterator[list]:
    """Yield the steps of each batch; a setting is one for itself."""
    starts = set(cuts)
    number = 0

    def batch_of(place_and_step) -> int:
        nonlocal number
        place, step = place_and_step
        previous = stream[place - 1] if place else None
        number += place in starts or isinstance(step, Setting) or isinstance(previous, Setting)
        return number

    for _, group in groupby(enumerate(stream), key=batch_of):
        yield [step for _, step in group]


def one_by_one(stream: Sequence[Step]) -> range:
    """Cuts that make a batch of every step."""
    return range(len(stream))


def cuts(stream: Sequence[Step]) -> st.SearchStrategy:
    """Any way to cut a stream into batches."""
    return st.sets(st.integers(0, len(stream)))


def without_expiry(stream: Sequence[Step]) -> list[Step]:
    """The stream with holds that never expire: whether one has depends on when a batch is recorded, and should."""
    return [
        step._replace(request=msgspec.structs.replace(step.request, expires_at=None))
        if isinstance(step, Asked) and isinstance(step.request, Hold)
        else step
        for step in stream
    ]


def stamped(stream: Sequence[Step]) -> list[Step]:
    """The stream with every event's own time written down, so that it does not matter when it is recorded."""
    return [
        step._replace(request=_at(step.request, step.now))
        if isinstance(step, Asked) and isinstance(step.request, Event) and step.request.time is None
        else step
        for step in stream
    ]


def _at(event: Event, now: int) -> Event:
    return Event(event.type, user=event.user, id=event.id, time=to_datetime(now), data=event.data)


# --- Databases --------------------------------------------------------------------------------------------------------


def apply(engine: Engine, steps: Iterable[Step]) -> list:
    """Play steps to an engine, one by one through `record` and settings by name; return an answer for each."""
    names = {"zone": "timezone"}
    answers: list = []
    for step in steps:
        if isinstance(step, Setting):
            engine.user(step.user).set(**{names.get(name, name): value for name, value in step.fields.items()})
            answers.append(None)
            continue
        try:
            answers.append(engine.record(step.request))
        except LaurelsError as error:
            answers.append(error)
    return answers


def documents_of(engine: Engine) -> dict[str, bytes]:
    """Return every user's document as it is stored."""
    with engine.read() as connection:
        return {
            user: document.encode() for user, document in connection.execute(text("SELECT user_id, state FROM users"))
        }


def order_of(engine: Engine) -> list[tuple[str, str]]:
    """Return actor and id of every request, in the order in which they were recorded."""
    query = "SELECT actor_id, request_id FROM journal WHERE user_id = actor_id ORDER BY seq"
    with engine.read() as connection:
        return [tuple(row) for row in connection.execute(text(query))]
