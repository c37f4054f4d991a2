"""What becomes of a Stack Exchange dump: which events, of whom, in which order; and what becomes of a broken one."""

import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurels.core.errors import InvalidInput
from laurels.core.events import Event
from laurels.importers.stackexchange import Dump
from laurels.importers.stackexchange_rows import PIECE_BYTES
from tests.importers.dump import accept, answer, comment, down, edit, question, row_line, up, user, write_dump

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MIDNIGHT = datetime(2012, 3, 1, tzinfo=UTC)
NOON = datetime(2012, 3, 1, 12, tzinfo=UTC)


def read(folder):
    """Return the events and the bad rows, as text without the folder."""
    bad_rows = []
    with Dump(folder) as dump:
        dump.load(now=NOW, on_bad_row=bad_rows.append)
        events = list(dump.events())
        assert dump.events_total() == len(events)
    return events, [f"{bad.file.name}:{bad.line}: {bad.problem}" for bad in bad_rows]


def events_of(folder, **rows):
    events, bad_rows = read(write_dump(folder, **rows))
    assert bad_rows == []
    return events


def brief(events):
    return [f"{event.user} {event.type} {event.id}" for event in events]


# Which events, of whom


ASKED = question(1, owner=7, Tags="<air><travel>")
ANSWERED = answer(2, to=1, owner=8)
SELF_ANSWERED = answer(3, to=1, owner=7)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            {"users": [user(7, at="2012-02-01T08:00:00.123")]},
            Event("user.joined", user="7", id="user-7", time=datetime(2012, 2, 1, 8, 0, 0, 123_000, UTC), data={}),
            id="user",
        ),
        pytest.param(
            {"posts": [ASKED]},
            Event("question.asked", user="7", id="post-1", time=NOON, data={"post": 1, "tags": ["air", "travel"]}),
            id="question",
        ),
        pytest.param(
            {"posts": [question(1, owner=7, Tags="|air|travel|")]},
            Event("question.asked", user="7", id="post-1", time=NOON, data={"post": 1, "tags": ["air", "travel"]}),
            id="question-with-tags-as-newer-dumps-write-them",
        ),
        pytest.param(
            {"posts": [question(1, owner=7)]},
            Event("question.asked", user="7", id="post-1", time=NOON, data={"post": 1, "tags": []}),
            id="question-without-tags",
        ),
        pytest.param(
            {"posts": [ASKED, ANSWERED]},
            Event(
                "answer.posted",
                user="8",
                id="post-2",
                time=NOON,
                data={"post": 2, "question": 1, "self_answer": False},
            ),
            id="answer",
        ),
        pytest.param(
            {"posts": [ASKED, SELF_ANSWERED]},
            Event(
                "answer.posted", user="7", id="post-3", time=NOON, data={"post": 3, "question": 1, "self_answer": True}
            ),
            id="answer-to-oneself",
        ),
        pytest.param(
            {"posts": [answer(2, to=99, owner=8)]},
            Event(
                "answer.posted",
                user="8",
                id="post-2",
                time=NOON,
                data={"post": 2, "question": 99, "self_answer": False},
            ),
            id="answer-to-a-question-that-is-gone",
        ),
        pytest.param(
            {"posts": [answer(2, to=None, owner=8)]},
            Event("answer.posted", user="8", id="post-2", time=NOON, data={"post": 2, "self_answer": False}),
            id="answer-without-parent",
        ),
        pytest.param(
            {"comments": [comment(4, by=7, post=1)]},
            Event("comment.posted", user="7", id="comment-4", time=NOON, data={"post": 1}),
            id="comment",
        ),
        pytest.param(
            {"comments": [comment(4, by=7, post=None)]},
            Event("comment.posted", user="7", id="comment-4", time=NOON, data={}),
            id="comment-without-post",
        ),
        pytest.param(
            {"posts": [ASKED], "history": [edit(5, part=6, post=1, by=9)]},
            Event(
                "post.edited",
                user="9",
                id="revision-5",
                time=NOON,
                data={"post": 1, "title": False, "body": False, "tags": True, "own": False},
            ),
            id="retag",
        ),
        pytest.param(
            {"posts": [ASKED], "history": [edit(5 + part, part, post=1, by=7, revision="a") for part in (4, 5, 6)]},
            Event(
                "post.edited",
                user="7",
                id="revision-9",
                time=NOON,
                data={"post": 1, "title": True, "body": True, "tags": True, "own": True},
            ),
            id="one-edit-of-everything-is-one-event",
        ),
    ],
)
def test_a_row_becomes_an_event_of_the_user_who_did_it(rows, expected, tmp_path):
    assert events_of(tmp_path, **rows)[-1] == expected


def test_a_vote_is_an_event_of_the_posts_owner_and_carries_the_score_so_far(tmp_path):
    events = events_of(
        tmp_path,
        posts=[question(1, owner=7)],
        votes=[up(1, post=1), up(2, post=1), down(3, post=1), up(4, post=1, day="2012-03-02")],
    )
    assert [(event.type, event.user, event.id, event.data) for event in events[1:]] == [
        ("question.upvoted", "7", "vote-1", {"post": 1, "score": 1, "wiki": False}),
        ("question.upvoted", "7", "vote-2", {"post": 1, "score": 2, "wiki": False}),
        ("question.downvoted", "7", "vote-3", {"post": 1, "score": 1, "wiki": False}),
        ("question.upvoted", "7", "vote-4", {"post": 1, "score": 2, "wiki": False}),
    ]


@pytest.mark.parametrize(("owner", "expected"), [(7, True), (8, False)], ids=["ones-own", "somebody-elses"])
@pytest.mark.parametrize(("vote", "event_type"), [(up, "answer.upvoted"), (down, "answer.downvoted")])
def test_a_vote_for_an_answer_tells_whose_question_it_answers(vote, event_type, owner, expected, tmp_path):
    posts = [question(1, owner=7), answer(2, to=1, owner=owner)]
    voted = events_of(tmp_path, posts=posts, votes=[vote(1, post=2)])[-1]
    assert (voted.type, voted.data["self_answer"]) == (event_type, expected)


@pytest.mark.parametrize(("post", "kind"), [(question(1), "question"), (answer(1, to=None), "answer")])
def test_reaching_10_25_and_100_is_an_event_of_its_own_the_first_time(post, kind, tmp_path):
    ups_and_downs = [up] * 10 + [down] * 2 + [up] * 92
    votes = [vote(number, post=1) for number, vote in enumerate(ups_and_downs, 1)]
    events = events_of(tmp_path, posts=[post], votes=votes)
    reached = [index for index, event in enumerate(events) if event.type == f"{kind}.reached"]
    assert [(events[index].id, events[index].data) for index in reached] == [
        ("vote-10-reached", {"post": 1, "score": 10}),
        ("vote-29-reached", {"post": 1, "score": 25}),
        ("vote-104-reached", {"post": 1, "score": 100}),
    ]
    assert [events[index - 1].id for index in reached] == ["vote-10", "vote-29", "vote-104"]


@pytest.mark.parametrize(
    ("day", "wiki_since", "expected"),
    [
        pytest.param("2012-03-04", None, False, id="never-a-wiki"),
        pytest.param("2012-03-02", "2012-03-03T00:00:00", False, id="before"),
        pytest.param("2012-03-03", "2012-03-03T00:00:00", True, id="from-then-on"),
    ],
)
def test_a_vote_knows_whether_the_post_was_a_community_wiki(day, wiki_since, expected, tmp_path):
    posts = [question(1, CommunityOwnedDate=wiki_since)]
    assert events_of(tmp_path, posts=posts, votes=[up(1, post=1, day=day)])[-1].data["wiki"] is expected


@pytest.mark.parametrize(
    ("asker", "answerer", "expected"),
    [
        pytest.param(7, 8, ["7 answer.accepted vote-9-accepted", "8 answer.chosen vote-9-chosen"], id="two-people"),
        pytest.param(7, 7, ["7 answer.accepted vote-9-accepted", "7 answer.chosen vote-9-chosen"], id="one-person"),
        pytest.param(None, 8, ["8 answer.chosen vote-9-chosen"], id="asker-is-gone"),
        pytest.param(7, None, ["7 answer.accepted vote-9-accepted"], id="answerer-is-gone"),
        pytest.param(-1, -1, [], id="the-system"),
    ],
)
def test_an_acceptance_is_an_event_of_the_asker_and_one_of_the_answerer(asker, answerer, expected, tmp_path):
    posts = [question(1, owner=asker), answer(2, to=1, owner=answerer)]
    events = [event for event in events_of(tmp_path, posts=posts, votes=[accept(9, post=2)]) if "vote" in event.id]
    assert brief(events) == expected
    assert all(event.data == {"post": 2, "question": 1, "self_answer": asker == answerer} for event in events)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param({"users": [user(-1)]}, id="the-system-itself"),
        pytest.param({"posts": [question(1, owner=-1)], "votes": [up(1, post=1)]}, id="posts-of-the-system"),
        pytest.param({"posts": [question(1, owner=None)], "votes": [up(1, post=1)]}, id="posts-of-deleted-users"),
        pytest.param({"comments": [comment(1, by=-1), comment(2, by=None)]}, id="comments-of-neither"),
        pytest.param(
            {"posts": [question(1, owner=None)], "history": [edit(1, 5, post=1, by=-1), edit(2, 5, post=1, by=None)]},
            id="edits-of-neither",
        ),
        pytest.param({"posts": [], "votes": [up(1, post=5), accept(2, post=5)]}, id="votes-for-deleted-posts"),
        pytest.param({"posts": [], "history": [edit(1, 5, post=5, by=7)]}, id="edits-of-deleted-posts"),
        pytest.param(
            {"posts": [question(1, owner=None, PostTypeId=5)], "history": [edit(1, 5, post=1, by=7)]},
            id="edits-of-tag-wikis",
        ),
        pytest.param(
            {"posts": [question(1, owner=None)], "history": [edit(n, n, post=1, by=7) for n in (1, 2, 3, 10, 24)]},
            id="first-versions-closing-and-suggestions",
        ),
        pytest.param({"posts": [question(1, owner=None)], "votes": [up(1, post=1, VoteTypeId=5)]}, id="bookmarks"),
    ],
)
def test_what_nobody_did_is_no_event(rows, tmp_path):
    assert events_of(tmp_path, **rows) == []


def test_names_are_given_for_the_users_who_have_one(tmp_path):
    write_dump(tmp_path, users=[user(-1, DisplayName="Community"), user(10), user(9, DisplayName="Zoë ✒")])
    with Dump(tmp_path) as dump:
        dump.load(now=NOW, on_bad_row=pytest.fail)
        assert list(dump.display_names()) == [("9", "Zoë ✒")]


# The order


def test_a_vote_dated_before_its_post_counts_from_the_posts_creation(tmp_path):
    events = events_of(tmp_path, posts=[question(1)], votes=[up(1, post=1)])
    assert [(event.type, event.time) for event in events] == [("question.asked", NOON), ("question.upvoted", NOON)]


def test_a_vote_of_a_later_day_counts_from_the_beginning_of_that_day(tmp_path):
    events = events_of(tmp_path, posts=[question(1, at="2012-02-28T12:00:00")], votes=[up(1, post=1)])
    assert events[-1].time == MIDNIGHT


def test_a_migrated_post_with_a_new_id_and_an_old_date_comes_at_its_date(tmp_path):
    posts = [question(1), question(2, at="2012-03-03T00:00:00"), question(3, at="2010-01-01T00:00:00")]
    votes = [up(1, post=3, day="2010-02-01"), up(2, post=1, day="2012-03-02")]
    assert brief(events_of(tmp_path, posts=posts, votes=votes)) == [
        "1 question.asked post-3",
        "1 question.upvoted vote-1",
        "1 question.asked post-1",
        "1 question.upvoted vote-2",
        "1 question.asked post-2",
    ]


def test_at_one_time_people_come_before_posts_and_posts_before_what_is_done_to_them_by_row_ids(tmp_path):
    events = events_of(
        tmp_path,
        users=[user(2), user(1)],
        posts=[question(1), answer(2, to=1)],
        votes=[up(1, post=2), up(2, post=1), accept(3, post=2), up(4, post=2)],
        comments=[comment(1)],
        history=[edit(1, 5, post=1, by=2)],
    )
    assert {event.time for event in events} == {NOON}
    assert brief(events) == [
        "1 user.joined user-1",
        "2 user.joined user-2",
        "1 question.asked post-1",
        "2 answer.posted post-2",
        "2 answer.upvoted vote-1",
        "1 question.upvoted vote-2",
        "1 answer.accepted vote-3-accepted",
        "2 answer.chosen vote-3-chosen",
        "2 answer.upvoted vote-4",
        "1 comment.posted comment-1",
        "2 post.edited revision-1",
    ]


days = st.integers(1, 5).map(lambda day: f"2012-03-0{day}")
times = st.tuples(days, st.integers(0, 23)).map(lambda at: f"{at[0]}T{at[1]:02}:00:00")


@given(
    posted=st.lists(times, min_size=1, max_size=5),
    voted=st.lists(st.tuples(st.integers(1, 5), days, st.booleans()), max_size=20),
    random=st.randoms(use_true_random=False),
)
def test_events_are_in_order_and_scores_add_up_however_the_rows_lie_in_their_files(
    tmp_path_factory, posted, voted, random
):
    posts = [question(number, at=at) for number, at in enumerate(posted, 1)]
    votes = [(up if is_up else down)(number, post, day) for number, (post, day, is_up) in enumerate(voted, 1)]
    folder = tmp_path_factory.mktemp("dump")
    events = events_of(folder, posts=posts, votes=votes)
    assert [event.time for event in events] == sorted(event.time for event in events)
    scores = dict.fromkeys(range(1, 6), 0)
    for event in events:
        if "score" in event.data:
            scores[event.data["post"]] += {"question.upvoted": 1, "question.downvoted": -1}[event.type]
            assert event.data["score"] == scores[event.data["post"]]
    random.shuffle(posts)
    random.shuffle(votes)
    assert events_of(folder, posts=posts, votes=votes) == events


# Broken and unusual files


GOOD = {
    "users": user(100),
    "posts": question(100),
    "votes": up(100, post=100),
    "comments": comment(100),
    "history": edit(100, 5, post=100, by=1),
}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param({"users": [user("seven")]}, "Users.xml:3: Id='seven' is not a whole number from -1", id="word"),
        pytest.param({"users": [user("1_000")]}, "Users.xml:3: Id='1_000' is not a whole number", id="underscore"),
        pytest.param({"users": [user(2**53)]}, "Users.xml:3: Id='9007199254740992' is not a whole", id="too-large"),
        pytest.param({"users": [user("7" * 10_000)]}, f"Users.xml:3: Id='{'7' * 40}…' is not a whole", id="huge"),
        pytest.param({"users": [user(-2)]}, "Users.xml:3: Id='-2' is not a whole number from -1", id="negative-user"),
        pytest.param({"users": [user(None)]}, "Users.xml:3: Id is missing", id="no-id"),
        pytest.param({"users": [user(7, DisplayName="x" * 1_001)]}, "Users.xml:3: DisplayName has 1,001", id="long"),
        pytest.param({"users": [user(100)]}, "Users.xml:4: Id=100 was already used", id="id-twice"),
        pytest.param({"posts": [question(1, at="soon")]}, "Posts.xml:3: CreationDate='soon' is not a date", id="soon"),
        pytest.param({"posts": [question(1, at=None)]}, "Posts.xml:3: CreationDate is missing", id="no-date"),
        pytest.param(
            {"posts": [question(1, at="1969-12-31T23:59:59")]}, "CreationDate='1969-12-31T23:59:59' lies", id="too-old"
        ),
        pytest.param({"posts": [question(1, at="2026-01-01T00:00:01")]}, "or in the future", id="in-the-future"),
        pytest.param({"posts": [question(1, at="0001-01-01T00:00:00+14:00")]}, "is not a date", id="no-such-instant"),
        pytest.param({"posts": [question(1, owner="me")]}, "Posts.xml:3: OwnerUserId='me' is not", id="bad-owner"),
        pytest.param({"posts": [answer(2, to=0)]}, "Posts.xml:3: ParentId='0' is not a whole number", id="bad-parent"),
        pytest.param({"posts": [question(1, PostTypeId="")]}, "Posts.xml:3: PostTypeId='' is not", id="bad-kind"),
        pytest.param({"votes": [up(1, post="x")]}, "Votes.xml:3: PostId='x' is not a whole number", id="bad-post"),
        pytest.param({"comments": [comment(1, by="x")]}, "Comments.xml:3: UserId='x' is not", id="bad-commenter"),
        pytest.param({"history": [edit(1, 5, 1, by=1, at="x")]}, "PostHistory.xml:3: CreationDate='x'", id="bad-edit"),
    ],
)
def test_a_bad_row_is_reported_with_its_line_and_has_no_effect_at_all(rows, expected, tmp_path):
    ((name, bad),) = rows.items()
    good = {"posts": [GOOD["posts"]], name: [GOOD[name]]}
    without, _ = read(write_dump(tmp_path, **good))
    with_bad, bad_rows = read(write_dump(tmp_path, **good | {name: bad + good[name]}))
    assert len(bad_rows) == 1
    assert expected in bad_rows[0]
    assert with_bad == without


@pytest.mark.parametrize("name", ["users", "posts", "votes", "comments", "history"])
def test_any_files_may_be_missing(name, tmp_path):
    only = {"users": [user(1)], "posts": [question(1)], "votes": [up(1, 1)], "comments": [comment(1)], "history": []}
    events = events_of(tmp_path, **{name: only[name]})
    assert len(events) == {"users": 1, "posts": 1, "comments": 1}.get(name, 0)


@pytest.mark.parametrize("missing", [False, True], ids=["empty-folder", "no-folder"])
def test_a_folder_without_a_dump_is_refused_with_what_to_look_for(missing, tmp_path):
    folder = tmp_path / "nowhere" if missing else tmp_path
    with pytest.raises(InvalidInput, match=r"no Users\.xml, Posts\.xml, .* archive was unpacked") as refused:
        Dump(folder)
    assert refused.value.code == "dump_not_found"
    assert str(folder) in str(refused.value)


def test_old_dumps_write_file_names_in_lower_case(tmp_path):
    write_dump(tmp_path, posts=[question(1)])
    (tmp_path / "Posts.xml").rename(tmp_path / "posts.xml")
    assert brief(read(tmp_path)[0]) == ["1 question.asked post-1"]


HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<posts>\n'
ROW = row_line(question(1)) + "\n"
BOMB = '<!DOCTYPE posts [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>\n<posts><row Id="&b;"/></posts>'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("", r"Posts\.xml:1: no element found", id="empty"),
        pytest.param("PK\x03\x04", r"Posts\.xml:1: ", id="not-xml"),
        pytest.param(HEAD + ROW, r"Posts\.xml:4: no element found", id="cut-off"),
        pytest.param(HEAD + ROW + '  <row Id="2', r"Posts\.xml:4: unclosed token", id="cut-off-in-a-row"),
        pytest.param(HEAD + ROW + "  <row Id=2 />\n</posts>", r"Posts\.xml:4: not well-formed", id="no-quotes"),
        pytest.param(HEAD + ROW + '<row Id="1" Id="2"/>\n</posts>', r"Posts\.xml:4: duplicate attribute", id="twice"),
        pytest.param(HEAD + ROW + "</posts>\n<posts/>", r"Posts\.xml:5: junk after document", id="two-roots"),
        pytest.param(BOMB, r"Posts\.xml:1: a dump has no document type", id="entity-bomb"),
    ],
)
def test_a_file_that_is_no_xml_is_refused_with_file_and_line(content, expected, tmp_path):
    (tmp_path / "Posts.xml").write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput, match=expected) as refused:
        read(tmp_path)
    assert refused.value.code == "dump_unreadable"


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_file_in_another_encoding_is_refused(encoding, tmp_path):
    (tmp_path / "Posts.xml").write_text(HEAD + row_line(question(1, Title="é")) + "</posts>", encoding=encoding)
    with pytest.raises(InvalidInput, match="not well-formed"):
        read(tmp_path)


@pytest.mark.parametrize("text", ["&#x0E;", "&#xB;", "&#xD83D;&#xDE00;", "&#xFFFE;", "\x0e", "\x00"], ids=repr)
def test_characters_that_xml_forbids_do_not_stop_a_dump_whose_texts_hold_them(text, tmp_path):
    """As the dump of apple.stackexchange.com of 2024 has them."""
    write_dump(tmp_path, posts=[question(1, Body="BODY"), question(2)])
    file = tmp_path / "Posts.xml"
    file.write_text(file.read_text().replace("BODY", f"a{text}b&#xA;"), newline="")
    assert brief(read(tmp_path)[0]) == ["1 question.asked post-1", "1 question.asked post-2"]


@pytest.mark.parametrize("inside", range(7))
def test_a_forbidden_reference_may_be_cut_in_two_where_the_file_is_read_in_pieces(inside, tmp_path):
    write_dump(tmp_path, posts=[question(1, Body="BODY")])
    file = tmp_path / "Posts.xml"
    before, after = file.read_text().split("BODY")
    file.write_text(before + "x" * (PIECE_BYTES - len(before) - inside) + "&#x0E;" + after)
    assert brief(read(tmp_path)[0]) == ["1 question.asked post-1"]


def test_a_byte_order_mark_and_a_comment_may_stand_first(tmp_path):
    (tmp_path / "Posts.xml").write_text(f"\N{BOM}{HEAD}<!-- Licence -->\n{ROW}</posts>", encoding="utf-8")
    assert brief(read(tmp_path)[0]) == ["1 question.asked post-1"]


def test_progress_counts_every_byte_once(tmp_path):
    texts = ["x" * (PIECE_BYTES // 2) + "&#x0E;" * 9] * 5
    write_dump(tmp_path, users=[user(1)], posts=[question(n, Body=text) for n, text in enumerate(texts, 1)])
    counts = []
    with Dump(tmp_path) as dump:
        dump.load(now=NOW, on_bad_row=pytest.fail, on_bytes=counts.append)
        assert sum(counts) == dump.bytes_total == sum(file.stat().st_size for file in tmp_path.iterdir())
    assert len(counts) > len(texts) // 2


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path):
    def peak(rows):
        write_dump(tmp_path, comments=(comment(n) | {"Text": "x" * 500} for n in range(1, rows + 1)))
        tracemalloc.start()
        with Dump(tmp_path) as dump:
            dump.load(now=NOW, on_bad_row=pytest.fail)
            assert sum(1 for _ in dump.events()) == rows
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    # Both files have several pieces.
    assert peak(24_000) < 1.05 * peak(6_000)
