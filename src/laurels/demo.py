"""
A small community, made up: who they are, what they did in the last six weeks, and what a tour shows of it.

The same seed and last day give the same people doing the same things. They are recorded as they would have been, day by
day, so what the tour shows is what Laurels made of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from random import Random
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.engine import make_url

from laurels.catalog_file import load_catalog
from laurels.core.errors import Conflict
from laurels.core.events import Event
from laurels.engine import Engine
from laurels.engine import open as open_engine
from laurels.store import reads
from laurels.store.tables import facts

if TYPE_CHECKING:
    from laurels.core.catalog import Catalog
    from laurels.core.changes import Outcome
    from laurels.core.notifications import Notification
    from laurels.core.profile import Profile
    from laurels.handles import AchievementView, StreakDay
    from laurels.leaderboards.board import Period, Standing
    from laurels.protocols import Progress
    from laurels.store.reads import StoredRequest

DATABASE_URL = "sqlite:///laurels-demo.db"
SEED = 7
DAYS = 42
FACT = "demo"

# --- Who they are -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """
    Somebody of the community.

    `comes` is the chance that they come by on a day; then they make so many `posts`, `comments` and `likes` on average.
    `away` are the numbers of days on which they surely do not come.
    """

    name: str
    zone: str
    comes: float
    posts: float
    comments: float
    likes: float
    away: frozenset[int] = frozenset()

    @property
    def id(self) -> str:
        """Return the user id."""
        return self.name.split()[0].lower()


#: The tour looks at the first: never away but for three days, which her freezes cover.
PEOPLE = (
    Person("Mira Lindqvist", "Europe/Stockholm", 1.0, 1.1, 3.0, 5.0, frozenset({16, 29, 30})),
    Person("Kofi Mensah", "Africa/Accra", 0.95, 1.3, 2.0, 3.0),
    Person("Yuki Tanaka", "Asia/Tokyo", 0.92, 0.9, 2.5, 6.0),
    Person("Ines Ferreira", "Europe/Lisbon", 0.85, 0.8, 4.0, 4.0),
    Person("Tomas Novak", "Europe/Prague", 0.8, 1.0, 1.5, 2.0),
    Person("Priya Raman", "Asia/Kolkata", 0.85, 0.6, 3.0, 5.0),
    Person("Noah Whitaker", "America/Chicago", 0.7, 0.9, 1.0, 2.0),
    Person("Leila Haddad", "Africa/Casablanca", 0.75, 0.5, 2.0, 4.0),
    Person("Mateo Rojas", "America/Santiago", 0.7, 0.7, 1.5, 2.5),
    Person("Aroha Ngata", "Pacific/Auckland", 0.65, 0.5, 1.5, 3.0),
    Person("Jonas Weber", "Europe/Berlin", 0.6, 0.6, 1.0, 1.0),
    Person("Amara Okafor", "Africa/Lagos", 0.7, 0.4, 2.0, 6.0),
    Person("Sofia Rossi", "Europe/Rome", 0.5, 0.5, 1.5, 2.0),
    Person("Ethan Park", "America/Los_Angeles", 0.5, 0.4, 1.0, 3.0),
    Person("Zofia Kowalska", "Europe/Warsaw", 0.55, 0.3, 1.5, 2.0),
    Person("Ravi Shrestha", "Asia/Kathmandu", 0.45, 0.4, 0.8, 1.5),
    Person("Chloe Tremblay", "America/Toronto", 0.5, 0.2, 1.0, 4.0),
    Person("Hamza Yilmaz", "Europe/Istanbul", 0.4, 0.4, 0.7, 1.0),
    Person("Lucia Vargas", "America/Bogota", 0.35, 0.3, 1.0, 2.0),
    Person("Oskar Virtanen", "Europe/Helsinki", 0.35, 0.2, 0.5, 1.5),
    Person("Maeve Brennan", "Europe/Dublin", 0.3, 0.3, 0.6, 1.0),
    Person("Duc Nguyen", "Asia/Ho_Chi_Minh", 0.3, 0.2, 0.5, 1.0),
    Person("Elif Aydin", "Europe/Istanbul", 0.2, 0.1, 0.4, 2.0),
    Person("Samuel Clarke", "Europe/London", 0.15, 0.1, 0.3, 0.5),
)
GUIDE = PEOPLE[0].id
MODERATORS = ("ines", "noah")
#: The chance that somebody who likes a thing follows its author.
FOLLOWS = 0.12
#: What people spend their sparkle points on, and the chance that somebody who has enough does so on a day.
SHOP = (("Theme: Northern Lights", 150), ("Frame: Laurel wreath", 400), ("Pin a post for a week", 80))
BUYS = 0.06

# --- What they did ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """A post or a comment that others can react to."""

    id: str
    author: str
    at: datetime


@dataclass
class Community:
    """What everybody does in the six weeks before `until`."""

    seed: int
    until: date
    posts: list[Written] = field(default_factory=list)
    comments: list[Written] = field(default_factory=list)
    followed: set[tuple[str, str]] = field(default_factory=set)
    marked: set[str] = field(default_factory=set)
    count: int = 0

    def __post_init__(self) -> None:
        """Begin with the seed; text seeds are the same on every machine."""
        self.dice = Random(f"laurels {self.seed}")

    @property
    def end(self) -> datetime:
        """Return the instant before which everything happened."""
        return datetime.combine(self.until, time(), UTC)

    def events(self) -> list[tuple[datetime, Event]]:
        """Return all events with their times, in order; people's days are their own, so they overlap."""
        days = [self._day(number, self.until - timedelta(days=DAYS - number)) for number in range(DAYS)]
        told = [(event.time, event) for day in days for event in day if event.time and event.time < self.end]
        return sorted(told, key=lambda one: (one[0], one[1].id))

    def _day(self, number: int, day: date) -> Iterator[Event]:
        visits = [
            (person, self._arrival(person, day))
            for person in PEOPLE
            if number not in person.away and self.dice.random() < person.comes
        ]
        for person, arrival in visits:
            yield self._event("user.login", person.id, arrival, {})
            for at in self._moments(arrival, person.posts):
                post = self._new("post", person, at, self.posts)
                yield self._event(
                    "post.created", person.id, at, {"post": post, "words": self.dice.randint(60, 900)}, post
                )
        for person, arrival in visits:
            yield from self._visit(person, arrival)
        yield from self._moderation(day)

    def _visit(self, person: Person, arrival: datetime) -> Iterator[Event]:
        """Yield what somebody does with what others wrote: comment, react, follow."""
        for at in self._moments(arrival, person.comments):
            for post in self._recent(self.posts, at, 1):
                comment = self._new("comment", person, at, self.comments)
                yield self._event("comment.created", person.id, at, {"comment": comment, "post": post.id}, comment)
        for at in self._moments(arrival, person.likes):
            for liked in self._recent(self.posts + self.comments[-40:], at, 1):
                data = {"target": liked.id, "author": liked.author}
                yield self._event("reaction.added", person.id, at, data)
                pair = (person.id, liked.author)
                if self.dice.random() < FOLLOWS and liked.author != person.id and pair not in self.followed:
                    self.followed.add(pair)
                    yield self._event("user.followed", person.id, at + timedelta(seconds=20), {"user": liked.author})

    def _moderation(self, day: date) -> Iterator[Event]:
        """Yield a moderator's evening round: posts for the front page, comments that helped."""
        at = datetime.combine(day, time(21, 30), UTC)
        moderator = self.dice.choice(MODERATORS)
        for post in self._unmarked(self._recent(self.posts, at, 2)):
            data = {"post": post.id, "author": post.author}
            yield self._event("post.featured", moderator, at, data)
        for comment in self._unmarked(self._recent(self.comments, at, 3)):
            data = {"comment": comment.id, "author": comment.author}
            yield self._event("comment.helpful", moderator, at, data)

    def _unmarked(self, things: list[Written]) -> list[Written]:
        """Leave out what was marked before, and remember the rest as marked."""
        fresh = [thing for thing in things if thing.id not in self.marked]
        self.marked.update(thing.id for thing in fresh)
        return fresh

    def _arrival(self, person: Person, day: date) -> datetime:
        minutes = round(self.dice.triangular(7 * 60, 22 * 60, 19 * 60))
        return (datetime.combine(day, time(), ZoneInfo(person.zone)) + timedelta(minutes=minutes)).astimezone(UTC)

    def _moments(self, arrival: datetime, expected: float) -> list[datetime]:
        """Return instants in the two hours after an arrival, as many as expected on average."""
        number = sum(self.dice.random() < expected / 8 for _ in range(8))
        return sorted(arrival + timedelta(seconds=self.dice.randint(30, 7200)) for _ in range(number))

    def _recent(self, things: Sequence[Written], at: datetime, number: int) -> list[Written]:
        """Return some things written in the three days before an instant."""
        there = [thing for thing in things[-120:] if timedelta() < at - thing.at < timedelta(days=3)]
        return self.dice.sample(there, min(number, len(there)))

    def _new(self, kind: str, author: Person, at: datetime, kept: list[Written]) -> str:
        self.count += 1
        kept.append(Written(f"{kind}-{self.count}", author.id, at))
        return kept[-1].id

    def _event(self, kind: str, user: str, at: datetime, data: Mapping[str, object], event_id: str = "") -> Event:
        if not event_id:
            self.count += 1
            event_id = f"{kind.rpartition('.')[2]}-{self.count}"
        return Event(kind, user=user, id=event_id, time=at, data=data)


# --- How it is recorded, and what there is to see ---------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Tour:
    """What the demo shows: boards, one user from near, and why one request earned what it did."""

    url: str
    seed: int
    until: date
    events: int
    new_events: int
    catalog: Catalog
    boards: Sequence[tuple[str, Period, Sequence[Standing], int]]
    profile: Profile
    achievements: Sequence[AchievementView]
    streak_days: Sequence[StreakDay]
    notifications: Sequence[Notification]
    outcome: Outcome
    request: StoredRequest
    zone: str


@dataclass
class Clock:
    """The time now, as the community's story has it."""

    now: datetime

    def __call__(self) -> datetime:
        """Return it."""
        return self.now


def build(url: str, seed: int | None, progress: Progress, *, today: date | None = None) -> Tour:
    """
    Record a community that ends yesterday in an empty database, and return what there is to see.

    In a database where a demo was built before, it is found there and finished if need be: nothing is recorded twice.
    Raises Conflict `demo_needs_empty_database` where others are, or a demo of another seed.
    """
    clock = Clock(datetime.now(UTC))
    with open_engine(url, clock=clock) as engine:
        community = _settle(engine, url, seed, today or clock.now.date())
        told, new, best = _record(engine, community, clock, progress)
        engine.project(progress)
        clock.now = community.end
        return _tour(engine, url, community, told, new, best)


def _settle(engine: Engine, url: str, seed: int | None, today: date) -> Community:
    """Return the community that lives in the database, or moves in now."""
    with engine.read() as connection:
        found = connection.scalar(select(facts.c.value).where(facts.c.name == FACT))
        users = reads.user_count(connection)
    if found is not None:
        known = json.loads(found)
        if seed not in (None, known["seed"]):
            raise _occupied(url, f"holds the demo of seed {known['seed']}")
        return Community(known["seed"], date.fromisoformat(known["until"]))
    if users or engine.catalog.source != load_catalog("community").source:
        raise _occupied(url, f"is in use: {users} users under the catalog {engine.catalog.name!r}")
    community = Community(SEED if seed is None else seed, today)
    with engine.write() as transaction:
        value = json.dumps({"seed": community.seed, "until": community.until.isoformat()})
        transaction.connection.execute(facts.insert().values(name=FACT, value=value))
    return community


def _occupied(url: str, why: str) -> Conflict:
    return Conflict(
        "demo_needs_empty_database",
        f"{make_url(url).render_as_string()} {why}. Give the demo a database of its own, such as `--database sqlite:///another-demo.db`.",
    )


def _record(engine: Engine, community: Community, clock: Clock, progress: Progress) -> tuple[int, int, Outcome]:
    """Record hour after hour as it passes; return how many events there are, how many are new, and what tells most."""
    step = progress("Six weeks pass", "days")
    clock.now = community.end - timedelta(days=DAYS)
    for person in PEOPLE:
        engine.user(person.id).set(display_name=person.name, timezone=person.zone)
    outcomes: list[Outcome] = []
    today = community.end.date()
    for hour, together in groupby(community.events(), key=lambda one: one[0].replace(minute=0, second=0)):
        times, events = zip(*together, strict=True)
        if hour.date() != today and any(outcome.status == "applied" for outcome in outcomes[-1:]):
            _go_shopping(engine, community.seed, hour.date())
        clock.now, today = times[-1], hour.date()
        outcomes += engine.record(events)
        step(DAYS - (community.end - hour).days, DAYS)
    new = sum(outcome.status == "applied" for outcome in outcomes)
    return len(outcomes), new, max(outcomes, key=_tells)


def _tells(outcome: Outcome) -> int:
    """Return how much an outcome has to tell: different kinds of changes, and something to be earned again later."""
    kinds = {change.type for change in outcome.changes}
    later = any(skip.retry_at for skip in outcome.skipped)
    return len(kinds) + 4 * later + 3 * ("level.reached" in kinds) + 2 * ("achievement.unlocked" in kinds)


def _go_shopping(engine: Engine, seed: int, day: date) -> None:
    """Let some of those who can afford something buy it, before the day begins."""
    dice = Random(f"laurels {seed} shop {day}")
    for person in PEOPLE:
        thing, price = dice.choice(SHOP)
        if dice.random() < BUYS and engine.profile(person.id).balances["sparkle"].available >= price:
            engine.wallet(person.id).spend("sparkle", price, reason=thing, request_id=f"order-{day}")


def _tour(engine: Engine, url: str, community: Community, told: int, new: int, best: Outcome) -> Tour:
    guide = engine.user(GUIDE)
    catalog = engine.catalog
    boards = []
    for code, period, lines in (("xp", "weekly", 8), ("xp", "alltime", 8), ("followers", "alltime", 5)):
        # The week that was last, also where a new one has begun at midnight.
        board = engine.leaderboard(code, period=period, at=community.end - timedelta(seconds=1))
        boards.append((catalog.leaderboards[code].name, board.period, board.top(lines), board.total))
    return Tour(
        url=make_url(url).render_as_string(),  # Without its password.
        seed=community.seed,
        until=community.until,
        events=told,
        new_events=new,
        catalog=catalog,
        boards=boards,
        profile=guide.profile(),
        achievements=guide.achievements(),
        streak_days=guide.streak_days("login", count=DAYS),
        notifications=guide.notifications(limit=6),
        outcome=best,
        request=engine.user(best.user_id).request(best.event_id),
        zone=engine.profile(best.user_id).timezone,
    )
