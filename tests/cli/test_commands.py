"""What each command does and prints, for people and as JSON."""

import csv
import gzip
import io
import json
import tomllib

import pytest

from laurels.catalog_file import bundled_text
from laurels.cli import program
from laurels.doctor import LAWS

SMALL = """
[catalog]
name = "Small"
[metrics]
posts = {}
[[rules]]
id = "post"
on = "post"
xp = 60
metrics = { posts = 1 }
[[rules]]
id = "first-of-day"
on = "post"
xp = 5
limit = { times = 1, per = "day" }
[[achievements]]
code = "TWO"
name = "Two of them"
rarity = "rare"
when = { posts = 2 }
[[streaks]]
code = "writing"
on = "post"
[[quests]]
code = "three"
type = "special"
goals = { posts = 3 }
[[leaderboards]]
code = "xp"
name = "Experience"
metric = "xp"
periods = ["daily", "weekly", "monthly", "alltime"]
"""


@pytest.fixture
def small(laurels, folder):
    """A database under the catalog above, in which Ada posted on 1 and on 9 March, and Bob on 9 March."""
    (folder / "small.toml").write_text(SMALL)
    assert laurels("init", "--catalog", "small.toml").code == 0
    for user, number, day in (("ada", 1, 1), ("ada", 2, 9), ("bob", 3, 9)):
        time = f"2026-03-0{day}T10:00:00Z"
        done = laurels("record", "post", "--user", user, "--id", f"p{number}", "--time", time)
        assert (done.code, done.err) == (0, "")


# init


def test_init_makes_a_database_under_the_community_catalog_and_says_what_is_next(laurels, folder):
    done = laurels("init")
    assert done.code == 0
    assert "sqlite:///laurels.db is ready under revision 1 of its catalog, 'Community'." in done.out
    assert (folder / "laurels.db").is_file()


def test_init_leaves_a_database_that_is_there_alone(laurels, small):
    done = laurels("init")
    assert "revision 1 of its catalog, 'Small'" in done.out
    assert [user["user_id"] for user in laurels("users", "list", "--json").json["items"]] == ["ada", "bob"]


# record and explain


def test_record_takes_an_event_from_flags(laurels):
    done = laurels("record", "post.created", "--user", "ada", "--id", "p1", "--data", '{"words": 120}', "--json")
    assert (done.code, done.json["event_id"], done.json["status"]) == (0, "p1", "applied")
    xp = [change for change in done.json["changes"] if change["type"] == "xp.awarded"]
    assert (xp[0]["user_id"], xp[0]["amount"], xp[0]["rule"]) == ("ada", 10, "post-create")
    words = [change["value"] for change in done.json["changes"] if change.get("metric") == "words"]
    assert words == [120]


@pytest.mark.parametrize("more", [{}, {"time": "2026-03-01T10:00:00Z", "data": {"words": 3}}], ids=["short", "full"])
def test_record_takes_an_event_as_json_on_standard_input(more, laurels):
    event = {"id": "p1", "type": "post.created", "user": "ada", **more}
    assert laurels("record", "--json", stdin=json.dumps(event)).json["event_id"] == "p1"
    assert laurels("users", "show", "ada", "--json").json["metrics"]["words"] == more.get("data", {}).get("words", 0)


def test_record_makes_up_an_id_that_makes_sending_again_safe(laurels):
    event_id = laurels("record", "post.created", "--user", "ada", "--json").json["event_id"]
    assert event_id.startswith("cli-")
    again = laurels("record", "post.created", "--user", "ada", "--id", event_id, "--json").json
    assert again["status"] == "duplicate"
    assert laurels("users", "show", "ada", "--json").json["metrics"]["posts"] == 1


def test_record_shows_what_was_earned_and_what_was_not(laurels, small):
    done = laurels("record", "post", "--user", "ada", "--id", "p4", "--time", "2026-03-09T11:00:00Z")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "ada p4 post · Mon 09 Mar 2026 11:00 UTC"
    assert "rule post +60 XP → 190" in lines
    assert "counted posts 3 (+1)" in lines
    assert "quest three completed (once)" in lines
    assert "✗ rule first-of-day once a day, and that was it; again from Tue 10 Mar 2026 00:00" in lines


def test_explain_tells_later_why_a_request_earned_what_it_did(laurels, small):
    done = laurels("explain", "ada", "p2")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "level 2 reached" in lines
    assert "Two of them unlocked" in lines
    shown = laurels("explain", "ada", "p2", "--json").json
    assert [change["type"] for change in shown["changes"]][-2:] == ["achievement.unlocked", "quest.progressed"]


def test_explain_shows_skips_as_the_contract_names_them(laurels, small):
    laurels("record", "post", "--user", "bob", "--id", "p5", "--time", "2026-03-09T23:00:00Z")
    (skip,) = laurels("explain", "bob", "p5", "--json").json["skipped"]
    assert {name: skip[name] for name in ("user_id", "rule", "reason", "retry_at")} == {
        "user_id": "bob",
        "rule": "first-of-day",
        "reason": "limit_reached",
        "retry_at": "2026-03-10T00:00:00Z",
    }


# users


def test_users_list_pages_and_searches(laurels, small):
    laurels("users", "set", "zoe", "--display-name", "Zoë the Bobcat")
    first = laurels("users", "list", "--limit", "2", "--json").json
    assert ([user["user_id"] for user in first["items"]], first["next_cursor"]) == (["ada", "bob"], "bob")
    rest = laurels("users", "list", "--limit", "2", "--after", "bob", "--json").json
    assert ([user["user_id"] for user in rest["items"]], rest["next_cursor"]) == (["zoe"], None)
    assert "More: laurels users list --after 'bob' --limit 2" in laurels("users", "list", "--limit", "2").out
    found = laurels("users", "list", "--query", "bob", "--json").json
    assert [user["user_id"] for user in found["items"]] == ["bob", "zoe"]
    assert "Zoë the Bobcat" in laurels("users", "list").out


def test_users_show_prints_the_profile(laurels, small):
    shown = laurels("users", "show", "ada", "--json").json
    assert (shown["user_id"], shown["xp"], shown["level"], shown["metrics"]["posts"]) == ("ada", 130, 2, 2)
    assert shown["streaks"]["writing"] == {"length": 0, "longest": 1, "last_day": "2026-03-09", "freezes": 0}
    assert shown["achievements"] == {"unlocked": 1, "total": 1, "points": 50}
    text = laurels("users", "show", "ada").out
    for part in (
        "Level 2",
        "130 of 400 XP",
        "Two of them",
        "writing",
        "0 now · 1 at best",
        "2 of 3",
        "Level 2 reached",
    ):
        assert part in text


def test_users_set_sets_what_is_given_and_leaves_the_rest(laurels, small):
    laurels("users", "set", "ada", "--timezone", "Europe/Berlin", "--day-starts-at", "4", "--group", "team=red")
    laurels("users", "set", "ada", "--display-name", "Ada", "--avatar-url", "https://example.org/a.png")
    done = laurels("users", "set", "ada", "--group", "house=north", "--opted-out", "--json")
    fields = ("timezone", "day_starts_at", "groups", "display_name", "avatar_url", "opted_out")
    assert [done.json[field] for field in fields] == [
        "Europe/Berlin",
        4,
        {"team": "red", "house": "north"},
        "Ada",
        "https://example.org/a.png",
        True,
    ]
    done = laurels("users", "set", "ada", "--group", "team=", "--opted-in", "--display-name", "", "--json")
    assert [done.json[field] for field in fields[2:]] == [
        {"house": "north"},
        None,
        "https://example.org/a.png",
        False,
    ]


def test_users_set_makes_a_user_who_is_not_there(laurels, small):
    assert laurels("users", "set", "new", "--group", "team=red", "--json").json["groups"] == {"team": "red"}


# leaderboard


def test_leaderboard_prints_the_board_as_the_contract_names_it(laurels, small):
    shown = laurels("leaderboard", "xp", "--period", "weekly", "--at", "2026-W11", "--json").json
    assert (shown["code"], shown["total"]) == ("xp", 2)
    assert shown["period"] == {
        "kind": "weekly",
        "key": "2026-W11",
        "starts_at": "2026-03-09T00:00:00Z",
        "ends_at": "2026-03-16T00:00:00Z",
        "status": "closing",
        "late_events": 0,
    }
    assert shown["items"] == [
        {"rank": 1, "user_id": user, "display_name": None, "level": level, "score": 65, "movement": None}
        for user, level in (("ada", 2), ("bob", 1))
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], ["ada", "bob"], id="all-time-by-default"),
        pytest.param(["--limit", "1"], ["ada"], id="limit"),
        pytest.param(["--around", "bob", "--limit", "1"], ["bob"], id="around"),
        pytest.param(["--around", "nobody"], [], id="around-nobody"),
        pytest.param(["--period", "daily", "--at", "2026-03-01"], ["ada"], id="a-day"),
        pytest.param(["--period", "monthly", "--at", "2026-03-20T10:00:00Z"], ["ada", "bob"], id="by-an-instant"),
        pytest.param(["--period", "daily"], [], id="today"),
    ],
)
def test_leaderboard_shows_the_period_and_the_lines_asked_for(arguments, expected, laurels, small):
    assert [line["user_id"] for line in laurels("leaderboard", "xp", *arguments, "--json").json["items"]] == expected
    text = laurels("leaderboard", "xp", *arguments).out
    assert all(user in text for user in expected)
    assert expected or "Nobody is listed." in text


# catalog


def test_catalog_check_says_that_a_file_is_in_order(laurels, small):
    assert laurels("catalog", "check", "small.toml").out == (
        "small.toml is in order: 'Small', with rules: 2, achievements: 1, quests: 1.\n"
    )
    assert laurels("catalog", "check", "small.toml", "--json").json == {"valid": True, "problems": []}


def test_catalog_check_lists_every_mistake(laurels, folder):
    text = SMALL.replace("metric = ", "metrik = ").replace("posts = 2", "post = 2")
    (folder / "wrong.toml").write_text(text)
    done = laurels("catalog", "check", "wrong.toml")
    assert (done.code, done.out) == (1, "")
    assert "wrong.toml has 3 problems" in done.err
    assert "did you mean 'posts'?" in done.err
    done = laurels("catalog", "check", "wrong.toml", "--json")
    assert (done.code, done.err, done.json["valid"]) == (1, "", False)
    assert [problem["path"] for problem in done.json["problems"]] == [
        "achievements[0].when.post",
        "leaderboards[0].metrik",
        "leaderboards[0].metric",
    ]


def test_catalog_check_needs_no_database(laurels, folder):
    assert laurels("catalog", "check", "community").code == 0
    assert list(folder.iterdir()) == []


def test_catalog_apply_puts_a_file_into_force_once(laurels, small, folder):
    (folder / "more.toml").write_text(SMALL.replace("xp = 60", "xp = 70"))
    assert "Revision 2 is in force: 'Small'" in laurels("catalog", "apply", "more.toml").out
    assert laurels("catalog", "apply", "more.toml").out == "Revision 2 is this very catalog, and in force.\n"
    assert "Revision 3 is in force" in laurels("catalog", "apply", "small.toml").out
    assert laurels("record", "post", "--user", "cy", "--json").json["changes"][0]["amount"] == 60


def test_catalog_apply_makes_the_database_if_need_be(laurels, folder):
    (folder / "small.toml").write_text(SMALL)
    assert "Revision 1" in laurels("catalog", "apply", "small.toml").out


def test_catalog_diff_lists_what_applying_would_change(laurels, small, folder):
    text = SMALL.replace("xp = 60", "xp = 70").replace('code = "three"', 'code = "four"')
    (folder / "more.toml").write_text(text)
    lines = [" ".join(line.split()) for line in laurels("catalog", "diff", "more.toml").out.splitlines() if line]
    assert lines == ["+ quests[four]", "- quests[three]", "~ rules[post].xp 60 → 70"]
    assert laurels("catalog", "diff", "more.toml", "--json").json["differences"][2] == {
        "kind": "changed",
        "path": "rules[post].xp",
        "before": 60,
        "after": 70,
    }
    assert laurels("catalog", "diff", "small.toml").out.strip() == "There is no difference."


def test_catalog_show_prints_the_one_in_force(laurels, small):
    assert laurels("catalog", "show", "--json").json["catalog"]["name"] == "Small"
    assert "first-of-day" in laurels("catalog", "show").out


def test_catalog_show_prints_a_bundled_one_as_it_is_written(laurels, folder):
    text = laurels("catalog", "show", "community").out
    assert text == bundled_text("community")
    assert tomllib.loads(text)["catalog"]["name"] == "Community"


def test_catalog_schema_is_a_json_schema(laurels):
    assert laurels("catalog", "schema").json["$schema"] == "https://json-schema.org/draft/2020-12/schema"


# import and export


def test_import_events_and_export_events_are_each_others_opposite(laurels, small, folder):
    (folder / "out.jsonl").write_text(laurels("export", "events", "--format", "jsonl").out)
    done = laurels("import", "events", "out.jsonl", "--database", "sqlite:///copy.db")
    assert (done.code, done.out) == (0, "Done: 3 events recorded.\n")
    copied = laurels("export", "events", "--format", "jsonl", "--database", "sqlite:///copy.db").out
    assert copied == (folder / "out.jsonl").read_text()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_import_events_reads_standard_input(pack, laurels, small):
    text = json.dumps({"id": "x1", "type": "post", "user": "ada"}).encode()
    assert laurels("import", "events", "-", stdin=pack(text)).out == "Done: 1 events recorded.\n"


def test_import_events_reports_bad_rows_and_fails_but_records_the_rest(laurels, small, folder):
    event = {"id": "x1", "type": "post", "user": "ada"}
    (folder / "in.jsonl").write_text(f"{json.dumps(event)}\nnonsense\n{json.dumps(event | {'user': ''})}\n")
    done = laurels("import", "events", "in.jsonl")
    assert (done.code, done.out) == (1, "Done: 1 events recorded, 2 left out as wrong.\n")
    assert [line[: len("in.jsonl:2: ")] for line in done.err.splitlines()] == ["in.jsonl:2: ", "in.jsonl:3: "]
    done = laurels("import", "events", "in.jsonl", "--json")
    assert (done.code, done.json) == (1, {"recorded": 0, "repeated": 1, "left_out": 2})


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("achievements", "user_id,achievement,times,unlocked_at"),
        (
            "entries",
            "user_id,time,unit,amount,balance,kind,rule,actor_id,request_id,source,reason,version,line",
        ),
        ("events", "id,type,user,time,data"),
    ],
    ids=lambda value: value.partition(",")[0],
)
def test_export_prints_the_same_rows_as_csv_and_as_json_lines(what, names, laurels, small):
    text = laurels("export", what, "--format", "csv").out
    assert text.splitlines()[0] == names
    rows = list(csv.DictReader(io.StringIO(text)))
    lines = [json.loads(line) for line in laurels("export", what, "--format", "jsonl").out.splitlines()]
    assert rows == [
        {name: "" if row.get(name) is None else str(row[name]) for name in names.split(",")} for row in lines
    ]
    assert rows


def test_export_achievements_prints_a_line_for_each_unlock(laurels, small):
    assert laurels("export", "achievements").out == (
        "user_id,achievement,times,unlocked_at\nada,TWO,1,2026-03-09T10:00:00Z\n"
    )


def test_export_entries_is_the_ledger(laurels, small):
    lines = laurels("export", "entries").out.splitlines()[1:]
    assert [line.split(",")[:7] for line in lines[:2]] == [
        ["ada", "2026-03-01T10:00:00Z", "xp", "60", "60", "earn", "post"],
        ["ada", "2026-03-01T10:00:00Z", "xp", "5", "65", "earn", "first-of-day"],
    ]
    assert len(lines) == 6


# boards and doctor


def test_boards_rebuild_fills_them_anew(laurels, small):
    before = laurels("leaderboard", "xp", "--json").json
    assert laurels("boards", "rebuild").out == "1 leaderboards were filled from 3 rows of the journal.\n"
    assert laurels("leaderboard", "xp", "--json").json == before


def test_doctor_finds_a_database_in_good_health(laurels, small):
    done = laurels("doctor")
    assert done.code == 0
    assert "In good health" in done.out
    shown = laurels("doctor", "--json").json
    assert (shown["healthy"], shown["users"], shown["rows"], shown["findings"]) == (True, 2, 3, [])
    assert shown["laws"] == dict.fromkeys(LAWS, 0)


# demo


def test_demo_builds_into_a_file_of_its_own_and_shows_it(laurels, folder):
    done = laurels("demo", "--seed", "3")
    assert (done.code, done.err) == (0, "")
    assert "made up from seed 3" in done.out
    assert "users show mira --database sqlite:///laurels-demo.db" in done.out
    assert [path.name for path in folder.iterdir()] == ["laurels-demo.db"]
    again = laurels("demo")
    assert "was here already" in again.out
    for line in again.out.splitlines():
        if " --database sqlite" in line and "record" not in line:
            command = line.partition("   ")[0].removeprefix(f"{program()} ")
            assert laurels(*command.split()).code == 0


def test_demo_uses_the_database_that_is_set(laurels, folder, monkeypatch):
    laurels("init")
    monkeypatch.setenv("LAURELS_DATABASE_URL", "sqlite:///set.db")
    laurels("init", "--catalog", "stackexchange")
    done = laurels("demo")
    assert done.code == 1
    assert "sqlite:///set.db is in use: 0 users under the catalog 'Stack Exchange'" in done.err
