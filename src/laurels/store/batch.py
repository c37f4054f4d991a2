"""
What a batch reads and writes: the same statements on every database, a handful whatever the batch's size.

A statement joins the table `{keys}`, whose columns `a`, `b`, `c`, `d` are given with it: how many keys travel in one
parameter, and how rows are inserted, is each database's own business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import astuple

from laurels.core import history
from laurels.core.changes import Change, CurrencyCredited, Outcome, Skip, addressed
from laurels.core.decide import Context, Recorded, States
from laurels.core.periods import from_datetime
from laurels.core.quests import stored_run
from laurels.core.state import UserState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import Connection

    from laurels.core.catalog import Catalog
    from laurels.core.decide import Decision, RequestKey, Touches
    from laurels.core.draft import Draft
    from laurels.core.rules import ClaimKey

Key = tuple[object, ...]

_encode = msgspec.json.Encoder().encode
_decode_changes = msgspec.json.Decoder(list[Change]).decode
_decode_skips = msgspec.json.Decoder(tuple[Skip, ...]).decode
_decode_touched = msgspec.json.Decoder(list[tuple[str, int]]).decode


def _by_first(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """Return rows by the user whom each begins with, in their order."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    return found


def document_of(state: UserState) -> str:
    """Return a user's state as it is stored."""
    return _encode(state).decode()


class Batch(ABC):
    """One write transaction: load what requests touch, write what was decided. See `protocols.Transaction`."""

    connection: Connection

    def revision(self) -> int:
        """Return the number of the current catalog revision, 0 for none."""
        return int(self._rows("SELECT coalesce(max(revision), 0) FROM catalog_revisions")[0][0])

    def load(self, touched: Touches, keys: Collection[RequestKey], catalog: Catalog) -> Context:
        """Load everything that deciding these requests needs to know, in a statement per table."""
        context = Context()
        context.states = States(self._documents(touched.users))
        self._load_recorded(context, [key for key in keys if key[0] in context.states])
        if touched.claims:
            context.claims = self._claims([key for key in touched.claims if key[0] in context.states])
        if catalog.limited:
            taken = dict(self._rows("SELECT achievement, taken FROM achiever_counts"))
            limits = {code: catalog.achievements[code].max_achievers or 0 for code in catalog.limited}
            context.places = {code: limit - taken.get(code, 0) for code, limit in limits.items()}
        if touched.holds or touched.refunded or touched.quests:
            self._load_past(context, touched)
        return context

    def remember(self, context: Context, user_ids: Iterable[str], catalog: Catalog) -> None:
        """Give the context the memories of users with late requests, and their documents what they had forgotten."""
        wanted = list(user_ids)
        keys = [(user_id,) for user_id in wanted if user_id in context.states]
        rows = _by_first(
            self._rows(
                "SELECT j.user_id, j.time, j.changes FROM {keys} JOIN journal AS j ON j.user_id = k.a"
                " ORDER BY j.user_id, j.version",
                keys,
            )
        )
        runs = _by_first(
            self._rows(
                "SELECT q.user_id, q.quest, q.period, q.completed_at FROM {keys}"
                " JOIN quest_runs AS q ON q.user_id = k.a",
                keys,
            )
        )
        for user_id in wanted:
            state = context.states.get(user_id)
            if state is None:
                context.memories[user_id] = history.Memory()
                continue
            context.memories[user_id] = history.remember(
                state,
                ((at, _decode_changes(changes)) for _, at, changes in rows[user_id]),
                (
                    (quest, stored_run(catalog.quests[quest], period, completed_at))
                    for _, quest, period, completed_at in runs[user_id]
                    if quest in catalog.quests
                ),
            )

    def save(self, decisions: Sequence[Decision], states: States, catalog: Catalog) -> bool:
        """
        Write what was decided: documents, journal, and the rows of what is rare.

        False, and nothing written, when another batch has taken places in limited achievements meanwhile: load and
        decide again.
        """
        drafts = [draft for decision in decisions for draft, _ in decision.rare]
        if not self._take_places(drafts, catalog):
            return False
        documents = []
        for user_id in {row.user_id for decision in decisions for row in decision.rows}:
            state = states[user_id]
            history.forget(state)
            documents.append((user_id, state.version, document_of(state)))
        self._save_documents(documents)
        self._insert(
            "journal (user_id, version, actor_id, request_id, type, time, recorded_at, revision, fingerprint, day,"
            " groups, data, touched, changes, skipped)",
            [astuple(row) for decision in decisions for row in decision.rows],
        )
        self._save_notifications(decisions)
        self._save_rare(decisions)
        return True

    def put(self, user_id: str, state: UserState) -> None:
        """Write the state of one user, who was locked: for settings, which are no request."""
        self._save_documents([(user_id, state.version, document_of(state))])

    # --- Each database's own ------------------------------------------------------------------------------------------

    @abstractmethod
    def lock(self, user_ids: Collection[str], *, waiting_for: Collection[str] = ()) -> Collection[str]:
        """Lock users until the end, and make those who are new; return those that others hold."""

    @abstractmethod
    def lock_catalog(self) -> None:
        """Keep others from applying a catalog until the end."""

    @abstractmethod
    def _documents(self, user_ids: Collection[str]) -> dict[str, str]:
        """Return the documents of those of the users that exist."""

    @abstractmethod
    def _rows(self, statement: str, keys: Sequence[Key] | None = None) -> list[Any]:
        """Run a query; none for no keys."""

    @abstractmethod
    def _change(self, statement: str, keys: Sequence[Key]) -> None:
        """Run an update of the rows that keys name."""

    @abstractmethod
    def _insert(self, table: str, rows: Sequence[Key]) -> None:
        """Insert rows into a table, named with its columns."""

    @abstractmethod
    def _save_documents(self, documents: Sequence[tuple[str, int, str]]) -> None:
        """Write users' versions and documents."""

    @abstractmethod
    def _places(self, codes: Sequence[str]) -> dict[str, int]:
        """Return how many places of limited achievements are taken, and let nobody else take one until the end."""

    # --- Loading ------------------------------------------------------------------------------------------------------

    def _load_recorded(self, context: Context, keys: Sequence[RequestKey]) -> None:
        rows = self._rows(
            "SELECT j.actor_id, j.request_id, j.fingerprint, j.touched, j.changes, j.skipped FROM {keys}"
            " JOIN journal AS j ON j.user_id = k.a AND j.request_id = k.b AND j.actor_id = j.user_id",
            keys,
        )
        others = {
            (actor, request_id): _decode_touched(touched) for actor, request_id, _, touched, _, _ in rows if touched
        }
        found = self._changes_of({part for parts in others.values() for part in parts}) if others else {}
        for actor, request_id, fingerprint, _, changes, skipped in rows:
            shown = addressed(actor, _decode_changes(changes))
            for part in others.get((actor, request_id), ()):
                shown += addressed(part[0], _decode_changes(found[part]) if part in found else [])
            outcome = Outcome(
                user_id=actor,
                event_id=request_id,
                status="applied",
                changes=tuple(shown),
                skipped=_decode_skips(skipped) if skipped else (),
            )
            context.recorded[actor, request_id] = Recorded(bytes(fingerprint), outcome)

    def _changes_of(self, parts: Iterable[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """Return the changes of journal rows by user and version."""
        rows = self._rows(
            "SELECT j.user_id, j.version, j.changes FROM {keys}"
            " JOIN journal AS j ON j.user_id = k.a AND j.version = CAST(k.b AS bigint)",
            list(parts),
        )
        return {(user_id, version): changes for user_id, version, changes in rows}

    def _claims(self, keys: Sequence[ClaimKey]) -> set[ClaimKey]:
        return set(
            self._rows(
                "SELECT c.user_id, c.scope, c.actor, c.value FROM {keys}"
                " JOIN claims AS c ON c.user_id = k.a AND c.scope = k.b AND c.actor = k.c AND c.value = k.d",
                keys,
            )
        )

    def _load_past(self, context: Context, touched: Touches) -> None:
        """Load what a wallet or quest command names: closed holds, spends to refund, claimed runs."""
        for user_id, hold, ended in self._rows(
            "SELECT h.user_id, h.hold, h.ended FROM {keys} JOIN holds AS h ON h.user_id = k.a AND h.hold = k.b"
            " WHERE h.ended IS NOT NULL",
            list(touched.holds),
        ):
            context.past.closed_holds[user_id, hold] = ended
        self._load_recorded(context, list(touched.refunded - context.recorded.keys()))
        context.past.refunded.update(dict.fromkeys(touched.refunded, 0))
        for user_id, command, changes in self._rows(
            "SELECT j.user_id, j.data, j.changes FROM {keys} JOIN journal AS j ON j.user_id = k.a"
            " AND j.actor_id = j.user_id AND j.type = ':refund'",
            [(user_id,) for user_id in {user_id for user_id, _ in touched.refunded}],
        ):
            key = (user_id, msgspec.json.decode(command)["request"])
            if key in touched.refunded:
                context.past.refunded[key] += sum(
                    change.amount
                    for change in _decode_changes(changes)
                    if isinstance(change, CurrencyCredited) and change.kind == "refund"
                )
        claimed: dict[tuple[str, str], set[str]] = {key: set() for key in touched.quests}
        for user_id, quest, period in self._rows(
            "SELECT q.user_id, q.quest, q.period FROM {keys} JOIN quest_runs AS q ON q.user_id = k.a AND q.quest = k.b"
            " WHERE q.claimed_at IS NOT NULL",
            list(touched.quests),
        ):
            claimed[user_id, quest].add(period)
        context.claimed.update({key: frozenset(runs) for key, runs in claimed.items()})

    # --- Writing ------------------------------------------------------------------------------------------------------

    def _take_places(self, drafts: Sequence[Draft], catalog: Catalog) -> bool:
        """Take the places that limited achievements were given, if they are still there; codes in order."""
        wanted = Counter(code for draft in drafts for code in draft.places_taken)
        if not wanted:
            return True
        taken = self._places(sorted(wanted))
        for code, count in wanted.items():
            if taken[code] + count > (catalog.achievements[code].max_achievers or 0):
                return False
        self._change(
            "UPDATE achiever_counts SET taken = CAST(k.b AS integer) FROM {keys} WHERE achievement = k.a",
            [(code, taken[code] + count) for code, count in wanted.items()],
        )
        return True

    def _save_notifications(self, decisions: Sequence[Decision]) -> None:
        self._insert(
            "notifications (user_id, number, type, title, message, image, data, created_at)",
            [
                (
                    user_id,
                    n.number,
                    n.type,
                    n.title,
                    n.message,
                    n.image,
                    _encode(n.data).decode(),
                    from_datetime(n.created_at),
                )
                for decision in decisions
                for user_id, n in decision.notifications
            ],
        )

    def _save_rare(self, decisions: Sequence[Decision]) -> None:
        """Write what most requests do not cause: claims, unlocks, quest runs, holds."""
        drafts = [pair for decision in decisions for pair in decision.rare]
        self._insert(
            "claims (user_id, scope, actor, value)",
            [(draft.user_id, c.scope, c.actor, c.value) for draft, _ in drafts for c in draft.claims],
        )
        self._insert(
            "unlocks (user_id, achievement, times, unlocked_at, recorded_at, version)",
            [
                (draft.user_id, u.achievement, u.times, from_datetime(u.unlocked_at), row.recorded_at, row.version)
                for draft, row in drafts
                for u in draft.unlocked
            ],
        )
        records = [(draft.user_id, record) for draft, _ in drafts for record in draft.quest_records]
        self._insert(
            "quest_runs (user_id, quest, period, completed_at, claimed_at)",
            [
                (user_id, record.quest, record.period, record.completed_at, record.claimed_at)
                for user_id, record in records
                if record.completed_at is not None
            ],
        )
        self._change(
            "UPDATE quest_runs SET claimed_at = CAST(k.d AS bigint) FROM {keys}"
            " WHERE user_id = k.a AND quest = k.b AND period = k.c",
            [
                (user_id, record.quest, record.period, record.claimed_at)
                for user_id, record in records
                if record.completed_at is None
            ],
        )
        opened = [(draft.user_id, draft.opened_hold) for draft, _ in drafts if draft.opened_hold is not None]
        self._insert(
            "holds (user_id, hold, currency, amount, expires_at)",
            [(user_id, hold.id, hold.currency, hold.amount, hold.expires_at) for user_id, hold in opened],
        )
        self._change(
            "UPDATE holds SET ended = k.c FROM {keys} WHERE user_id = k.a AND hold = k.b",
            [(draft.user_id, hold_id, how) for draft, _ in drafts for hold_id, how in draft.closed_holds],
        )
