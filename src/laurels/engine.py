"""
The one way in: load, decide, write.

`open` connects a database and a catalog; the Engine it returns records requests through a lane (see lanes.py), and
hands out what reads and changes one user or one board.
"""

from __future__ import annotations

import logging
import warnings
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING, Any, Self, overload

import msgspec
import stamina
from sqlalchemy import delete

from laurels.audit import note
from laurels.catalog_file import load_catalog, parse_catalog
from laurels.core import commands, history
from laurels.core.catalog import Catalog
from laurels.core.decide import Context, concerned, decide_batch, touches
from laurels.core.errors import InvalidInput, LaurelsError, Unavailable, Unknown
from laurels.core.nearest import unknown
from laurels.core.periods import from_datetime
from laurels.core.profile import profile_of
from laurels.core.requests import FUTURE_US_MAX, check_limit, check_text, receive, shown
from laurels.handles import UserHandle, WalletHandle
from laurels.lanes import WAITING_REQUESTS_MAX, Lane, Unit
from laurels.leaderboards import board
from laurels.leaderboards.board import Board
from laurels.leaderboards.projector import Projector
from laurels.protocols import Recorded
from laurels.store import reads, tail
from laurels.store.tables import catalog_revisions, profiles

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from types import TracebackType

    from sqlalchemy import Connection

    from laurels.core.changes import Change, Outcome
    from laurels.core.commands import AnyCommand
    from laurels.core.decide import Decision
    from laurels.core.events import Event
    from laurels.core.periods import Instant
    from laurels.core.profile import Profile
    from laurels.core.requests import Request
    from laurels.leaderboards.board import Excerpt, Lines
    from laurels.leaderboards.redis import RedisBoards
    from laurels.protocols import ForeignConnection, Observer, Progress, Store, Transaction
    from laurels.settings import Settings

DEFAULT_URL = "sqlite:///laurels.db"
BUSY_TIMEOUT_S = 30.0
LANES = 2
RECORD_REQUESTS_MAX = 10_000

log = logging.getLogger("laurels")


def open(  # noqa: A001, PLR0913  `laurels.open` is the name that fits; each is one setting
    url: str = DEFAULT_URL,
    *,
    catalog: str | Path | Catalog | None = None,
    first_catalog: str | Path = "community",
    create: bool = True,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    future_max_s: int = FUTURE_US_MAX // 1_000_000,
    lanes: int = LANES,
    waiting_requests_max: int = WAITING_REQUESTS_MAX,
    redis: str | None = None,
    clock: Callable[[], datetime] | None = None,
) -> Engine:
    """
    Open a database, creating what is missing unless `create` is False, and return the Engine on it.

    `url` is `sqlite:///FILE` or `postgresql://USER@HOST/DATABASE`. `redis`, such as `redis://HOST:6379/0`, names a
    Redis or Valkey, or any node of a cluster, to keep the leaderboards in; without it they are in the database.

    `catalog` is a file, the name of a bundled catalog, or a Catalog; its content becomes a new revision unless it was
    one before. Without it the database's current revision holds, and `first_catalog` in a new database.
    `busy_timeout_s` is how long to wait for another process's write and for a database that went away, `future_max_s`
    how far an event's own time may lie after now. `lanes` is how many batches this process has under way at once on
    PostgreSQL; SQLite takes one at a time. `waiting_requests_max` is how many requests may wait for a batch: beyond,
    `record` waits. `clock` returns the time now (aware); tests give their own.

    Raises CatalogInvalid with every mistake, and Unavailable for a database that cannot be used.
    """
    given = load_catalog(catalog) if isinstance(catalog, str | Path) else catalog
    boards = _redis_boards(redis) if redis else None
    store = _store(url, create=create, busy_timeout_s=busy_timeout_s, lanes=lanes)
    try:
        return Engine(
            store,
            given,
            boards=boards,
            first_catalog=first_catalog,
            clock=clock,
            future_max=future_max_s * 1_000_000,
            patience_s=busy_timeout_s,
            waiting_requests_max=waiting_requests_max,
        )
    except BaseException:
        store.close()
        raise


def open_as_set(settings: Settings, *, create: bool, **options: Any) -> Engine:
    """Open the database that the settings name, as they say; `options` are those of `open`."""
    return open(
        settings.database_url,
        redis=settings.redis_url or None,
        create=create,
        busy_timeout_s=settings.busy_timeout_s,
        future_max_s=settings.future_max_s,
        waiting_requests_max=settings.waiting_requests_max,
        **options,
    )


def _store(url: object, *, create: bool, busy_timeout_s: float, lanes: int) -> Store:
    if isinstance(url, str) and url.startswith("sqlite:"):
        from laurels.store.sqlite import SqliteStore  # noqa: PLC0415  each database's driver only where it is used

        return SqliteStore(url, create=create, busy_timeout_s=busy_timeout_s)
    if isinstance(url, str) and url.startswith(("postgresql:", "postgres:", "postgresql+psycopg:")):
        try:
            from laurels.store.postgres import PostgresStore  # noqa: PLC0415
        except ImportError as error:
            raise InvalidInput(
                "driver_missing", f"PostgreSQL needs a driver: pip install 'laurels[postgres]' ({error}).", "url"
            ) from None
        return PostgresStore(url, create=create, lanes=lanes)
    scheme = shown(url.partition(":")[0] if isinstance(url, str) else url)  # The rest may hold a password.
    raise InvalidInput(
        "unknown_database",
        f"{scheme} is no database Laurels runs on. Use sqlite:///FILE or postgresql://USER@HOST/DATABASE.",
        "url",
    )


def _redis_boards(url: str) -> RedisBoards:
    try:
        from laurels.leaderboards.redis import RedisBoards  # noqa: PLC0415  the driver only where it is used
    except ImportError as error:
        raise InvalidInput(
            "driver_missing", f"Redis needs a driver: pip install 'laurels[redis]' ({error}).", "redis"
        ) from None
    return RedisBoards(url)


class Engine:
    """
    Laurels on one database. Safe to use from many threads; close it, or use it in a `with`.

    Every method raises LaurelsError subclasses whose `code` programs can rely on, and records nothing when it raises.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog | None = None,
        *,
        boards: RedisBoards | None = None,
        first_catalog: str | Path = "community",
        clock: Callable[[], datetime] | None = None,
        future_max: int = FUTURE_US_MAX,
        patience_s: float = BUSY_TIMEOUT_S,
        waiting_requests_max: int = WAITING_REQUESTS_MAX,
    ) -> None:
        self._store = store
        self._clock = clock
        self._future_max = future_max
        self._listeners: dict[str, list[Callable[[Change], None]]] = defaultdict(list)
        self._catalog = self._choose(catalog, first_catalog)
        self._projector = Projector(store, lambda: self.catalog, boards)
        self._patience_s = patience_s
        self._lanes = [
            Lane(
                self._record_units,
                f"laurels-lane-{number}",
                patience_s=patience_s,
                waiting_max=max(1, waiting_requests_max // store.lanes),
            )
            for number in range(store.lanes)
        ]
        self._calls = ThreadPoolExecutor(1, "laurels-listeners")
        self._observer: Observer | None = None

    # --- Recording ----------------------------------------------------------------------------------------------------

    @overload
    def record(self, request: Event | AnyCommand, *, connection: ForeignConnection | None = None) -> Outcome: ...
    @overload
    def record(
        self, request: Sequence[Event | AnyCommand], *, connection: ForeignConnection | None = None
    ) -> list[Outcome]: ...
    def record(
        self,
        request: Event | AnyCommand | Sequence[Event | AnyCommand],
        *,
        connection: ForeignConnection | None = None,
    ) -> Outcome | list[Outcome]:
        """
        Record one request, or several together or not at all, and return what each caused.

        Returns after the commit. A request whose id is known with the same content returns the stored outcome with
        status `duplicate`; with other content it raises `request_id_reused`.

        With `connection` (of psycopg or SQLAlchemy, on PostgreSQL) it is part of that connection's transaction: what it
        caused is there when the caller commits, and never was if the caller rolls back. Listeners are not called.
        """
        is_one = not isinstance(request, list | tuple)
        unit = self._unit([request] if is_one else request)  # type: ignore[list-item,arg-type]
        if connection is not None:
            outcomes = self._record_within(connection, unit)
        else:
            self._put(unit)
            outcomes = unit.future.result()
            self._tell(outcomes)
        return outcomes[0] if is_one else outcomes

    @overload
    def submit(self, request: Event | AnyCommand, *, wait: bool = True, actor: str = "") -> Future[Outcome]: ...
    @overload
    def submit(
        self, request: Sequence[Event | AnyCommand], *, wait: bool = True, actor: str = ""
    ) -> Future[list[Outcome]]: ...
    def submit(
        self, request: Event | AnyCommand | Sequence[Event | AnyCommand], *, wait: bool = True, actor: str = ""
    ) -> Future[Outcome] | Future[list[Outcome]]:
        """
        Record in the background: one request, or several together or not at all. The future holds what `record` gives.

        An async caller awaits `asyncio.wrap_future(engine.submit(event, wait=False))`. Malformed requests raise at
        once. Where too much is waiting to be recorded already this waits too, or without `wait` raises Unavailable
        `overloaded`. `actor` is who does it, where it is an administrative act, for the audit log.
        """
        is_one = not isinstance(request, list | tuple)
        unit = self._unit([request] if is_one else request)  # type: ignore[list-item,arg-type]
        unit.is_one, unit.actor = is_one, actor
        if self._listeners:
            unit.future.add_done_callback(self._tell_later)
        self._put(unit, wait=wait)
        return unit.future

    @property
    def waiting(self) -> int:
        """Return how many requests wait to be recorded."""
        return sum(lane.waiting for lane in self._lanes)

    def check(self) -> None:
        """Raise Unavailable where nothing more can be taken to be recorded now: `overloaded` or `engine_closed`."""
        for lane in self._lanes:
            lane.check()

    def _put(self, unit: Unit, *, wait: bool = True) -> None:
        """
        Hand a unit to its lane: that of its actor, so that what one user does stays in order.

        Units of many users all go to the first. In two lanes nearly every one of them would find some of its users held
        by the other: measured, that was slower than one lane, and made some wait for seconds.
        """
        requests = unit.requests
        actor = requests[0].actor if requests else ""
        is_of_one = all(request.actor == actor for request in requests)
        self._lanes[hash(actor) % len(self._lanes) if is_of_one else 0].put(unit, wait=wait)

    def award_xp(
        self,
        user_id: str,
        amount: int,
        *,
        request_id: str,
        source: str = "",
        source_id: str | None = None,
        reason: str | None = None,
    ) -> Outcome:
        """Give XP outside of any rule; with `source_id` once per (user, source, source_id)."""
        return self.record(
            commands.AwardXp(
                user=user_id, id=request_id, amount=amount, source=source, source_id=source_id, reason=reason
            )
        )

    def _unit(self, asked: Sequence[Event | AnyCommand]) -> Unit:
        if len(asked) > RECORD_REQUESTS_MAX:
            raise InvalidInput(
                "batch_too_large", f"{len(asked)} requests in one call; at most {RECORD_REQUESTS_MAX} go together."
            )
        now = self.now()
        requests = []
        for place, one in enumerate(asked):
            try:
                requests.append(receive(one, now, future_max=self._future_max))
            except InvalidInput as error:
                if len(asked) > 1:
                    error.path = f"[{place}].{error.path}".rstrip(".")
                raise
        return Unit(requests, caller=None if self._observer is None else self._observer.caller())

    def _record_units(
        self,
        units: Sequence[Unit],
        patient: bool,  # noqa: FBT001  a lane calls it so
    ) -> list[list[Outcome] | LaurelsError | None]:
        """Record units in a transaction of their own; again when the database went away: the ids make that safe."""
        now, began_at = self.now(), time_ns()
        results: list[list[Outcome] | LaurelsError | None] = []
        # Soon, as a lost connection or a deadlock is over at once; not often, as a server takes seconds to come back.
        for attempt in stamina.retry_context(
            on=_passes, attempts=None, timeout=self._patience_s, wait_initial=0.02, wait_max=1.0, wait_jitter=0.1
        ):
            with attempt:
                lost = results
                with self._store.write() as transaction:
                    results = self._record_in(transaction, units, now, patient=patient)
        self._projector.notice()
        if lost:  # Duplicates of what the attempt before had committed, when the answer to that was lost.
            results = [_first_of(*pair) for pair in zip(lost, results, strict=True)]
        if self._observer is not None:
            self._observer.committed(_recorded(units, results, began_at))
        return results

    def _record_within(self, connection: ForeignConnection, unit: Unit) -> list[Outcome]:
        """Record a unit in the caller's transaction."""
        with self._store.join(connection) as transaction:
            (result,) = self._record_in(transaction, [unit], self.now(), patient=True)
        if result is None:
            raise Unavailable("user_busy", "Others hold the users of this request; try again.", retryable=True)
        if isinstance(result, LaurelsError):
            raise result
        return result

    def _record_in(
        self, transaction: Transaction, units: Sequence[Unit], now: Instant, *, patient: bool
    ) -> list[list[Outcome] | LaurelsError | None]:
        """Load what units touch, decide them one after the other, write what was decided; None for who must wait."""
        catalog = self._catalog
        while True:
            users = touches(_requests_of(units), catalog).users
            busy = transaction.lock(users, waiting_for=_users_of(units[0], catalog) if patient else ())
            if transaction.revision() == catalog.revision:
                break
            catalog = self.catalog  # It moved; it may concern others.
        free = _free_units(units, busy, catalog) if busy else units
        results: Sequence[list[Outcome] | LaurelsError] = ()
        while free:
            context, results, decisions = _decide_units(transaction, free, catalog, now)
            if not decisions or transaction.save(decisions, context.states, catalog):
                break
        _note_acts(transaction, free, results, now)
        if not busy:
            return list(results)
        found = dict(zip(map(id, free), results, strict=True))
        return [found.get(id(unit)) for unit in units]

    # --- Listening ----------------------------------------------------------------------------------------------------

    def on(self, change_type: str, listener: Callable[[Change], None]) -> None:
        """
        Call `listener(change)` after every commit by this process that holds a change of this type; `*` for every type.

        It runs in the recording caller's thread (for `submit`, in one of its own) and may record itself. What it
        raises is logged and goes no further. Duplicates call nobody.
        """
        self._listeners[change_type].append(listener)

    def observe(self, observer: Observer) -> None:
        """Tell an observer, and no longer another, of every batch and every projection of this process."""
        self._observer = self._projector.observer = observer

    def _tell_later(self, done: Future[Outcome] | Future[list[Outcome]]) -> None:
        if not done.cancelled() and done.exception() is None:
            found = done.result()
            self._calls.submit(self._tell, found if isinstance(found, list) else [found])

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        if not self._listeners:
            return
        for outcome in outcomes:
            if outcome.status == "applied":
                for change in outcome.changes:
                    for listener in [*self._listeners.get(change.type, ()), *self._listeners.get("*", ())]:
                        _call(listener, change)

    # --- Users and boards ---------------------------------------------------------------------------------------------

    def profile(self, user_id: str) -> Profile:
        """Return what a reader sees of a user. Raises Unknown `unknown_user`."""
        return self.user(user_id).profile()

    def user(self, user_id: str) -> UserHandle:
        """Return the handle of a user, who need not exist yet."""
        return UserHandle(self, user_id)

    def wallet(self, user_id: str) -> WalletHandle:
        """Return the handle of a user's currencies."""
        return WalletHandle(self, user_id)

    def users(self, *, after: str = "", containing: str = "", limit: int = 100) -> Sequence[str]:
        """Return user ids in order, from the one after `after` on; `containing` also looks at display names."""
        _check_page(after, containing, limit)
        with self.read() as connection:
            return reads.user_ids(connection, after=after, containing=containing, limit=limit)

    def profiles(self, *, after: str = "", containing: str = "", limit: int = 100) -> list[Profile]:
        """Return the profiles of the users that `users` would name, in the same order."""
        _check_page(after, containing, limit)
        with self.read() as connection:
            user_ids = reads.user_ids(connection, after=after, containing=containing, limit=limit)
            found = self._profiles_in(connection, user_ids)
        return [found[user_id] for user_id in user_ids]

    def profiles_of(self, user_ids: Collection[str]) -> dict[str, Profile]:
        """Return the profiles of those of these users that exist, by id, all as of one moment."""
        with self.read() as connection:
            return self._profiles_in(connection, user_ids)

    def _profiles_in(self, connection: Connection, user_ids: Collection[str]) -> dict[str, Profile]:
        catalog, now = self.catalog_in(connection), self.now()
        states = reads.states(connection, user_ids)
        stored = reads.stored_profiles(connection, states)
        return {
            user_id: profile_of(
                user_id,
                state,
                catalog,
                now,
                display_name=stored[user_id].display_name,
                avatar_url=stored[user_id].avatar_url,
            )
            for user_id, state in states.items()
        }

    def name_users(self, names: Mapping[str, str]) -> int:
        """Set the display names of those users that exist, all in one transaction; return how many that were."""
        for name in names.values():
            check_text(name, "display_name")
        with self._store.write() as transaction:
            connection = transaction.connection
            states = reads.states(connection, names)
            stored = reads.stored_profiles(connection, states)
            connection.execute(delete(profiles).where(profiles.c.user_id.in_(states)))
            for user_id, state in states.items():
                connection.execute(
                    profiles.insert().values(
                        user_id=user_id,
                        display_name=names[user_id],
                        avatar_url=stored[user_id].avatar_url,
                        opted_out=int(state.opted_out),
                    )
                )
        return len(states)

    def leaderboard(
        self, code: str, *, period: str | None = None, at: str | datetime | None = None, group: str = ""
    ) -> Board:
        """
        Return a board in one of its periods: `daily`, `weekly`, `monthly` or `alltime`, which is also the default.

        `at` picks the period by its key (`2026-W47`) or by an instant in it; now by default. `group` picks the board
        of one value of the group it is split by. Whenever it is asked, what was recorded before is on it.
        """
        return self._board(self.catalog, code, period=period, at=at, group=group)

    def excerpts(self, asked: Sequence[Excerpt]) -> list[Lines | LaurelsError]:
        """
        Return some lines of several boards, all looked up together.

        In place of what there is not, such as an unknown board, stands the error that says so.
        """
        with self.read() as connection:
            catalog = self.catalog_in(connection)
        found: list[Board | LaurelsError] = []
        for one in asked:
            try:
                found.append(self._board(catalog, one.code, period=one.period, at=one.at, group=one.group))
            except LaurelsError as error:
                found.append(error)
        wanted = [(one, excerpt) for one, excerpt in zip(found, asked, strict=True) if isinstance(one, Board)]
        ask = partial(self._projector.ask, is_asked_often=True)
        lines = iter(board.lines(wanted, ask, self.read) if wanted else ())
        return [next(lines) if isinstance(one, Board) else one for one in found]

    def _board(
        self, catalog: Catalog, code: str, *, period: str | None, at: str | datetime | None, group: str
    ) -> Board:
        if code not in catalog.leaderboards:
            raise Unknown("unknown_leaderboard", unknown("leaderboard", str(code), catalog.leaderboards))
        return Board.of(
            catalog.leaderboards[code],
            catalog.zone,
            self._projector.ask,
            self.read,
            period=period,
            at=at,
            group=group,
            now=self.now(),
        )

    @property
    def projector(self) -> Projector:
        """Return what brings the leaderboards forward; workers step it."""
        return self._projector

    def project(self, progress: Progress | None = None) -> int:
        """Bring the leaderboards up to the journal's end; return how many journal rows that took."""
        return self._projector.project(None if progress is None else progress("Filling leaderboards", "rows"))

    def rebuild_boards(self, progress: Progress | None = None) -> int:
        """Fill every leaderboard anew from the journal; return how many rows that took."""
        self._projector.rebuild()
        return self.project(progress)

    # --- The catalog --------------------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """Return the current revision of the catalog, also when another process applied it."""
        with self.read() as connection:
            return self.catalog_in(connection)

    def apply_catalog(
        self, catalog: Catalog, *, actor: str = "cli", check: Callable[[Catalog], None] | None = None
    ) -> int:
        """
        Make a catalog the current revision and return its number; it acts on what is recorded from then on.

        One that is in force already stays the revision it is. `check` is given the one in force, and may raise; nobody
        applies another in between. `actor` is who does it, for the audit log.
        """
        with self._store.write() as transaction:
            transaction.lock_catalog()
            current = self.catalog_in(transaction.connection)
            if check is not None:
                check(current)
            if current.source == catalog.source:
                return current.revision
            applied = self._apply(transaction, catalog)
            detail = {"revision": applied.revision, "name": applied.name}
            note(transaction.connection, self.now(), actor, "catalog.applied", str(applied.revision), detail)
        self._catalog = applied
        return applied.revision

    def _apply(self, transaction: Transaction, catalog: Catalog) -> Catalog:
        revision = transaction.revision() + 1
        transaction.connection.execute(
            catalog_revisions.insert().values(
                revision=revision, name=catalog.name, source=catalog.source, applied_at=self.now()
            )
        )
        return replace(catalog, revision=revision)

    def _choose(self, given: Catalog | None, first: str | Path) -> Catalog:
        """Return the catalog to start with, applying the one given if its content was never a revision."""
        with self.read() as connection:
            current = _revision_to_keep(connection, given)
        if current is None:
            chosen = given if given is not None else load_catalog(first)
            with self._store.write() as transaction:
                transaction.lock_catalog()  # Another process may have been here while this one waited for it.
                current = _revision_to_keep(transaction.connection, given)
                if current is None:
                    return self._apply(transaction, chosen)
        return replace(parse_catalog(current.source, format="json"), revision=current.revision)

    def catalog_in(self, connection: Connection) -> Catalog:
        """
        Return the revision of the catalog that is current in a reader's snapshot; its text is read when it moved.

        It is this engine's from now on.
        """
        if reads.current_revision_number(connection) != self._catalog.revision:
            current = reads.current_revision(connection)
            assert current is not None
            self._catalog = replace(parse_catalog(current.source, format="json"), revision=current.revision)
        return self._catalog

    # --- Housekeeping -------------------------------------------------------------------------------------------------

    def now(self) -> Instant:
        """Return the time now by this engine's clock."""
        return from_datetime(self._clock()) if self._clock is not None else time_ns() // 1_000

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a connection for reading, on one snapshot of the database."""
        with self._store.read() as connection:
            yield connection

    def watch(self) -> Connection:
        """Open a connection to follow the journal through, and to hold a lease; `tail.close` closes it."""
        with self.read() as connection:  # Its errors are told in our own words.
            return tail.watch(connection.engine)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Open a write transaction for what is no request: settings of a user, notifications read."""
        with self._store.write() as transaction:
            yield transaction

    def close(self) -> None:
        """Record what was submitted, tell the listeners, and give up every connection."""
        for lane in self._lanes:
            lane.close()
        self._calls.shutdown()
        self._projector.close()
        self._store.close()

    def __enter__(self) -> Self:
        """Return the engine itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the engine."""
        self.close()


def _check_page(after: str, containing: str, limit: int) -> None:
    for path, text in (("after", after), ("containing", containing)):
        if text != "":
            check_text(text, path)
    check_limit(limit)


def _revision_to_keep(connection: Connection, given: Catalog | None) -> reads.Revision | None:
    """Return the current revision; None where there is none, or where the catalog given was never one."""
    current = reads.current_revision(connection)
    if current is None or given is None:
        return current
    known = reads.revision_of(connection, given.source)
    if known is None:
        return None
    if known != current.revision:
        warnings.warn(
            f"The catalog given is revision {known} of this database; the current one is {current.revision} "
            "and stays. Use `laurels catalog apply` to go back on purpose.",
            stacklevel=5,
        )
    return current


def _passes(error: Exception) -> bool:
    """Say whether the database may be back, or the conflict over, in a moment."""
    return isinstance(error, Unavailable) and error.passes


def _first_of(
    lost: list[Outcome] | LaurelsError | None, found: list[Outcome] | LaurelsError | None
) -> list[Outcome] | LaurelsError | None:
    """Return the outcomes of a unit that was committed but not answered as those of the first time, which they are."""
    if not isinstance(lost, list) or not isinstance(found, list):
        return found
    return [
        before if now.status == "duplicate" and msgspec.structs.replace(now, status="applied") == before else now
        for before, now in zip(lost, found, strict=True)
    ]


def _users_of(unit: Unit, catalog: Catalog) -> set[str]:
    """Return everybody whom a unit concerns."""
    return {user_id for request in unit.requests for user_id in concerned(request, catalog)}


def _requests_of(units: Sequence[Unit]) -> list[Request]:
    return [request for unit in units for request in unit.requests]


def _free_units(units: Sequence[Unit], busy: Collection[str], catalog: Catalog) -> list[Unit]:
    """Return the units whose users are free, and are not to wait behind an earlier unit's that are not."""
    blocked = set(busy)
    free = []
    for unit in units:
        users = _users_of(unit, catalog)
        if users.isdisjoint(blocked):
            free.append(unit)
        else:
            blocked |= users
    return free


def _note_acts(
    transaction: Transaction, units: Sequence[Unit], results: Sequence[list[Outcome] | LaurelsError], now: Instant
) -> None:
    """Write down, beside what was recorded, what of it an administrator did; never in an application's transaction."""
    for unit, result in zip(units, results, strict=True):
        if unit.actor and not isinstance(result, LaurelsError):
            for request, outcome in zip(unit.requests, result, strict=True):
                if outcome.status == "applied":
                    assert isinstance(request.command, commands.Adjust)
                    detail = {"unit": request.command.unit, "amount": request.command.amount, "request_id": request.id}
                    note(transaction.connection, now, unit.actor, "balance.adjusted", request.actor, detail)


def _decide_units(
    transaction: Transaction, units: Sequence[Unit], catalog: Catalog, now: Instant
) -> tuple[Context, list[list[Outcome] | LaurelsError], list[Decision]]:
    """Load what the units concern and decide them; again, with more of the past, where a late request asks for it."""
    requests = _requests_of(units)
    touched, keys = touches(requests, catalog), [(request.actor, request.id) for request in requests]
    asking: set[str] = set()
    while True:
        context = transaction.load(touched, keys, catalog)
        if len(asking) > 1:  # Whoever else is late may ask as well, and a batch is not to be decided over and over.
            asking |= _late_users(requests, context, catalog)
        if asking:
            transaction.remember(context, asking, catalog)
        try:
            return context, *_decide_loaded(context, units, catalog, now)
        except history.Forgotten as forgotten:
            asking.add(forgotten.user_id)


def _late_users(requests: Sequence[Request], context: Context, catalog: Catalog) -> set[str]:
    """Return the users for whom some request comes after one with a later own time."""
    latest: dict[str, Instant] = {}
    late = set()
    for request in requests:
        for user_id in concerned(request, catalog):
            if user_id not in latest:
                state = context.states.get(user_id)
                latest[user_id] = state.latest_at if state is not None else request.at
            if request.at < latest[user_id]:
                late.add(user_id)
            latest[user_id] = max(request.at, latest[user_id])
    return late


def _decide_loaded(
    context: Context, units: Sequence[Unit], catalog: Catalog, now: Instant
) -> tuple[list[list[Outcome] | LaurelsError], list[Decision]]:
    """
    Decide each unit on what the one before left.

    A unit of one request that is refused has changed nothing, so the others go on; any other failure spoils the batch.
    """
    results: list[list[Outcome] | LaurelsError] = []
    decisions: list[Decision] = []
    for unit in units:
        try:
            outcomes, made = decide_batch(context, unit.requests, catalog, now)
        except LaurelsError as error:
            if len(unit.requests) > 1 or error.code == "amount_out_of_range":
                raise
            results.append(error)
        else:
            results.append(outcomes)
            decisions += made
    return results, decisions


def _recorded(units: Sequence[Unit], results: Sequence[list[Outcome] | LaurelsError | None], began_at: int) -> Recorded:
    """Return what an observer hears of a batch; units that were left for later are in another."""
    callers = [unit.caller for unit, result in zip(units, results, strict=True) if result is not None]
    outcomes = [outcome for result in results if isinstance(result, list) for outcome in result]
    duplicates = sum(outcome.status == "duplicate" for outcome in outcomes)
    refused = sum(isinstance(result, LaurelsError) for result in results)
    return Recorded(began_at, callers, len(outcomes) - duplicates, duplicates, refused)


def _call(listener: Callable[[Change], None], change: Change) -> None:
    try:
        listener(change)
    except Exception:
        log.exception("listener_failed", extra={"change_type": change.type})
