"""
What strangers send: each mistake is refused with a code for programs and a sentence for people, and leaves no trace.

The sentence names the field, shows the value (never ten megabytes of it) and says what to do instead. Databases that
cannot be used have tests of their own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import laurels
from laurels.catalog_file import parse_catalog
from laurels.importers.events import EventsFile
from laurels.importers.loading import Tally, import_events
from tests.conftest import BASE, NOW
from tests.databases import contents

NAIVE = datetime(2027, 1, 1)  # noqa: DTZ001  the mistake
WORLD = (
    BASE
    + """
[currencies.sparkle]
[metrics.posts]
[[rules]]
id = "post"
on = "post.created"
xp = 10
metrics = { posts = 1 }
[[quests]]
code = "daily-poster"
type = "daily"
goals = { posts = 2 }
[[streaks]]
code = "login"
on = "user.login"
[[leaderboards]]
code = "xp"
metric = "xp"
periods = ["daily", "alltime"]
"""
)
TEN_MEGABYTES = "a" * 10_000_000
MESSAGE_CHARACTERS_MAX = 400


@pytest.fixture
def engine(open_engine):
    engine = open_engine(WORLD)
    engine.record(laurels.Event("post.created", user="ada", id="first"))
    engine.wallet("ada").credit("sparkle", 100, request_id="credit")
    engine.project()
    return engine


def refused(engine, attempt):
    """Make an attempt that must fail and leave no trace; return its error."""
    before = contents(engine)
    with pytest.raises(laurels.LaurelsError) as refusal:
        attempt()
    assert contents(engine) == before
    assert len(str(refusal.value)) <= MESSAGE_CHARACTERS_MAX
    assert not refusal.value.retryable
    return refusal.value


def expect(error, code, words):
    assert error.code == code
    assert words in str(error)


def nested(depth):
    return {"a": nested(depth - 1)} if depth else 1


# --- Events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        pytest.param({"type": ""}, "invalid_event_type", "type: '' is no event type", id="type-empty"),
        pytest.param({"type": "Post Created"}, "invalid_event_type", "such as post.created", id="type-with-capitals"),
        pytest.param({"type": None}, "invalid_event_type", "type: None", id="type-none"),
        pytest.param({"type": "a" * 101}, "invalid_event_type", "1 to 100", id="type-too-long"),
        pytest.param({"type": TEN_MEGABYTES}, "invalid_event_type", "10000002 characters", id="type-of-10-mb"),
        pytest.param({"user": ""}, "invalid_id", "user: ''", id="user-empty"),
        pytest.param({"user": TEN_MEGABYTES}, "invalid_id", "1 to 255 characters", id="user-of-10-mb"),
        pytest.param({"user": None}, "invalid_id", "user: None", id="user-none"),
        pytest.param({"user": 7}, "invalid_id", "user: 7", id="user-as-a-number"),
        pytest.param({"user": "a\0"}, "invalid_id", r"user: 'a\x00'", id="user-with-nul"),
        pytest.param({"user": "a\ud800"}, "invalid_id", r"user: 'a\ud800'", id="user-with-a-surrogate"),
        pytest.param({"id": ""}, "invalid_id", "id: ''", id="id-empty"),
        pytest.param({"id": TEN_MEGABYTES}, "invalid_id", "id: 'aaa", id="id-of-10-mb"),
        pytest.param({"id": b"x"}, "invalid_id", "id: b'x'", id="id-as-bytes"),
        pytest.param({"id": "\udfff"}, "invalid_id", "surrogates", id="id-with-a-surrogate"),
        pytest.param({"id": "x\n"}, "invalid_id", "control characters", id="id-with-a-line-end"),
        pytest.param({"time": NAIVE}, "naive_time", "such as +01:00", id="time-without-zone"),
        pytest.param({"time": "2026-03-01"}, "invalid_time", "time: '2026-03-01'", id="time-as-text"),
        pytest.param({"time": 5}, "invalid_time", "not an aware datetime", id="time-as-a-number"),
        pytest.param({"time": NOW + timedelta(days=1)}, "time_in_future", "sender's clock", id="time-to-come"),
        pytest.param({"time": datetime(1969, 7, 20, tzinfo=UTC)}, "time_too_early", "before 1970", id="time-long-ago"),
        pytest.param({"data": [1]}, "invalid_data", "is an object", id="data-as-a-list"),
        pytest.param({"data": "{}"}, "invalid_data", "is an object", id="data-as-text"),
        pytest.param({"data": {1: 2}}, "invalid_data", "The key 1 is not text", id="data-with-a-number-for-a-key"),
        pytest.param({"data": {"x": [{"y": float("nan")}]}}, "invalid_data", "data.x[0].y: nan", id="data-with-nan"),
        pytest.param({"data": {"x": float("-inf")}}, "invalid_data", "-inf is not a JSON number", id="data-infinite"),
        pytest.param({"data": {"x": 10**400}}, "invalid_data", "beyond what a double", id="data-beyond-a-double"),
        pytest.param({"data": {"x": 10**5_000}}, "invalid_data", "beyond what a double", id="data-beyond-all-digits"),
        pytest.param({"data": {"x": {1}}}, "invalid_data", "{1} is not a JSON value", id="data-with-a-set"),
        pytest.param({"data": {"x": NOW}}, "invalid_data", "is not a JSON value", id="data-with-a-datetime"),
        pytest.param({"data": {"x": "a\0"}}, "invalid_data", "data.x: The text holds U+0000", id="data-with-nul"),
        pytest.param({"data": {"\0": 1}}, "invalid_data", "U+0000", id="data-with-nul-in-a-key"),
        pytest.param({"data": {"x": ["\ud800"]}}, "invalid_data", "data.x[0]:", id="data-with-a-surrogate"),
        pytest.param({"data": nested(17)}, "data_too_deep", "more than 16 deep", id="data-too-deep"),
        pytest.param({"data": {"x": TEN_MEGABYTES}}, "data_too_large", "at most 65536", id="data-of-10-mb"),
        pytest.param({"data": {TEN_MEGABYTES: {1}}}, "invalid_data", "data.aaa", id="data-with-a-key-of-10-mb"),
    ],
)  # fmt: skip
def test_an_event_with_a_mistake_is_refused_by_its_field_and_its_id_stays_free(engine, fields, code, words):
    event = {"type": "post.created", "user": "ada", "id": "mistaken", "time": None, "data": None} | fields
    mistaken = laurels.Event(event["type"], user=event["user"], id=event["id"], time=event["time"], data=event["data"])

    error = refused(engine, lambda: engine.record(mistaken))
    in_a_batch = refused(
        engine, lambda: engine.record([laurels.Event("post.created", user="ada", id="good"), mistaken])
    )

    expect(error, code, words)
    assert (in_a_batch.code, str(in_a_batch)) == (code, f"[1].{error}")
    assert engine.record(laurels.Event("post.created", user="ada", id="mistaken")).status == "applied"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        pytest.param(5, "5 is no request", id="number"),
        pytest.param(None, "None is no request", id="none"),
        pytest.param("post.created", "is no request", id="text"),
        pytest.param({"type": "post.created"}, "Record an Event", id="plain-dict"),
        pytest.param(range(3), "a command, or a list", id="range"),
        pytest.param([[]], "[] is no request", id="list-in-a-list"),
    ],
)
def test_what_is_no_request_is_refused_by_what_it_is(engine, asked, words):
    expect(refused(engine, lambda: engine.record(asked)), "invalid_request", words)
    if not isinstance(asked, list):
        expect(refused(engine, lambda: engine.submit(asked)), "invalid_request", words)


def test_an_event_has_no_other_fields():
    with pytest.raises(TypeError, match="usr"):
        laurels.Event("post.created", usr="ada", id="1")


def test_more_in_one_call_than_go_together_is_refused(engine):
    many = [laurels.Event("post.created", user="ada", id=f"e{number}") for number in range(10_001)]
    expect(refused(engine, lambda: engine.record(many)), "batch_too_large", "at most 10000 go together")


# --- Commands ---------------------------------------------------------------------------------------------------------


def wallet(method, *arguments, user="ada", **named):
    return lambda engine: getattr(engine.wallet(user), method)(*arguments, request_id="x", **named)


def award(amount, **named):
    return lambda engine: engine.award_xp("ada", amount, request_id="x", **named)


@pytest.mark.parametrize(
    ("attempt", "code", "words"),
    [
        pytest.param(award(0), "invalid_amount", "amount: 0", id="nothing"),
        pytest.param(award(-5), "invalid_amount", "at least 1", id="less-than-nothing"),
        pytest.param(award(1.0), "invalid_amount", "amount: 1.0", id="a-fraction"),
        pytest.param(award("5"), "invalid_amount", "amount: '5'", id="a-text"),
        pytest.param(award(True), "invalid_amount", "amount: True", id="a-boolean"),
        pytest.param(award(2**53), "amount_out_of_range", "9007199254740992", id="beyond-what-is-exact"),
        pytest.param(award(10**5_000), "amount_out_of_range", "beyond ±(2^53 - 1)", id="beyond-all-digits"),
        pytest.param(award(2**53 - 1), "amount_out_of_range", "Nothing was recorded", id="a-sum-beyond-what-is-exact"),
        pytest.param(award(5, reason="a\0"), "invalid_text", "reason:", id="reason-with-nul"),
        pytest.param(award(5, reason=TEN_MEGABYTES), "invalid_text", "1 to 4000 characters", id="reason-of-10-mb"),
        pytest.param(award(5, source_id=7), "invalid_text", "source_id: 7", id="source-id-as-a-number"),
        pytest.param(wallet("spend", "sparkle", 101), "insufficient_funds", "has 100 sparkle", id="more-than-is-there"),
        pytest.param(wallet("spend", "sparkel", 1), "unknown_currency", "did you mean 'sparkle'?", id="currency"),
        pytest.param(wallet("credit", "xp", 1), "unknown_currency", "'xp'", id="xp-is-no-currency"),
        pytest.param(wallet("hold", "gold", 1), "unknown_currency", "known: sparkle", id="currency-like-none"),
        pytest.param(wallet("adjust", "sparkel", 1), "unknown_currency", "did you mean", id="unit-to-adjust"),
        pytest.param(wallet("spend", TEN_MEGABYTES, 1), "invalid_text", "currency: 'aaa", id="currency-of-10-mb"),
        pytest.param(wallet("spend", 5, 1), "invalid_text", "currency: 5", id="currency-as-a-number"),
        pytest.param(wallet("spend", "sparkle", 1, user="bob"), "unknown_user", "no user 'bob'", id="unknown-user"),
        pytest.param(wallet("transfer", "sparkle", 1, to="ada"), "invalid_transfer", "to themselves", id="to-oneself"),
        pytest.param(wallet("transfer", "sparkle", 1, to=""), "invalid_id", "to: ''", id="to-nobody"),
        pytest.param(
            wallet("hold", "sparkle", 1, expires_at=NAIVE), "naive_time", "expires_at:", id="naive-expiry"
        ),
        pytest.param(
            wallet("hold", "sparkle", 1, expires_at=NOW), "invalid_time", "must expire in the future", id="expired-hold"
        ),
        pytest.param(
            lambda engine: engine.record(
                laurels.Hold(user="ada", id="x", currency="sparkle", amount=1, expires_at=10**30)
            ),
            "invalid_time", "is no instant", id="hold-beyond-all-time",
        ),
        pytest.param(wallet("capture", "h-1"), "unknown_hold", "'ada' has no hold 'h-1'", id="hold-nobody-opened"),
        pytest.param(wallet("refund", "s-1"), "unknown_request", "nothing to refund", id="spend-nobody-made"),
        pytest.param(wallet("refund", "credit"), "not_refundable", "no spend or capture", id="refund-of-a-credit"),
        pytest.param(
            lambda engine: engine.user("ada").quest("dayly-poster").claim(request_id="x"),
            "unknown_quest", "did you mean 'daily-poster'?", id="quest-to-claim",
        ),
        pytest.param(
            lambda engine: engine.user("ada").quest("nothing").accept(request_id="x"),
            "unknown_quest", "known: daily-poster", id="quest-to-accept",
        ),
        pytest.param(
            lambda engine: engine.user("ada").quest("daily-poster").claim(request_id="x"),
            "quest_not_completed", "is not completed", id="quest-not-done",
        ),
    ],
)  # fmt: skip
def test_a_command_with_a_mistake_is_refused_by_its_field_and_its_id_stays_free(engine, attempt, code, words):
    expect(refused(engine, lambda: attempt(engine)), code, words)
    assert engine.wallet("ada").spend("sparkle", 1, request_id="x").status == "applied"


def test_an_id_that_comes_back_with_other_content_is_refused_and_the_first_stays(engine):
    error = refused(engine, lambda: engine.wallet("ada").credit("sparkle", 101, request_id="credit"))
    expect(error, "request_id_reused", "Send a new id, or resend it unchanged")
    assert engine.wallet("ada").credit("sparkle", 100, request_id="credit").status == "duplicate"


# --- Reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "code", "words"),
    [
        pytest.param(lambda e: e.profile("bob"), "unknown_user", "no user 'bob'", id="user"),
        pytest.param(lambda e: e.profile(7), "invalid_id", "user: 7", id="user-as-a-number"),
        pytest.param(lambda e: e.leaderboard("exp"), "unknown_leaderboard", "did you mean 'xp'?", id="board"),
        pytest.param(lambda e: e.leaderboard(7), "unknown_leaderboard", "known: xp", id="board-as-a-number"),
        pytest.param(lambda e: e.leaderboard("xp", period="dayly"), "unknown_period", "daily, alltime", id="period"),
        pytest.param(
            lambda e: e.leaderboard("xp", period="daily", at="2026-13-01"), "invalid_period", "such as 2026-11-22",
            id="period-key",
        ),
        pytest.param(
            lambda e: e.leaderboard("xp", period="daily", at=NAIVE), "naive_time", "at:", id="naive-time"
        ),
        pytest.param(
            lambda e: e.leaderboard("xp", period="daily", at=7), "invalid_time", "at: 7", id="time-as-a-number"
        ),
        pytest.param(
            lambda e: e.leaderboard("xp", period="daily", at="9999-12-31T23:59:59Z"), "invalid_period", "too far away",
            id="time-at-the-end-of-all-days",
        ),
        pytest.param(lambda e: e.leaderboard("xp", group="red"), "unknown_group", "not split by a group", id="group"),
        pytest.param(lambda e: e.leaderboard("xp").top(0), "invalid_limit", "limit: 0", id="page-without-lines"),
        pytest.param(lambda e: e.leaderboard("xp").top("9"), "invalid_limit", "limit: '9'", id="page-of-a-text"),
        pytest.param(lambda e: e.leaderboard("xp").top(1.5), "invalid_limit", "limit: 1.5", id="page-of-a-fraction"),
        pytest.param(lambda e: e.leaderboard("xp").top(10**30), "invalid_limit", "limit: 1000", id="page-of-all-lines"),
        pytest.param(lambda e: e.leaderboard("xp").top(9, -1), "invalid_limit", "offset: -1", id="page-before-all"),
        pytest.param(lambda e: e.leaderboard("xp").around("ada", 0), "invalid_limit", "0", id="nobody-around"),
        pytest.param(lambda e: e.leaderboard("xp").rank("\ud800"), "invalid_id", "user:", id="rank-of-a-surrogate"),
        pytest.param(lambda e: e.leaderboard("xp").around(""), "invalid_id", "user: ''", id="around-nobody"),
        pytest.param(lambda e: e.user("ada").ledger(unit="sparkel"), "unknown_currency", "did you mean", id="unit"),
        pytest.param(lambda e: e.user("ada").ledger(unit="\ud800"), "unknown_currency", "known:", id="unit-surrogate"),
        pytest.param(lambda e: e.user("ada").ledger(limit=-1), "invalid_limit", "limit: -1", id="ledger-limit"),
        pytest.param(lambda e: e.user("ada").notifications(limit=0), "invalid_limit", "limit: 0", id="inbox-limit"),
        pytest.param(lambda e: e.user("ada").ledger(before=(1, "x")), "invalid_limit", "before:", id="ledger-place"),
        pytest.param(
            lambda e: e.user("ada").notifications(before=10**30), "invalid_limit", "before: 1000", id="inbox-place"
        ),
        pytest.param(lambda e: e.user("ada").mark_read(up_to=-1), "invalid_limit", "up_to: -1", id="inbox-read"),
        pytest.param(lambda e: e.users(limit=-1), "invalid_limit", "limit: -1", id="users-limit"),
        pytest.param(lambda e: e.profiles(limit="9"), "invalid_limit", "limit: '9'", id="profiles-limit"),
        pytest.param(lambda e: e.users(containing="\ud800"), "invalid_text", "surrogate", id="search-for-a-surrogate"),
        pytest.param(lambda e: e.users(containing=7), "invalid_text", "containing: 7", id="search-for-a-number"),
        pytest.param(lambda e: e.profiles(after=TEN_MEGABYTES), "invalid_text", "after: 'aaa", id="search-from-10-mb"),
        pytest.param(lambda e: e.user("ada").outcome("e9"), "unknown_request", "no request 'e9'", id="request"),
        pytest.param(lambda e: e.user("ada").request("\ud800"), "invalid_id", "id:", id="request-with-a-surrogate"),
        pytest.param(
            lambda e: e.user("ada").streak_days("login", count=10**6), "invalid_limit", "1 to 10,000", id="streak-days"
        ),
        pytest.param(lambda e: e.user("ada").streak_days("logn"), "unknown_streak", "mean 'login'?", id="streak"),
    ],
)  # fmt: skip
def test_a_question_with_a_mistake_is_refused_by_name(engine, read, code, words):
    expect(refused(engine, lambda: read(engine)), code, words)


# --- Settings of users ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        pytest.param({"timezone": "Europe/Berln"}, "unknown_timezone", "mean 'Europe/Berlin'?", id="zone"),
        pytest.param({"timezone": 1}, "unknown_timezone", "such as Europe/Berlin", id="zone-as-a-number"),
        pytest.param({"timezone": TEN_MEGABYTES}, "unknown_timezone", "timezone: unknown", id="zone-of-10-mb"),
        pytest.param({"day_starts_at": 24}, "invalid_hour", "24 is no hour from 0 to 23", id="hour"),
        pytest.param({"opted_out": "no"}, "invalid_choice", "opted_out: 'no'", id="choice-as-text"),
        pytest.param({"opted_out": 1}, "invalid_choice", "neither True nor False", id="choice-as-a-number"),
        pytest.param({"opted_out": None}, "invalid_choice", "opted_out: None", id="no-choice"),
        pytest.param({"display_name": ""}, "invalid_text", "display_name: ''", id="name-empty"),
        pytest.param({"display_name": "a\0"}, "invalid_text", "control characters", id="name-with-nul"),
        pytest.param({"display_name": TEN_MEGABYTES}, "invalid_text", "1 to 255 characters", id="name-of-10-mb"),
        pytest.param({"display_name": 7}, "invalid_text", "display_name: 7", id="name-as-a-number"),
        pytest.param({"avatar_url": "\ud800"}, "invalid_text", "avatar_url:", id="picture-with-a-surrogate"),
        pytest.param({"avatar_url": "h" * 2_001}, "invalid_text", "1 to 2000 characters", id="picture-too-long"),
        pytest.param({"groups": "red"}, "invalid_groups", "mapping", id="groups-as-text"),
        pytest.param({"groups": {"team": 7}}, "invalid_id", "groups.team: 7", id="group-as-a-number"),
        pytest.param({"groups": {f"g{n}": "x" for n in range(51)}}, "invalid_groups", "at most 50", id="many-groups"),
    ],
)
def test_a_setting_with_a_mistake_is_refused_by_name_and_the_user_stays_readable(engine, settings, code, words):
    expect(refused(engine, lambda: engine.user("ada").set(**settings)), code, words)
    assert engine.user("ada").set(display_name="Ada", avatar_url="https://example.org/" + "a" * 1_000).xp == 10


# --- Catalogs ---------------------------------------------------------------------------------------------------------

PAYS_ITSELF = {
    "a-level-pays-for-the-next": (
        '[levels]\ncurve = { kind = "linear", base = 100, max = 10 }\nbonus_xp = 100\n',
        "level",
    ),
    "an-achievement-pays-itself": (
        '[[achievements]]\ncode = "RICH"\nwhen = { xp = 10 }\nrepeatable = true\nreward = { xp = 10 }\n',
        "RICH",
    ),
    "an-achievement-pays-itself-through-levels": (
        """
        [currencies.gold]
        [levels]
        curve = { kind = "linear", base = 10 }
        reward = { gold = 10 }
        [[achievements]]
        code = "RICH"
        when = { "earned.gold" = 10 }
        repeatable = true
        reward = { xp = 10 }
        """,
        "RICH",
    ),
}


@pytest.mark.parametrize(("catalog", "named"), PAYS_ITSELF.values(), ids=PAYS_ITSELF)
def test_a_catalog_that_pays_itself_for_ever_is_refused_and_the_one_in_force_stays(
    engine, tmp_path, database_url, catalog, named
):
    path = tmp_path / "catalog.toml"
    path.write_text(catalog)

    error = refused(engine, lambda: laurels.open(database_url, catalog=path))

    assert error.code == "catalog_invalid"
    assert named in str(error)
    assert engine.catalog.revision == 1


def test_a_catalog_with_mistakes_makes_no_database(tmp_path):
    path = tmp_path / "catalog.toml"
    path.write_text("[catalogue]\n")
    with pytest.raises(laurels.CatalogInvalid, match=r"did you mean 'catalog'\?"):
        laurels.open(f"sqlite:///{tmp_path / 'new.db'}", catalog=path)
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    ("catalog", "words"),
    [
        pytest.param("comunity", "did you mean 'community'?", id="no-bundled-one"),
        pytest.param("missing.toml", "missing.toml", id="no-file"),
    ],
)
def test_a_catalog_that_is_not_there_is_refused_by_name(engine, database_url, catalog, words):
    expect(refused(engine, lambda: laurels.open(database_url, catalog=catalog)), "catalog_invalid", words)


def test_a_catalog_is_a_catalog(engine):
    parsed = parse_catalog(WORLD)
    assert engine.apply_catalog(parsed) == 1  # It is in force already.
    assert engine.apply_catalog(parse_catalog(WORLD.replace("xp = 10", "xp = 11"))) == 2


# --- Files of events --------------------------------------------------------------------------------------------------

GOOD = '{"id": "g1", "type": "post.created", "user": "eve"}'


def silent(what, unit):
    return lambda done, total: None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param('{"id": "x", "type": "post.created", "usr": "eve"}', "did you mean 'user'?", id="unknown-field"),
        pytest.param('{"id": "x", "type": "post.created"}', "user is missing", id="missing-field"),
        pytest.param('{"id": "x", "type": "post.created", "user": 7}', "user: 7 is no id", id="wrong-type"),
        pytest.param(GOOD[:-1] + ', "time": "2026-03-01T10:00:00"}', "no UTC offset", id="time-without-zone"),
        pytest.param(GOOD[:-1] + ', "time": 5}', "time: 5", id="time-as-a-number"),
        pytest.param(GOOD[:-1] + ', "data": [1]}', "is an object", id="data-as-a-list"),
        pytest.param(GOOD[:-1] + ', "data": {"x": 1e999}}', "2:", id="number-out-of-range"),
        pytest.param(r'{"id": "\u0000", "type": "post.created", "user": "eve"}', "id: ", id="nul"),
        pytest.param(r'{"id": "\ud800", "type": "post.created", "user": "eve"}', "2:", id="lone-surrogate"),
        pytest.param('{"id": "x', "no JSON", id="broken-off"),
        pytest.param("[1]", "an event is an object", id="no-object"),
        pytest.param("[" * 100_000, "no JSON", id="deeper-than-anyone-reads"),
        pytest.param('"' + "a" * 2**21 + '"', "longer than", id="two-megabytes"),
    ],
)
def test_a_bad_line_of_a_file_is_reported_with_its_place_and_left_out_alone(engine, tmp_path, line, words):
    path = tmp_path / "events.jsonl"
    path.write_text(f"{GOOD}\n{line}\n{GOOD.replace('g1', 'g2')}\n")
    reported = []

    tally = Tally(reported.append)
    with EventsFile(path) as file:
        import_events(engine, file, tally, silent)

    [report] = reported
    assert report.startswith(f"{path}:2: ")
    assert words in report
    assert len(report) - len(str(path)) <= MESSAGE_CHARACTERS_MAX
    assert (tally.recorded, tally.repeated, tally.left_out) == (2, 0, 1)
    assert engine.profile("eve").metrics["posts"] == 2
