"""
The order of the questions: whom a request concerns, and what happens to them.

`touches` says which users, claims and older requests must be at hand; `decide` says what happens. Both are pure: no
clock, no dice, no I/O, and the same call serves a live event, a batch of a thousand and ten years of history. `decide`
brings the states at hand forward, so that the next request of a batch finds them as this one left them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from laurels.core import achievements, commands, levels, quests, rules, streaks, wallet
from laurels.core.changes import Outcome, Skip, addressed
from laurels.core.draft import Draft
from laurels.core.errors import Conflict, Unknown
from laurels.core.notifications import Notification, notify
from laurels.core.rules import claim_key
from laurels.core.state import UserState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from laurels.core.catalog import Catalog
    from laurels.core.changes import Change
    from laurels.core.history import Memory
    from laurels.core.periods import Instant
    from laurels.core.requests import Request
    from laurels.core.rules import ClaimKey

RequestKey = tuple[str, str]
_encoder = msgspec.json.Encoder()
_decode_state = msgspec.json.Decoder(UserState).decode


def _encode(document: object) -> str:
    return _encoder.encode(document).decode()


@dataclass(slots=True)
class Touches:
    """What some requests concern: users, things that count once, and for commands older requests, holds and quests."""

    users: set[str] = field(default_factory=set)
    claims: set[ClaimKey] = field(default_factory=set)
    refunded: set[RequestKey] = field(default_factory=set)
    holds: set[RequestKey] = field(default_factory=set)
    quests: set[tuple[str, str]] = field(default_factory=set)


class Recorded(msgspec.Struct):
    """A request that is in the journal (or before it in the batch), and what it caused."""

    fingerprint: bytes
    outcome: Outcome


class States:
    """
    Users' states by id, made from their documents when they are first asked for.

    So they are still near the processor when their request is decided: a batch's states are more than its caches hold.
    """

    __slots__ = ("_documents", "_states")

    def __init__(self, documents: dict[str, str] | None = None) -> None:
        self._documents = documents or {}
        self._states: dict[str, UserState] = {}

    def __contains__(self, user_id: str) -> bool:
        """Say whether there is such a user."""
        return user_id in self._states or user_id in self._documents

    def __getitem__(self, user_id: str) -> UserState:
        """Return a user's state. Raises KeyError for a user who does not exist."""
        found = self.get(user_id)
        if found is None:
            raise KeyError(user_id)
        return found

    def __setitem__(self, user_id: str, state: UserState) -> None:
        """Bring a user forward, or make one."""
        self._states[user_id] = state

    def get(self, user_id: str) -> UserState | None:
        """Return a user's state, or None for a user who does not exist yet."""
        found = self._states.get(user_id)
        if found is None and user_id in self._documents:
            found = self._states[user_id] = _decode_state(self._documents[user_id])
        return found


@dataclass(slots=True)
class Context:
    """
    What deciding some requests needs to know, loaded in one go and brought forward from one to the next.

    `claims` are those of `touches` that are taken, `places` what is left of limited achievements, `claimed` the
    claimed runs of quests that a command asks about, `memories` those of users with late requests. Users that are not
    in `states` do not exist yet.
    """

    states: States = field(default_factory=States)
    claims: set[ClaimKey] = field(default_factory=set)
    places: dict[str, int] = field(default_factory=dict)
    recorded: dict[RequestKey, Recorded] = field(default_factory=dict)
    past: wallet.Past = field(default_factory=wallet.Past)
    claimed: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    memories: dict[str, Memory] = field(default_factory=dict)


class JournalRow(msgspec.Struct, frozen=True):
    """
    One user's part of one request, as it is stored, in the order of the table's columns; documents are JSON text.

    `data`, `touched` and `skipped` stand on the actor's row only.
    """

    user_id: str
    version: int
    actor_id: str
    request_id: str
    type: str
    time: Instant
    recorded_at: Instant
    revision: int
    fingerprint: bytes
    day: int
    groups: str | None
    data: str | None
    touched: str | None
    changes: str
    skipped: str | None


class Decision(msgspec.Struct):
    """
    What happens because of one request: the journal's rows, the outcome, and what most requests do not cause.

    `rare` are the drafts, with their journal rows, that cause rows of other tables; the rest are let go at once, since
    what a batch keeps is what drives the next request's state out of the processor's caches.
    """

    rows: list[JournalRow]
    rare: list[tuple[Draft, JournalRow]]
    notifications: list[tuple[str, Notification]]
    outcome: Outcome


def touches(requests: Iterable[Request], catalog: Catalog) -> Touches:
    """
    Return everything that deciding these requests may read or write.

    Conditions are not asked: too much is harmless.
    """
    found = Touches()
    matches_of = catalog.matches.of
    for request in requests:
        found.users.update(concerned(request, catalog))
        if request.command is not None:
            _touch_command(request.command, found)
            continue
        for rule in matches_of(request.type).counting_once:
            found.claims.update(rules.claims_of(rule, request))
    return found


def concerned(request: Request, catalog: Catalog) -> list[str]:
    """Return the users a request may change: its actor, then whom its rules or its transfer name."""
    users = [request.actor]
    if request.command is None:
        for rule in catalog.matches.of(request.type).naming:
            recipient = rules.recipient_of(rule, request)
            if recipient is not None:
                users.append(recipient)
    elif isinstance(request.command, commands.Transfer):
        users.append(request.command.to)
    return users


def decide(context: Context, request: Request, catalog: Catalog, now: Instant) -> Decision:
    """
    Decide one request, and bring the context forward.

    Raises a LaurelsError when the request cannot be done, and Forgotten when a late one needs a user's memory. A
    command is refused before anything changed; after `amount_out_of_range` and Forgotten the context is of no use.
    """
    drafts: dict[str, Draft] = {}

    def draft_of(user_id: str) -> Draft:
        draft = drafts.get(user_id)
        if draft is None:
            state = context.states.get(user_id) or UserState(zone=catalog.zone)
            draft = drafts[user_id] = Draft.of(user_id, state, request.at, now, context.memories.get(user_id))
        return draft

    if request.command is not None:
        _check_user(request.command, context)
    actor = draft_of(request.actor)
    skips: list[Skip] = []
    if request.command is None:
        matches = catalog.matches.of(request.type)
        boosts = rules.active_boosts(matches.boosts, request.at) if matches.boosts else ()
        for rule in matches.rules:
            skips += rules.apply_rule(rule, request, boosts, context.claims, draft_of)
        for streak in matches.streaks:
            streaks.qualify(actor, streak)
        if matches.unknown is not None:
            skips.append(Skip(request.type, "not_available", request.actor, detail=matches.unknown))
    elif isinstance(request.command, commands.Transfer):
        receiver = draft_of(request.command.to)
        wallet.carry_out(request.command, actor, receiver, catalog.currencies, context.past)
    else:
        _carry_out(request.command, actor, catalog, context, skips)

    touched = [actor]
    if len(drafts) > 1:
        others = [draft for draft in drafts.values() if draft is not actor and _is_touched(draft, context)]
        touched += sorted(others, key=lambda draft: draft.user_id)
    for draft in touched:
        if draft.dirty or draft.moves:
            _cascade(draft, catalog, context.places, skips)
        for hold, how in draft.closed_holds:
            context.past.closed_holds[draft.user_id, hold] = how
        context.states[draft.user_id] = draft.state
    return _decision(request, touched, skips, catalog, now)


def decide_batch(
    context: Context, requests: Sequence[Request], catalog: Catalog, now: Instant
) -> tuple[list[Outcome], list[Decision]]:
    """
    Decide requests one after the other; return an outcome for each, and a decision for each not recorded before.

    Raises Conflict `request_id_reused` when an id comes back with other content.
    """
    outcomes, decisions = [], []
    for request in requests:
        key = (request.actor, request.id)
        known = context.recorded.get(key)
        if known is None:
            decision = decide(context, request, catalog, now)
            context.recorded[key] = Recorded(request.fingerprint, decision.outcome)
            decisions.append(decision)
            outcomes.append(decision.outcome)
        elif known.fingerprint == request.fingerprint:
            outcomes.append(msgspec.structs.replace(known.outcome, status="duplicate"))
        else:
            raise Conflict(
                "request_id_reused",
                f"{request.actor!r} already has a request {request.id!r} with other content. Send a new id, or resend "
                "it unchanged. Nothing was recorded.",
            )
    return outcomes, decisions


def _touch_command(command: commands.AnyCommand, found: Touches) -> None:
    match command:
        case commands.AwardXp() | commands.Credit():
            key = _source_key(command)
            if key is not None:
                found.claims.add(key)
        case commands.Capture() | commands.Release():
            found.holds.add((command.user, command.hold))
        case commands.Refund():
            found.refunded.add((command.user, command.request))
        case commands.ClaimQuest():
            found.quests.add((command.user, command.quest))
        case _:
            pass


def _source_key(command: commands.AwardXp | commands.Credit) -> ClaimKey | None:
    """Return what makes the same source pay once (3.5): user, unit, source and its id."""
    if command.source_id is None:
        return None
    unit = "xp" if isinstance(command, commands.AwardXp) else command.currency
    return claim_key(command.user, f":source:{unit}", command.source, command.source_id)


def _check_user(command: commands.AnyCommand, context: Context) -> None:
    if command.user not in context.states and not isinstance(command, commands.AwardXp | commands.Credit):
        raise Unknown("unknown_user", f"There is no user {command.user!r}. A first event, award or credit makes one.")


def _carry_out(
    command: commands.AnyCommand, actor: Draft, catalog: Catalog, context: Context, skips: list[Skip]
) -> None:
    if isinstance(command, commands.AwardXp | commands.Credit):
        key = _source_key(command)
        if key is not None and key in context.claims:
            detail = f"{command.source!r} {command.source_id!r} was paid already"
            skips.append(Skip(command.source, "already_counted", actor.user_id, detail=detail))
            return
        if isinstance(command, commands.Credit):
            wallet.carry_out(command, actor, None, catalog.currencies, context.past)
        else:
            actor.award_xp(command.amount, "")
        if key is not None:
            rules.take_claim(actor, key, context.claims)
    elif isinstance(command, commands.AcceptQuest):
        quests.accept(command, actor, catalog)
    elif isinstance(command, commands.ClaimQuest):
        run_of = (command.user, command.quest)
        claimed = context.claimed.get(run_of, frozenset())
        quests.claim(command, actor, catalog, claimed)
        context.claimed[run_of] = claimed.union(record.period for record in actor.quest_records)
    else:
        if isinstance(command, commands.Refund) and (spent := context.recorded.get((command.user, command.request))):
            context.past.outcomes[command.user, command.request] = spent.outcome
        wallet.carry_out(command, actor, None, catalog.currencies, context.past)


def _cascade(draft: Draft, catalog: Catalog, places: dict[str, int], skips: list[Skip]) -> None:
    """Until nothing applies: the next level; else the first achievement due; else the first quest fulfilled (1.2)."""
    while True:
        if "xp" in draft.dirty:
            levels.settle(draft, catalog.levels)
        if draft.dirty and achievements.unlock_first(draft, catalog, places, skips):
            continue
        if not quests.complete_first(draft, catalog):
            break
    achievements.note_progress(draft, catalog)
    if draft.quest_progress:
        quests.note_progress(draft, catalog)


def _is_touched(draft: Draft, context: Context) -> bool:
    """Say whether a rule did anything for another user: to be named makes one, values seen again count in quests."""
    return bool(draft.changes or draft.moves) or draft.user_id not in context.states


def _decision(request: Request, drafts: list[Draft], skips: list[Skip], catalog: Catalog, now: Instant) -> Decision:
    rows: list[JournalRow] = []
    rare: list[tuple[Draft, JournalRow]] = []
    notifications: list[tuple[str, Notification]] = []
    changes: list[Change] = []
    at, data, skipped, touched = request.at, request.body, _encode(skips) if skips else None, None
    if len(drafts) > 1:
        touched = _encode([(draft.user_id, draft.state.version + 1) for draft in drafts[1:]])
    for draft in drafts:
        state = draft.state
        state.version += 1
        state.latest_at = max(state.latest_at, at)
        if draft.unlocked or draft.completed or "level" in draft.before:
            notifications += [(draft.user_id, told) for told in notify(draft, catalog, now)]
        row = JournalRow(
            draft.user_id,
            state.version,
            request.actor,
            request.id,
            request.type,
            at,
            now,
            catalog.revision,
            request.fingerprint,
            draft.day,
            _encode(state.groups) if state.groups else None,
            data,
            touched,
            _encode(draft.changes),
            skipped,
        )
        data = touched = skipped = None  # They stand on the first row, the actor's, only.
        rows.append(row)
        if draft.has_rare:
            rare.append((draft, row))
        changes += addressed(draft.user_id, draft.changes)
    outcome = Outcome(
        user_id=request.actor, event_id=request.id, status="applied", changes=tuple(changes), skipped=tuple(skips)
    )
    return Decision(rows, rare, notifications, outcome)
