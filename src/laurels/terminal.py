"""
How Laurels looks in a terminal: boards, profiles, achievements, streaks, notifications, and why somebody earned what.

Each function takes what a reader gets from the engine and returns what Rich can print. Nothing here reads a database.
No line ends in a frame, since terminals do not agree on how wide an emoji is.
"""

from __future__ import annotations

import json
import shlex
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, assert_never
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.progress import BarColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from laurels.core.catalog import POINTS
from laurels.core.changes import (
    AchievementProgressed,
    AchievementUnlocked,
    CurrencyCredited,
    CurrencyDebited,
    CurrencyHeld,
    CurrencyReleased,
    LevelLost,
    LevelReached,
    MetricChanged,
    QuestAccepted,
    QuestClaimed,
    QuestCompleted,
    QuestProgressed,
    StreakBroken,
    StreakExtended,
    StreakFrozen,
    XpAwarded,
)
from laurels.core.periods import from_datetime
from laurels.doctor import LAWS
from laurels.worker import HeldBack, Interrupted, LeaseHeldElsewhere, LeaseTaken, Projected, Resumed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import Console, JustifyMethod
    from rich.progress import Task

    from laurels.catalog_diff import Difference
    from laurels.core.catalog import Catalog, Rule
    from laurels.core.changes import Change, Outcome, Skip
    from laurels.core.notifications import Notification
    from laurels.core.periods import Instant
    from laurels.core.profile import Profile, StreakView
    from laurels.demo import Tour
    from laurels.doctor import Report
    from laurels.handles import AchievementView, QuestView, StreakDay
    from laurels.keys import Key, NewKey
    from laurels.leaderboards.board import Period, Standing
    from laurels.protocols import Progress
    from laurels.store.reads import StoredRequest
    from laurels.store.tail import Holder
    from laurels.webhooks.deliverer import Round
    from laurels.worker import Pass, Told

RARITY_STYLES = {
    "common": "grey70",
    "uncommon": "green3",
    "rare": "dodger_blue1",
    "epic": "medium_purple1",
    "legendary": "orange1",
    "mythic": "bright_red",
    "limited_edition": "gold1",
    "seasonal": "turquoise2",
}
STREAK_SIGNS = {
    "met": ("●", "orange1"),
    "frozen": ("❄", "bright_cyan"),
    "excused": ("–", "grey50"),
    "missed": ("·", "grey50"),
    "open": ("○", "orange1"),
}
STREAK_WORDS = {
    "met": "there",
    "frozen": "covered by a freeze",
    "excused": "nobody could be there",
    "missed": "missed",
    "open": "not over yet",
}
DIFFERENCE_SIGNS = {"added": ("+", "green3"), "removed": ("-", "red3"), "changed": ("~", "gold1")}
FINDINGS_SHOWN = 50
ON_THE_WAY_SHOWN = 4
BAR_WIDTH = 30


def title(text: str, detail: str = "") -> Text:
    """Return a heading, and beside it what it is about."""
    return Text.assemble((text, "bold gold1"), ("  " + detail, "grey62"))


def bar(share: float, width: int = BAR_WIDTH) -> Text:
    """Return a bar that is filled by a share from 0 to 1; what has begun shows."""
    filled = min(width, max(round(share * width), 1 if share > 0 else 0))
    return Text.assemble(("━" * filled, "gold1"), ("━" * (width - filled), "grey30"))


def clock(at: datetime, zone: str) -> str:
    """Return an instant as a user reads it."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %d %b %Y %H:%M}"


def _grid(*justify: JustifyMethod) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for each in justify:
        table.add_column(justify=each, overflow="fold")
    return table


def _dim(text: str) -> Text:
    return Text(text, "grey62")


def _icon(icon: str) -> str:
    return icon + " " if icon else ""


# --- Boards -----------------------------------------------------------------------------------------------------------


def board(name: str, period: Period, lines: Sequence[Standing], total: int) -> RenderableType:
    """Return a board's lines, each with its movement against the period before and a bar against the first."""
    when = "all time" if period.kind == "alltime" else f"{period.kind}, {period.key}, {period.status}"
    heading = title(name, f"{when} · {total:,} listed")
    if not lines:
        return Group(heading, _dim("Nobody is listed."))
    table = _grid("right", "left", "left", "left", "left", "right")
    first = max(lines[0].score, 1)
    for line in lines:
        table.add_row(
            Text(f"{line.rank}", "bold"),
            Text() if period.kind == "alltime" else _movement(line.movement),
            Text(line.display_name or line.user_id),
            Text(line.user_id if line.display_name else "", "grey42"),
            _dim(f"level {line.level}"),
            Text(f"{line.score:,}", "gold1"),
            bar(max(line.score, 0) / first, 16),
        )
    return Group(heading, table)


def _movement(movement: int | None) -> Text:
    if movement is None:
        return Text("new", "turquoise2")
    if movement == 0:
        return Text("=", "grey50")
    return Text(f"▲{movement}", "green3") if movement > 0 else Text(f"▼{-movement}", "red3")


# --- Users ------------------------------------------------------------------------------------------------------------


def users(profiles: Sequence[Profile]) -> RenderableType:
    """Return a line for each user."""
    table = _grid("left", "left", "right", "right", "left")
    for of in profiles:
        table.add_row(
            Text(of.user_id, "bold"),
            Text(of.display_name or ""),
            _dim(f"level {of.level}"),
            Text(f"{of.xp:,} XP", "gold1"),
            _dim("opted out" if of.opted_out else of.timezone),
        )
    return table if profiles else _dim("There are no users.")


def profile(of: Profile, catalog: Catalog) -> RenderableType:
    """Return who somebody is: level bar, currencies, and the metrics that the catalog declares."""
    progress = of.level_progress
    goal = f"{of.xp:,} XP" if progress.next_xp is None else f"{of.xp:,} of {progress.next_xp:,} XP"
    known = [of.user_id] if of.display_name else []
    known += [of.timezone, *(f"{name} {value}" for name, value in of.groups.items())]
    known += ["opted out"] if of.opted_out else []
    names = {code: currency.name.lower() for code, currency in catalog.currencies.items()}
    money = [f"{balance.available:,} {names.get(code, code)}" for code, balance in of.balances.items()]
    counted = [f"{of.metrics[code]:,} {metric.name.lower()}" for code, metric in catalog.metrics.items()]
    return Group(
        title(of.display_name or of.user_id, " · ".join(known)),
        Text.assemble(
            (f"Level {of.level}", "bold"),
            (f" {of.title or ''}", "italic"),
            "  ",
            bar(progress.fraction),
            (f"  {progress.fraction:.0%}", "bold"),
            (f"  {goal}", "grey62"),
        ),
        Text(" · ".join(money), "gold1"),
        _dim(" · ".join(counted)),
    )


def achievements(views: Sequence[AchievementView]) -> RenderableType:
    """Return what is unlocked, by rarity from the rarest, and the three that are nearest."""
    unlocked = [view for view in views if view.unlocked]
    rarities = _grid("left", "left")
    for rarity, _ in sorted(POINTS.items(), key=itemgetter(1), reverse=True):
        names = [
            _icon(view.icon) + view.name + (f" ×{view.times}" if view.times > 1 else "")
            for view in unlocked
            if view.rarity == rarity
        ]
        style = RARITY_STYLES[rarity]
        if names:
            rarities.add_row(Text(rarity.replace("_", " "), f"bold {style}"), Text(" · ".join(names), style))
    coming = [view for view in views if 0 < view.value < view.target and not view.secret]
    nearest = _grid("left", "left", "left", "left")
    for view in sorted(coming, key=lambda view: -view.value / view.target)[:3]:
        share = view.value / view.target
        nearest.add_row(_dim("next"), Text(view.name), bar(share, 12), _dim(f"{view.value:,} of {view.target:,}"))
    return Group(title("Achievements", f"{len(unlocked)} of {len(views)}"), rarities, nearest)


def streak(name: str, of: StreakView, days: Sequence[StreakDay]) -> RenderableType:
    """Return a strip of days or weeks, oldest first; there is a gap before each Monday."""
    strip = Text()
    for day in days:
        is_monday = "W" not in day.day and date.fromisoformat(day.day).weekday() == 0
        strip.append(" " if strip and is_monday else "")
        strip.append(*STREAK_SIGNS[day.status])
    seen = {day.status for day in days}
    legend = [
        Text.assemble(STREAK_SIGNS[status], (f" {words}", "grey62"))
        for status, words in STREAK_WORDS.items()
        if status in seen
    ]
    detail = f"{of.length} now · {of.longest} at best · freezes left: {of.freezes}"
    return Group(title(name, detail), strip, Text("   ").join(legend))


def quests(views: Iterable[QuestView]) -> RenderableType:
    """Return the quests under way or waiting for their reward."""
    table = _grid("left", "left", "left", "left")
    for view in views:
        if view.status in ("in_progress", "completed"):
            state = "claim it" if view.status == "completed" else f"{view.value:,} of {view.target:,}"
            table.add_row(Text(view.name), bar(view.value / view.target, 12), Text(state), _dim(view.description))
    return Group(title("Quests under way"), table if table.row_count else _dim("None."))


def notifications(told: Iterable[Notification], zone: str) -> RenderableType:
    """Return notifications at the user's own time."""
    table = _grid("left", "left", "left")
    for each in told:
        table.add_row(_dim(clock(each.created_at, zone)), Text(each.title, "bold"), Text(each.message))
    return Group(title("Notifications"), table if table.row_count else _dim("None."))


# --- The catalog, and what a doctor found -----------------------------------------------------------------------------


def catalog(of: Catalog) -> RenderableType:
    """Return what a catalog holds, section by section."""
    table = _grid("left", "left")
    sections = {
        "events": list(of.events),
        "currencies": list(of.currencies),
        "metrics": list(of.metrics),
        "rules": [rule.id for rule in of.rules],
        "boosts": [boost.id for boost in of.boosts],
        "achievements": list(of.achievements),
        "quests": list(of.quests),
        "streaks": list(of.streaks),
        "leaderboards": list(of.leaderboards),
    }
    for section, names in sections.items():
        table.add_row(Text(f"{len(names)} {section}", "bold"), _dim(", ".join(names)))
    table.add_row(
        Text(f"{len(of.levels.thresholds)} levels", "bold"), _dim(f"the last at {of.levels.thresholds[-1]:,} XP")
    )
    return Group(title(of.name, f"revision {of.revision}" if of.revision else ""), table)


def differences(found: Sequence[Difference]) -> RenderableType:
    """Return a line for each difference between two catalogs."""
    if not found:
        return _dim("There is no difference.")
    table = _grid("left", "left", "left")
    for each in found:
        sign, style = DIFFERENCE_SIGNS[each.kind]
        values = [json.dumps(value, ensure_ascii=False) for value in (each.before, each.after)]
        change = {"changed": " → ".join(values), "added": values[1], "removed": values[0]}[each.kind]
        table.add_row(Text(sign, style), Text(each.path, style), _dim("" if change == "null" else change))
    return table


def examination(report: Report) -> RenderableType:
    """Return which laws hold, and each place where one does not."""
    laws = _grid("left", "left", "left", "left")
    for law, broken in report.laws.items():
        sign = Text("✗", "red3") if broken else Text("✓", "green3")
        laws.add_row(sign, Text(law, "bold"), _dim(LAWS[law]), Text(f"broken {broken:,} ×" if broken else "", "red3"))
    found = _grid("left", "left", "left")
    for finding in report.findings[:FINDINGS_SHOWN]:
        found.add_row(
            Text(finding.law, "bold"),
            Text(finding.where),
            Text(f"{finding.what}: expected {finding.expected}, found {finding.found}"),
        )
    seen = f"{report.users:,} users, {report.rows:,} rows of the journal"
    if report.healthy:
        return Group(title("In good health", seen), laws)
    more = sum(report.laws.values()) - FINDINGS_SHOWN
    rest = [_dim(f"and {more:,} more; --json lists {len(report.findings):,}")] if more > 0 else []
    return Group(title("Not in good health", seen), laws, Text(), found, *rest)


# --- The worker -------------------------------------------------------------------------------------------------------


def told(of: Told) -> Text:
    """Return a line for something that a worker tells, with the time of day in front."""
    match of:
        case LeaseTaken(behind=behind):
            where = f"{_rows(behind)} behind the journal" if behind else "which are up to date"
            text = Text(f"Projecting the leaderboards, {where}", "green3")
        case LeaseHeldElsewhere():
            text = Text("Standing by: another worker projects the leaderboards")
        case Projected(rows=rows, behind=behind):
            left = f", {behind:,} to go" if behind else ", up to date"
            text = Text(f"{_rows(rows)} projected{left}")
        case HeldBack(behind=behind, holder=holder):
            text = Text(f"{_rows(behind)} cannot be shown yet: {_held_by(holder)}", "orange1")
        case Interrupted(reason=reason):
            text = Text(f"Waiting: {reason}", "red3")
        case Resumed(after_s=after_s):
            text = Text(f"Going on after {after_s:,} s", "green3")
        case _:
            assert_never(of)
    return Text.assemble((f"{datetime.now().astimezone():%H:%M:%S}  ", "grey62"), text)


def worker_pass(of: Pass, delivered: Round | None) -> Text:
    """Return what one pass of a worker came to."""
    return Text("\n").join([_boards_of(of), *([] if delivered is None else _delivered(delivered))])


def _delivered(of: Round) -> Iterator[Text]:
    """Yield what webhooks were told, if there was anything to tell."""
    parts = ((of.delivered, "delivered"), (of.failed, "failed"), (of.given_up, "given up"), (of.dropped, "dropped"))
    counted = [f"{count:,} {what}" for count, what in parts if count]
    if counted:
        yield Text(f"Messages to webhooks: {', '.join(counted)}.")


def _boards_of(of: Pass) -> Text:
    if not of.lease:
        return Text("Another worker projects the leaderboards; there was nothing to do.")
    came = f"{_rows(of.rows)} of the journal came on to them"
    if not of.behind:
        return Text(f"The leaderboards are up to date: {came}.")
    why = "" if of.held_back is None else f": {_held_by(of.held_back)}"
    return Text(f"The leaderboards are not up to date: {came}, {of.behind:,} cannot yet{why}.")


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _held_by(holder: Holder) -> str:
    process = holder.application if holder.pid is None else f"process {holder.pid} ({holder.application or 'no name'})"
    return f"{process} has kept a transaction open for {timedelta(seconds=round(holder.age_s))}"


# --- Why --------------------------------------------------------------------------------------------------------------


@dataclass
class Cause:
    """One thing that paid or counted something, and what that was, in words."""

    what: Text
    effects: list[Text] = field(default_factory=list)


def outcome(of: Outcome, request: StoredRequest, catalog: Catalog, zone: str) -> RenderableType:
    """Explain an outcome: what paid what, for everyone it touched; what was not earned, and from when on it can be."""
    again = ", recorded before" if of.status == "duplicate" else ""
    heading = title(f"{of.user_id} {of.event_id}", f"{request.type} · {clock(request.time, zone)} {zone}{again}")
    table = _grid("left", "left")
    for user_id, changes in groupby(of.changes, key=lambda change: change.user_id):
        table.add_row(Text(user_id, "bold"))
        for cause in _causes(changes, catalog):
            table.add_row(Text.assemble("  ", cause.what), Text(" · ").join(cause.effects))
    if not of.changes:
        table.add_row(Text("Nothing was earned."))
    for skip in of.skipped:
        whom = f" for {skip.user_id}" if skip.user_id != of.user_id else ""
        what = Text.assemble(("✗ ", "red3"), _cause(skip.rule, catalog), (whom, "grey62"))
        table.add_row(what, _dim(why_skipped(skip, catalog, zone)))
    return Group(heading, table)


def _causes(changes: Iterable[Change], catalog: Catalog) -> list[Cause]:
    """Return causes in the order in which they first did something, each with its effects."""
    causes: dict[str, Cause] = {}

    def effect(cause: str, text: str, style: str, what: Text | None = None) -> None:
        if cause not in causes:
            causes[cause] = Cause(what if what is not None else _cause(cause, catalog))
        causes[cause].effects.append(Text(text, style))

    for change in changes:
        match change:
            case XpAwarded(amount=amount, total=total, rule=rule):
                effect(rule, f"{amount:+,} XP → {total:,}", "gold1")
            case CurrencyCredited(currency=currency, amount=amount, balance=balance, rule=rule):
                effect(rule, f"+{amount:,} {currency} → {balance:,}", "green3")
            case CurrencyDebited(currency=currency, amount=amount, balance=balance, kind=kind):
                effect(kind, f"-{amount:,} {currency} → {balance:,}", "red3", Text(kind))
            case CurrencyHeld(currency=currency, amount=amount, balance=balance):
                effect("hold", f"{amount:,} {currency} set aside → {balance:,}", "turquoise2", Text("hold"))
            case CurrencyReleased(currency=currency, amount=amount, balance=balance):
                effect("release", f"{amount:,} {currency} free again → {balance:,}", "turquoise2", Text("release"))
            case MetricChanged(metric=metric, value=value, delta=delta):
                effect("counted", f"{metric} {value:,} ({delta:+,})", "grey70", Text("counted"))
            case LevelReached(level=level, title=name):
                is_new = level in catalog.levels.at and catalog.levels.at[level].title
                effect(f"level:{level}", "reached" + (f": {name}" if is_new else ""), "bold")
            case LevelLost(level=level):
                effect(f"level:{level}", "lost", "red3")
            case AchievementUnlocked(achievement=code, rarity=rarity, times=times):
                effect(
                    f"achievement:{code}",
                    "unlocked" + (f" ×{times}" if times > 1 else ""),
                    f"bold {RARITY_STYLES[rarity]}",
                )
            case QuestAccepted(quest=code, period=period):
                effect(f"quest:{code}", f"accepted ({period})", "grey70")
            case QuestCompleted(quest=code, period=period):
                effect(f"quest:{code}", f"completed ({period})", "bold")
            case QuestClaimed():
                pass  # Its payment follows, and says so.
            case StreakExtended(streak=code, length=length):
                effect(f"streak:{code}", f"{length} in a row", "orange1")
            case StreakFrozen(streak=code, labels=labels, freezes=freezes):
                effect(f"streak:{code}", f"{len(labels)} missed, covered by freezes ({freezes} left)", "bright_cyan")
            case StreakBroken(streak=code, length=length, missed=missed):
                effect(f"streak:{code}", f"run of {length} broken, {missed} missed", "red3")
            case AchievementProgressed(achievement=code, value=value, target=target):
                effect("next", f"{_name(code, catalog)} {value:,}/{target:,}", "grey62", Text("on the way"))
            case QuestProgressed(quest=code, value=value, target=target):
                effect("next", f"{catalog.quests[code].name} {value:,}/{target:,}", "grey62", Text("on the way"))
            case _:
                pass  # Bookkeeping, which outcomes do not show.
    if "next" in causes:  # Last, and no more than fit on a line or two.
        coming = causes.pop("next")
        causes["next"] = Cause(coming.what, coming.effects[:ON_THE_WAY_SHOWN])
    return list(causes.values())


def _cause(cause: str, catalog: Catalog) -> Text:
    kind, _, code = cause.partition(":")
    match kind:
        case "":
            return Text("as asked")
        case "level":
            return Text(f"level {code}")
        case "achievement":
            return Text(_name(code, catalog))
        case "quest":
            known = catalog.quests.get(code)
            return Text(f"quest {known.name if known else code}")
        case "streak":
            return Text(f"streak {code}")
        case _:
            return Text(f"rule {cause}")


def _name(achievement: str, catalog: Catalog) -> str:
    known = catalog.achievements.get(achievement)
    return achievement if known is None else _icon(known.icon) + known.name


def why_skipped(skip: Skip, catalog: Catalog, zone: str) -> str:
    """Return why something was not earned, and from when on it can be, in a sentence for people."""
    rule = next((rule for rule in catalog.rules if rule.id == skip.rule), None)
    match skip.reason:
        case "limit_reached":
            reason = _limit(rule)
        case "cooldown":
            reason = "too soon after another time"
        case "already_counted":
            reason = "counts once, and has been counted"
        case "self_action":
            reason = "one's own does not count"
        case "condition_false":
            reason = "its condition is not met"
        case "not_available":
            reason = "not available"
        case "opted_out":
            reason = "opted out"
        case _:
            assert_never(skip.reason)
    detail = f" ({skip.detail})" if skip.detail else ""
    return reason + detail + (f"; again from {clock(skip.retry_at, zone)}" if skip.retry_at else "")


def _limit(rule: Rule | None) -> str:
    if rule is None or rule.limit is None or not rule.limit.times:
        return "as often as it can be"
    often = "once" if rule.limit.times == 1 else f"{rule.limit.times} times"
    return f"{often} ever" if rule.limit.per == "ever" else f"{often} a {rule.limit.per}, and that was it"


# --- The demo ---------------------------------------------------------------------------------------------------------


def tour(of: Tour, program: str) -> Iterator[RenderableType]:
    """Yield what the demo shows, part by part."""
    last = of.until - timedelta(days=1)
    seen = "was here already" if not of.new_events else f"made up from seed {of.seed}"
    about = f"{of.boards[1][3]} people, {of.events:,} events in six weeks until {last:%d %B %Y}"
    yield title("A small community", f"{about}, {seen}")
    for name, period, lines, total in of.boards:
        yield board(name, period, lines, total)
    yield profile(of.profile, of.catalog)
    yield achievements(of.achievements)
    yield streak("Days in a row", of.profile.streaks["login"], of.streak_days)
    yield notifications(of.notifications, of.profile.timezone)
    why = Text("Why? Every request can say what it earned, what it did not, and from when on it can:", "italic")
    yield Group(why, outcome(of.outcome, of.request, of.catalog, of.zone))
    person = of.profile.user_id
    commands = {
        f"users show {person}": "everything about one user",
        f"leaderboard xp --around {person} --limit 5": "who is near her",
        f"explain {of.outcome.user_id} {of.outcome.event_id}": "why that earned what it earned",
        f"record post.created --user {person}": "let something happen",
        "export achievements": "who has what, for a spreadsheet",
        "doctor": "whether the ledger proves its balances",
    }
    what_to_type = Text("\n").join(
        Text.assemble((f"{program} {command} --database {shlex.quote(of.url)}", "bold"), (f"   {what}", "grey62"))
        for command, what in commands.items()
    )
    yield Group(title("What to type next", f"the community stays in {of.url}"), what_to_type)


# --- Keys -------------------------------------------------------------------------------------------------------------


def new_key(of: NewKey) -> RenderableType:
    """Return a key that was just made, in full."""
    ends = "" if of.expires_at is None else f", until {clock(of.expires_at, 'UTC')} UTC"
    return Group(
        title("A key", f"{of.name}: {', '.join(of.scopes)}{ends}"),
        _whole(of.key, "bold"),
        _dim("It is shown this once and stored nowhere; keep it as you keep a password."),
    )


def first_key(of: NewKey, url: str) -> RenderableType:
    """Return the first key of a database, and what to do with it."""
    call = (
        f"curl {url}/v1/events \\",
        f"  -H 'Authorization: Bearer {of.key}' \\",
        "  -H 'Content-Type: application/json' \\",
        """  -d '{"id": "post-1", "type": "post.created", "user": "ada"}'""",
    )
    return Group(new_key(of), Text(), _dim("Try it:"), *map(_whole, call))


def keys(found: Sequence[Key], now: Instant) -> RenderableType:
    """Return a line for each key."""
    table = _grid("left", "left", "left", "left")
    for of in found:
        used = "never used" if of.last_used_at is None else f"used {clock(of.last_used_at, 'UTC')}"
        table.add_row(Text(of.id, "bold"), Text(of.name), _dim(", ".join(of.scopes)), _dim(f"{used}{_end_of(of, now)}"))
    return table if found else _dim("There are no keys. laurels keys create makes one.")


def _end_of(of: Key, now: Instant) -> str:
    if of.revoked_at is not None:
        return f", revoked {clock(of.revoked_at, 'UTC')}"
    if of.expires_at is None:
        return ""
    ends = "expired" if from_datetime(of.expires_at) <= now else "good until"
    return f", {ends} {clock(of.expires_at, 'UTC')}"


def _whole(line: str, style: str = "") -> Text:
    """Return a line to be copied, which no narrow terminal may break."""
    return Text(line, style, no_wrap=True, overflow="ignore")


# --- Long work --------------------------------------------------------------------------------------------------------


class _Pace(ProgressColumn):
    """
    How much is done of how much, how fast since the beginning, and how long it will take.

    Rich's own columns forget the speed whenever a total changes, which estimates do all the time.
    """

    def render(self, task: Task) -> Text:
        """Return it for one step."""
        unit = task.fields["unit"]
        elapsed = task.elapsed or 0.0
        rate = task.completed / elapsed if elapsed else 0.0
        shown = decimal if unit == "bytes" else "{:,}".format
        count = shown(int(task.completed)) + (f" of {shown(int(task.total))}" if task.total else "")
        words = [count if unit == "bytes" else f"{count} {unit}"]
        words += [f"{shown(int(rate))}/s"] if rate else []
        if task.finished:
            words.append(f"in {timedelta(seconds=round(elapsed))}")
        elif task.total and rate:
            words.append(f"{timedelta(seconds=round((task.total - task.completed) / rate))} left")
        return _dim(" · ".join(words))


@contextmanager
def progress_bars(console: Console, *, disable: bool = False) -> Iterator[Progress]:
    """Show a bar for each step of long work, with its rate and the time left; nothing where nobody is watching."""
    columns = (TextColumn("{task.description:<20}"), BarColumn(30), _Pace())
    with Bars(*columns, console=console, disable=disable or not console.is_terminal) as bars:

        def begin(what: str, unit: str) -> Callable[[int, int | None], None]:
            for task in bars.tasks:
                bars.update(task.id, total=task.completed)  # Estimates were high, or there was no end to see.
            new = bars.add_task(what, total=None, unit=unit)
            return lambda done, total: bars.update(new, completed=done, total=total)

        yield begin
