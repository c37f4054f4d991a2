"""A stream of events as a community sends them, the same for a seed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from laurels import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTS_AT = datetime(2026, 3, 1, tzinfo=UTC)

#: What a hundred events are. Reactions and follows touch a second user: a quarter of all.
MIX = [
    ("post.created", 15),
    ("comment.created", 35),
    ("reaction.added", 20),
    ("user.followed", 5),
    ("user.login", 25),
]


#: How much an active user does in a day, on average.
EVENTS_A_DAY = 10


def events(count: int, *, users: int, seed: int = 1) -> Iterator[Event]:
    """Yield events of uniformly drawn users, each of whom has ten a day on average, in order of time."""
    dice = random.Random(seed)
    types = dice.choices([name for name, _ in MIX], [weight for _, weight in MIX], k=count)
    step = timedelta(days=1) / (users * EVENTS_A_DAY)
    for number, kind in enumerate(types):
        user = dice.randrange(users)
        other = (user + 1 + dice.randrange(users - 1)) % users
        yield Event(
            kind,
            user=f"user-{user:07}",
            id=f"event-{seed}-{number}",
            time=STARTS_AT + number * step,
            data=_data(kind, number, f"user-{other:07}", dice),
        )


def _data(kind: str, number: int, other: str, dice: random.Random) -> dict[str, str | int] | None:
    match kind:
        case "post.created":
            return {"post": f"post-{number}", "words": dice.randrange(20, 900)}
        case "comment.created":
            return {"comment": f"comment-{number}", "post": f"post-{dice.randrange(number + 1)}"}
        case "reaction.added":
            return {"author": other, "target": f"post-{dice.randrange(number + 1)}"}
        case "user.followed":
            return {"user": other}
        case _:
            return None
