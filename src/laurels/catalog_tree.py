"""
The tree of a catalog file: its tables, their fields, and what one value must look like.

The descriptions are for people: the JSON Schema for editors and the reference are generated from them. What values must
be to each other stands in `catalog_checks.py`.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time
from decimal import Decimal
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from laurels.core.catalog import MetricKind, Policy, QuestType, Rarity
from laurels.core.conditions import compile_condition, compile_path
from laurels.core.nearest import nearest
from laurels.core.periods import PeriodKind, Window, format_instant, from_datetime, parse_instant, zone_exists
from laurels.core.state import AMOUNT_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

LEVELS_MAX = 1_000
CODE_LENGTH_MAX = 100
FACTOR_MAX = 1_000
FACTOR_DECIMALS_MAX = 9
DURATION_DAYS_MAX = 36_500

# --- Text and names ---------------------------------------------------------------------------------------------------

_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_IN_PROSE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_EVENT_TYPE = re.compile(r"[a-z0-9_.]{1,100}")
_EVENT_PATTERN = re.compile(r"\*|[a-z0-9_.]{0,98}\.\*|[a-z0-9_.]{1,100}")


def _line(text: str) -> str:
    if _NOT_IN_A_LINE.search(text):
        raise ValueError("must be one line of text, without control characters")
    return text


def _prose(text: str) -> str:
    if _NOT_IN_PROSE.search(text):
        raise ValueError("must be text, without control characters other than line breaks and tabs")
    return text


def _code(text: str) -> str:
    if not 1 <= len(text) <= CODE_LENGTH_MAX:
        raise ValueError(f"must be 1 to {CODE_LENGTH_MAX} characters long, not {len(text)}")
    if text != text.strip():
        raise ValueError(f"{text!r} must not begin or end with white space")
    if ":" in text:
        raise ValueError(f"{text!r} must not hold ':', which is kept for names such as level:2")
    return _line(text)


def _symbol(text: str) -> str:
    if "." in text or "/" in text:
        raise ValueError(f"{text!r} must not hold '.' or '/', which are kept for names such as earned.sparkle")
    return _code(text)


def _event_type(text: str) -> str:
    if not _EVENT_TYPE.fullmatch(text):
        raise ValueError(f"{text[:120]!r} is no event type: 1 to 100 of the characters a-z, 0-9, '_' and '.'")
    return text


def _event_pattern(text: str) -> str:
    if not _EVENT_PATTERN.fullmatch(text):
        raise ValueError(
            f"{text[:120]!r} is no event type such as 'post.created', nor a pattern such as 'post.*' or '*'"
        )
    return text


def _zone(name: str) -> str:
    if not zone_exists(name):
        near = nearest(name, available_timezones())
        hint = f"did you mean {near!r}?" if near else "write an IANA name such as 'Europe/Berlin' or 'UTC'"
        raise ValueError(f"unknown time zone {name[:60]!r}; {hint}")
    return name


def _condition(text: str) -> str:
    compile_condition(text)
    return text


def _path(text: str) -> str:
    compile_path(text)
    return text


def _level_number(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise ValueError(f"{text[:60]!r} is no level; write a whole number such as [levels.at.10]")
    return text


Line = Annotated[str, Field(max_length=500), AfterValidator(_line)]
Prose = Annotated[str, Field(max_length=5_000), AfterValidator(_prose)]
Code = Annotated[str, AfterValidator(_code), Field(json_schema_extra={"pattern": "^[^:]{1,100}$"})]
Symbol = Annotated[str, AfterValidator(_symbol), Field(json_schema_extra={"pattern": "^[^:./]{1,100}$"})]
EventType = Annotated[str, AfterValidator(_event_type), Field(json_schema_extra={"pattern": "^[a-z0-9_.]{1,100}$"})]
Zone = Annotated[str, AfterValidator(_zone)]
ConditionText = Annotated[str, AfterValidator(_condition)]
PathText = Annotated[
    str, AfterValidator(_path), Field(json_schema_extra={"pattern": r"^data(\.[A-Za-z_][A-Za-z0-9_]*)+$"})
]

EventPatterns = Annotated[
    list[Annotated[str, AfterValidator(_event_pattern)]],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]

# --- Amounts, factors, times ------------------------------------------------------------------------------------------

_UNITS_US = {"w": 604_800_000_000, "d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
_DURATION = re.compile("".join(rf"(?:(\d{{1,9}}){unit})?" for unit in _UNITS_US), re.ASCII)


def _factor(value: object) -> Decimal:
    if type(value) is not int and not (isinstance(value, Decimal) and value.is_finite()):
        raise ValueError("must be a number such as 1.5")
    if not 0 <= value <= FACTOR_MAX:
        raise ValueError(f"must lie between 0 and {FACTOR_MAX:,}")
    factor = Decimal(value)
    if factor != round(factor, FACTOR_DECIMALS_MAX):
        raise ValueError(f"may have at most {FACTOR_DECIMALS_MAX} digits after the point")
    return factor


def _duration(value: object) -> int:
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not value or found is None:
        raise ValueError("must be a duration such as '10m', '12h', '1d' or '1h30m'")
    length = sum(int(count or 0) * unit_us for count, unit_us in zip(found.groups(), _UNITS_US.values(), strict=True))
    if not 0 < length <= DURATION_DAYS_MAX * _UNITS_US["d"]:
        raise ValueError(f"must be longer than nothing and at most {DURATION_DAYS_MAX:,} days")
    return length


def _duration_text(length: int) -> str:
    parts = []
    for unit, unit_us in _UNITS_US.items():
        count, length = divmod(length, unit_us)
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts)


def _instant(value: object) -> int:
    match value:
        case datetime():
            return from_datetime(value)
        case str():
            return parse_instant(value)
        case date() | time():
            raise ValueError(f"must be a date, a time and a zone, such as 2026-11-28T00:00:00Z, not {value}")
        case _:
            raise ValueError("must be a time such as 2026-11-28T00:00:00Z")


def _amount_or_path(value: object) -> int | str:
    if isinstance(value, str):
        return _path(value)
    if type(value) is not int:
        raise ValueError("must be a whole number, or a path into the event's data such as 'data.words'")
    if abs(value) > AMOUNT_MAX:
        raise ValueError(f"must lie between -{AMOUNT_MAX:,} and {AMOUNT_MAX:,}")
    return value


Amount = Annotated[int, Field(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
Count = Annotated[int, Field(ge=0, le=AMOUNT_MAX)]
Positive = Annotated[int, Field(ge=1, le=AMOUNT_MAX)]
Factor = Annotated[
    Decimal,
    PlainValidator(_factor),
    PlainSerializer(float, when_used="json"),  # Few enough digits to come back as the same decimal.
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": FACTOR_MAX}),
]
Duration = Annotated[
    int,
    PlainValidator(_duration),
    PlainSerializer(_duration_text),
    WithJsonSchema(
        {"type": "string", "pattern": "^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "minLength": 2}
    ),
]
Time = Annotated[
    int,
    PlainValidator(_instant),
    PlainSerializer(format_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
AmountOrPath = Annotated[
    int | str, PlainValidator(_amount_or_path), WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})
]

Reward = dict[Symbol, Amount]
Thresholds = Annotated[
    dict[Line, Positive],
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    {"type": "integer", "minimum": 1},
                    {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
                ]
            },
        }
    ),
]

# --- Tables -----------------------------------------------------------------------------------------------------------


class Table(BaseModel):
    """A table of the file: no field but those listed, and every value of exactly its type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CatalogTable(Table):
    """What holds for the catalog as a whole."""

    name: Line = Field("Untitled", description="What people call this catalog.")
    timezone: Zone = Field("UTC", description="IANA time zone of users who have set none, and of the boards' periods.")
    on_revoke: Policy = Field(
        "take",
        description="When the cause of unlocks and levels is undone: take them with all they paid, or keep them.",
    )
    on_harder: Policy = Field(
        "keep", description="When an edit makes an achievement harder: its holders keep it, or it is taken from some."
    )
    announce_retroactive: Literal["silent", "summary", "each"] = Field(
        "summary", description="Notifications of what a new catalog grants: none, one per user, or one for each."
    )


_FIELD_TYPE_SYNONYMS = {
    "boolean": "bool",
    "integer": "int",
    "float": "number",
    "double": "number",
    "str": "string",
    "text": "string",
    "array": "list",
    "dict": "object",
}
FieldType = Annotated[
    Literal["bool", "int", "number", "string", "list", "object", "any"],
    BeforeValidator(lambda value: _FIELD_TYPE_SYNONYMS.get(value, value) if isinstance(value, str) else value),
]


class EventTable(Table):
    """An event type. If one is declared, all that rules, boosts and streaks name must be."""

    data: dict[Line, FieldType] = Field(
        {}, description="The fields of its data and their types, against which what rules read is checked."
    )


class CurrencyTable(Table):
    """A currency that users earn and spend."""

    name: Line | None = Field(None, description="What people call it; the code if absent.")
    enabled: bool = Field(default=True, description="False: no longer earned; what users have can still be spent.")


class MetricTable(Table):
    """A whole number per user. Every metric that a rule changes is declared."""

    name: Line | None = Field(None, description="What people call it; the code if absent.")
    was: Symbol | None = Field(
        None, description="The metric's code before it was renamed; its values are carried over."
    )


class DefaultsTable(Table):
    """Rewards that every achievement and every quest has besides its own."""

    achievement_reward: Reward = Field({}, description="Added to each achievement's own reward.")
    quest_reward: Reward = Field({}, description="Added to each quest's own reward.")


class _Grown(Table):
    """A curve that a formula continues until its highest level, or as far as XP can count."""

    base: Positive = Field(description="XP that level 2 needs.")
    max: int = Field(100, ge=1, le=LEVELS_MAX, description=f"The highest level, at most {LEVELS_MAX:,}.")

    def _up_to_max(self, steps: Iterable[int]) -> tuple[int, ...]:
        return tuple(takewhile(lambda xp: xp <= AMOUNT_MAX, accumulate(steps, initial=0)))


class LinearCurve(_Grown):
    """Level L needs base x (L - 1) XP."""

    kind: Literal["linear"] = Field(description="The formula.")

    def thresholds(self) -> tuple[int, ...]:
        """Return the XP for level 1 (0), 2, … up to the highest that XP can count to."""
        return self._up_to_max(self.base for _ in range(1, self.max))


class QuadraticCurve(_Grown):
    """Level L needs base x (L - 1)^2 XP: level = floor(sqrt(xp / base)) + 1."""

    kind: Literal["quadratic"] = Field(description="The formula.")

    def thresholds(self) -> tuple[int, ...]:
        """Return the XP for level 1 (0), 2, … up to the highest that XP can count to."""
        return self._up_to_max(self.base * (2 * level - 1) for level in range(1, self.max))


class ExponentialCurve(_Grown):
    """Level L needs floor(base x factor^(L - 2)) XP more than level L - 1."""

    kind: Literal["exponential"] = Field(description="The formula.")
    factor: Factor = Field(description="How many times as much each next level costs.")

    def thresholds(self) -> tuple[int, ...]:
        """Return the XP for level 1 (0), 2, … up to the highest that XP can count to."""
        numerator, denominator = self.factor.as_integer_ratio()
        return self._up_to_max(self.base * numerator**step // denominator**step for step in range(self.max - 1))


class TableCurve(Table):
    """The XP of every level, written out."""

    kind: Literal["table"] = Field(description="No formula.")
    table: list[Count] = Field(
        alias="thresholds",
        min_length=1,
        max_length=LEVELS_MAX,
        description="The XP that level 1 (0), 2, … need; as many as there are levels.",
    )
    max: int | None = Field(None, description="The highest level; need not be given, since it is their number.")

    def thresholds(self) -> tuple[int, ...]:
        """Return the XP for each level."""
        return tuple(self.table)


Curve = Annotated[LinearCurve | QuadraticCurve | ExponentialCurve | TableCurve, Field(discriminator="kind")]


class LevelAtTable(Table):
    """What one level has besides what every level has."""

    title: Line | None = Field(None, description="Title from this level on, until a higher level has one.")
    perks: list[Line] = Field([], description="Names of what is open to users from this level on.")
    reward: Reward = Field({}, description="Paid on reaching it, besides the reward of every level.")


class LevelsTable(Table):
    """How XP becomes levels, and what reaching one pays."""

    curve: Curve = Field(description='How much XP each level needs, such as { kind = "quadratic", base = 100 }.')
    bonus_xp: Count = Field(0, description="XP added on every level reached.")
    reward: Reward = Field({}, description="Paid on every level reached.")
    at: dict[Annotated[str, AfterValidator(_level_number)], LevelAtTable] = Field(
        {}, description="Single levels, by their number."
    )


class LimitTable(Table):
    """How often a rule pays one user."""

    times: Positive | None = Field(None, description="How often in each window.")
    per: Window = Field("ever", description="The window: hour (UTC), the user's own day, ISO week or month, or ever.")
    cooldown: Duration | None = Field(None, description="How long after (and before) a use there is no other.")


class MetricChange(Table):
    """What a rule does to a metric: a plain number or path is added."""

    add: AmountOrPath | None = Field(None, description="Added to the metric.")
    max: AmountOrPath | None = Field(None, description="The metric becomes this if it is more than ever before.")
    distinct: PathText | None = Field(None, description="The metric counts the different values seen here.")

    @model_validator(mode="before")
    @classmethod
    def _plain_is_added(cls, value: object) -> object:
        return value if isinstance(value, dict) else {"add": value}

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if len(self.model_fields_set) != 1 or None in (getattr(self, kind) for kind in self.model_fields_set):
            raise ValueError('must be a number, a path, { max = "data.…" } or { distinct = "data.…" }')
        return self

    @property
    def kind(self) -> MetricKind:
        """Return which of the three it does."""
        return "add" if self.add is not None else "max" if self.max is not None else "distinct"

    @property
    def operand(self) -> int | str:
        """Return the amount or the path."""
        given = self.add if self.add is not None else self.max if self.max is not None else self.distinct
        assert given is not None
        return given


_METRIC_CHANGE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": ["integer", "string"]},
        {
            "type": "object",
            "properties": {kind: {"type": ["integer", "string"]} for kind in ("add", "max", "distinct")},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        },
    ]
}


class RuleTable(Table):
    """An event type and a condition -> XP, currencies and metric changes for one user, under limits."""

    id: Code = Field(description="Names the rule in outcomes and in the ledger; keeps its limits when it is edited.")
    on: EventPatterns = Field(description='An event type, a list of them, or a pattern such as "post.*".')
    when: ConditionText | None = Field(
        None, description='Condition on data, user and type, such as "data.words >= 300".'
    )
    to: PathText | None = Field(
        None, description="Path to the id of the user who earns all of it instead of the actor."
    )
    allow_self: bool = Field(default=False, description="With `to`: pays also if that user is the actor.")
    once_per: PathText | None = Field(None, description="Path to a value for which each actor makes the rule pay once.")
    once_by: Literal["actor", "anyone"] = Field(
        "actor", description="With `once_per`: once for each actor, or once whoever acts."
    )
    limit: LimitTable | None = Field(None, description="How often it pays one user.")
    xp: Amount = Field(0, description="XP; may be negative.")
    reward: Reward = Field({}, description="Currencies, such as { sparkle = 1 }.")
    metrics: dict[Symbol, Annotated[MetricChange, WithJsonSchema(_METRIC_CHANGE_SCHEMA)]] = Field(
        {}, description='Metric changes, such as { posts = 1, words = "data.words", best = { max = "data.score" } }.'
    )
    enabled: bool = Field(default=True, description="False: as if it were not there.")


class BoostTable(Table):
    """Factors on the XP and currencies that rules pay for events of some types, in a window of the event's own time."""

    id: Code = Field(description="Names the boost.")
    on: EventPatterns = Field(["*"], description="Event types or patterns; all if absent.")
    from_: Time | None = Field(None, alias="from", description="The first instant; open if absent.")
    until: Time | None = Field(None, description="The first instant after it; open if absent.")
    xp: Factor | None = Field(None, description="Factor on XP, such as 2.0.")
    reward: dict[Symbol, Factor] = Field({}, description="Factors on currencies, such as { sparkle = 1.5 }.")
    stacking: Literal["compound", "additive", "highest"] = Field(
        "compound",
        description="Boosts of one kind: multiplied, added, or the largest alone; the three results multiply.",
    )
    rounding: Literal["floor", "half_up", "ceil"] = Field(
        "floor", description="How the result is made whole, once; the first boost that applies decides."
    )
    enabled: bool = Field(default=True, description="False: as if it were not there.")


class _Shown(Table):
    """What people see of achievements and quests."""

    code: Code = Field(description="Its identity; what users have done and hold goes by it.")
    name: Line | None = Field(None, description="What people call it; the code if absent.")
    description: Prose = Field("", description="What to do for it.")
    icon: Line = Field("", description="A character or the name of an icon.")
    image: Line = Field("", description="Address of an image.")
    category: Line = Field("", description="For grouping and filtering.")
    reward: Reward = Field({}, description="Besides that in [defaults], such as { xp = 200, sparkle = 20 }.")
    requires: list[Code] = Field([], description="Codes of those that must be there first.")
    from_: Time | None = Field(None, alias="from", description="The first instant; open if absent.")
    until: Time | None = Field(None, description="The first instant after it; open if absent.")
    enabled: bool = Field(default=True, description="False: nobody gets it any more; who has it keeps it.")


class AchievementTable(_Shown):
    """Unlocked when metrics reach their targets. Totals count, also from before its window."""

    rarity: Rarity = Field("common", description="How rare it is meant to be; decides the points.")
    when: Thresholds = Field({}, description="Metrics and the values that all of them must reach, at least 1.")
    any: Thresholds = Field({}, description="Besides: metrics of which one must reach its value.")
    secret: bool = Field(default=False, description="Hidden, and without progress, until it is unlocked.")
    max_achievers: Count | None = Field(None, description="How many users can have it; no limit if absent.")
    repeatable: bool = Field(default=False, description="True: each further multiple of the targets unlocks it again.")


class QuestTable(_Shown):
    """Goals that are counted inside the quest's own window."""

    type: QuestType = Field("special", description="daily, weekly and monthly come again; the others have one window.")
    goals: Thresholds = Field(min_length=1, description="Metrics and by how much they must grow, all of them.")
    claim: Literal["auto", "manual"] = Field("auto", description="Paid on completion, or when the user claims it.")
    accept: Literal["auto", "manual"] | None = Field(
        None, description="Runs by itself, or from acceptance; manual is implied by time_limit."
    )
    level_required: int = Field(1, ge=1, le=LEVELS_MAX, description="The level from which requests count.")
    max_completions: Positive = Field(1, description="How often in each window.")
    cooldown: Duration | None = Field(None, description="How long after a completion the next run begins.")
    time_limit: Duration | None = Field(None, description="How long a run lasts from its acceptance.")


class BonusTable(Table):
    """XP for the steps of a streak, from the second on."""

    xp_per_step: Count = Field(description="Step n pays n times this,")
    max_xp: Count = Field(AMOUNT_MAX, description="but at most this.")


class FreezesTable(Table):
    """Freezes cover missed days."""

    initial: Count = Field(0, description="How many users begin with.")
    max: Count = Field(0, description="How many one can have.")
    earn_every: Count = Field(0, description="One more each time so many days were reached; 0: none are earned.")


class StreakTable(Table):
    """Days or weeks in a row, in the user's own zone, with an event of one of these types."""

    code: Symbol = Field(description="Its identity; the metric streak.CODE is the longest run ever.")
    name: Line | None = Field(None, description="What people call it; the code if absent.")
    on: EventPatterns = Field(description='An event type, a list of them, or a pattern such as "post.*".')
    every: Literal["day", "week"] = Field("day", description="What must not be missed.")
    bonus: BonusTable | None = Field(None, description="XP for each step; none if absent.")
    freezes: FreezesTable | None = Field(None, description="Cover missed days; none if absent.")


class PrizeTable(Table):
    """What users ranked in a range get when a period is final."""

    ranks: list[Positive] = Field(
        min_length=2, max_length=2, description="The first and the last rank, such as [1, 3]."
    )
    reward: Reward = Field(min_length=1, description="For every user with such a rank and a score above 0.")


class LeaderboardTable(Table):
    """Users ranked by one metric."""

    code: Code = Field(description="Its identity.")
    name: Line | None = Field(None, description="What people call it; the code if absent.")
    metric: Line = Field(description="A metric, built-in ones too: xp, level, earned.CURRENCY, streak.CODE, …")
    periods: list[PeriodKind] = Field(
        ["alltime"], min_length=1, description="What is ranked: days, weeks, months, all."
    )
    ties: Literal["standard", "dense", "first"] = Field(
        "standard", description="Ranks of equal scores: 1,2,2,4; or 1,2,2,3; or who got there first."
    )
    group: Code | None = Field(None, description="One board for each value of the users' group of this name.")
    late: Literal["refuse", "adjust"] = Field(
        "refuse", description="Events after the period is final: left out, or in."
    )
    prizes: list[PrizeTable] = Field([], description="Paid once, when a period is final.")


class CatalogFile(Table):
    """A catalog of Laurels: what users do, and what they earn for it."""

    catalog: CatalogTable = Field(CatalogTable(), description="What holds for the whole catalog.")
    events: dict[EventType, EventTable] = Field({}, description="Event types, by type.")
    currencies: dict[Symbol, CurrencyTable] = Field({}, description="Currencies, by code.")
    levels: LevelsTable = Field(
        LevelsTable(curve=QuadraticCurve(kind="quadratic", base=100)), description="How XP becomes levels."
    )
    defaults: DefaultsTable = Field(DefaultsTable(), description="Rewards of every achievement and quest.")
    metrics: dict[Symbol, MetricTable] = Field({}, description="Metrics that rules change, by code.")
    rules: list[RuleTable] = Field([], description="Rules; those that match an event act in this order.")
    boosts: list[BoostTable] = Field([], description="Boosts on what rules pay.")
    achievements: list[AchievementTable] = Field([], description="Achievements.")
    quests: list[QuestTable] = Field([], description="Quests.")
    streaks: list[StreakTable] = Field([], description="Streaks.")
    leaderboards: list[LeaderboardTable] = Field([], description="Leaderboards.")
