"""
A store in memory, for laws that need thousands of examples: what a database keeps, as plain dictionaries.

Between batches everything lies in its stored form: documents and changes are encoded after each batch and decoded for
the next, and what a document forgets comes back only from the journal. The engine's own loop decides, so that a late
request which needs more of the past is decided again here as it is there.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import msgspec

from laurels.core import history
from laurels.core.catalog import Catalog
from laurels.core.changes import Change, CurrencyCredited, Outcome, Skip, addressed
from laurels.core.decide import Context, JournalRow, Recorded
from laurels.core.errors import LaurelsError
from laurels.core.quests import stored_run
from laurels.core.requests import receive
from laurels.core.state import UserState
from laurels.engine import _decide_units
from laurels.lanes import Unit

encode = msgspec.json.Encoder().encode
decode_state = msgspec.json.Decoder(UserState).decode
decode_changes = msgspec.json.Decoder(list[Change]).decode
decode_skips = msgspec.json.Decoder(tuple[Skip, ...]).decode
decode_touched = msgspec.json.Decoder(list[tuple[str, int]]).decode


@dataclass
class World:
    """Everything that was recorded under one catalog; `journal` holds each user's rows, `requests` each request's."""

    catalog: Catalog
    documents: dict[str, bytes] = field(default_factory=dict)
    journal: dict[str, list[JournalRow]] = field(default_factory=lambda: defaultdict(list))
    requests: dict[tuple[str, str], list[JournalRow]] = field(default_factory=lambda: defaultdict(list))
    claims: set[tuple[str, str, str, str]] = field(default_factory=set)
    taken: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    holds: dict[tuple[str, str], str | None] = field(default_factory=dict)
    quest_runs: dict[tuple[str, str, str], dict] = field(default_factory=lambda: defaultdict(dict))

    def record(self, asked, now) -> list[Outcome]:
        """Record requests together or not at all, at an instant; what is refused is raised."""
        return self._record([Unit([receive(one, now) for one in asked])], now)[0]

    def submit(self, steps) -> list[Outcome | LaurelsError]:
        """Record requests in one batch, each as it reached the engine, and accepted or refused for itself."""
        units = [Unit([receive(step.request, step.now)]) for step in steps]
        answers = self._record(units, steps[-1].now)
        return [answer if isinstance(answer, LaurelsError) else answer[0] for answer in answers]

    def set(self, user_id, **fields) -> None:
        """Change a user's settings, and make the user if need be."""
        state = self.state(user_id) or UserState(zone=self.catalog.zone)
        for name, value in fields.items():
            setattr(state, name, value)
        self.documents[user_id] = encode(state)

    def state(self, user_id) -> UserState | None:
        """Return a user's state, decoded afresh."""
        return decode_state(self.documents[user_id]) if user_id in self.documents else None

    def changes_of(self, user_id) -> list[tuple[JournalRow, list[Change]]]:
        """Return a user's journal rows with their changes, oldest first."""
        return [(row, decode_changes(row.changes)) for row in self.journal[user_id]]

    def _record(self, units, now):
        context, answers, decisions = _decide_units(self, units, self.catalog, now)
        self.save(decisions, context.states)
        return answers

    # --- What a store's transaction does ------------------------------------------------------------------------------

    def load(self, touched, keys, catalog) -> Context:
        limits = {code: catalog.achievements[code].max_achievers for code in catalog.limited}
        context = Context(
            states={user_id: self.state(user_id) for user_id in touched.users & self.documents.keys()},
            claims=touched.claims & self.claims,
            places={code: limit - self.taken[code] for code, limit in limits.items()},
            recorded={key: self._recorded(key) for key in keys if key in self.requests},
            claimed={key: self._claimed(*key) for key in touched.quests},
        )
        context.past.closed_holds = {key: how for key in touched.holds if (how := self.holds.get(key)) is not None}
        for key in touched.refunded & self.requests.keys():
            context.recorded[key] = self._recorded(key)
            context.past.refunded[key] = self._refunded(*key)
        return context

    def remember(self, context, user_ids, catalog) -> None:
        for user_id in user_ids:
            state = context.states.get(user_id)
            if state is None:
                context.memories[user_id] = history.Memory()
                continue
            runs = [
                (quest, stored_run(catalog.quests[quest], period, row["completed_at"]))
                for (owner, quest, period), row in sorted(self.quest_runs.items())
                if owner == user_id
            ]
            rows = [(row.time, changes) for row, changes in self.changes_of(user_id)]
            context.memories[user_id] = history.remember(state, rows, runs)

    def save(self, decisions, states) -> None:
        changed = set()
        for decision in decisions:
            for row in decision.rows:
                changed.add(row.user_id)
                self.journal[row.user_id].append(row)
                self.requests[row.actor_id, row.request_id].append(row)
            for draft, _ in decision.rare:
                self._save_rare(draft)
        for user_id in changed:
            history.forget(states[user_id])
            self.documents[user_id] = encode(states[user_id])

    def _save_rare(self, draft) -> None:
        for claim in draft.claims:
            key = (draft.user_id, claim.scope, claim.actor, claim.value)
            assert key not in self.claims, f"claimed twice: {key}"
            self.claims.add(key)
        for code in draft.places_taken:
            self.taken[code] += 1
        if draft.opened_hold is not None:
            self.holds[draft.user_id, draft.opened_hold.id] = None
        self.holds |= {(draft.user_id, hold): how for hold, how in draft.closed_holds}
        for record in draft.quest_records:
            row = self.quest_runs[draft.user_id, record.quest, record.period]
            times = {"completed_at": record.completed_at, "claimed_at": record.claimed_at}
            row.update({name: at for name, at in times.items() if at is not None and name not in row})

    def _recorded(self, key) -> Recorded:
        own = next(row for row in self.requests[key] if row.user_id == row.actor_id)
        shown = addressed(own.user_id, decode_changes(own.changes))
        for user_id, version in decode_touched(own.touched) if own.touched else ():
            shown += addressed(user_id, decode_changes(self.journal[user_id][version - 1].changes))
        skipped = decode_skips(own.skipped) if own.skipped else ()
        outcome = Outcome(user_id=key[0], event_id=key[1], status="applied", changes=tuple(shown), skipped=skipped)
        return Recorded(own.fingerprint, outcome)

    def _refunded(self, user_id, request_id) -> int:
        return sum(
            change.amount
            for row, changes in self.changes_of(user_id)
            if row.type == ":refund" and msgspec.json.decode(row.data)["request"] == request_id
            for change in changes
            if isinstance(change, CurrencyCredited) and change.kind == "refund"
        )

    def _claimed(self, user_id, quest) -> frozenset[str]:
        return frozenset(
            key[2] for key, row in self.quest_runs.items() if key[:2] == (user_id, quest) and "claimed_at" in row
        )
