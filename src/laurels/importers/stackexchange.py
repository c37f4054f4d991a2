"""
A Stack Exchange data dump, read as the events of its site in the order they happened.

`Dump.load` reads the XML files once, row by row, into a scratch database; `Dump.events` reads that back, by time:

    type                 user       id                  data
    user.joined          the user   user-ID
    question.asked       its owner  post-ID             post, tags
    question.upvoted     its owner  vote-ID             post, score (with this vote), wiki
    question.downvoted   its owner  vote-ID             post, score, wiki
    question.reached     its owner  vote-ID-reached     post, score: 10, 25 or 100 for the first time
    answer.posted        its owner  post-ID             post, question, self_answer
    answer.upvoted       its owner  vote-ID             post, score, wiki, self_answer
    answer.downvoted     its owner  vote-ID             post, score, wiki, self_answer
    answer.reached       its owner  vote-ID-reached     post, score
    answer.accepted      the asker  vote-ID-accepted    post, question, self_answer
    answer.chosen        its owner  vote-ID-chosen      post, question, self_answer
    comment.posted       the user   comment-ID          post
    post.edited          the user   revision-ID         post, title, body, tags (was it edited), own

Ids come from the dump's row ids, so that an event is the same in every run. A vote has a day, not a time, and no voter;
it counts from its post's creation at the earliest. An acceptance is two events because either the asker or the answerer
may be gone. Who is gone, and the system's own user -1, gets no events. There are so many types because a
condition in a rule is a skip that is recorded with every event which does not meet it.

Why a scratch database: the files are ordered by row id, which is only nearly the order of time (a migrated post is
newer by id than by date, a vote takes the hour of its post), and the newest dumps not even by that. Merging them as
they are would be wrong, and reordering in memory is exact only if everything may be held. SQLite sorts on disk, joins
votes to their posts and keeps the running scores, exactly, whatever the disorder. In memory are one piece of XML and
SQLite's caches (2 MB, and as much for each sort), however many rows there are. The scratch file, about as large as the
dump without its texts, lies where SQLite keeps temporary files (`SQLITE_TMPDIR`, `TMPDIR`) and goes with the process.
And a broken file stops an import before its first event, because everything is read before that.
"""

from __future__ import annotations

import heapq
import operator
import re
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from laurels.core.errors import InvalidInput
from laurels.core.events import Event
from laurels.core.periods import Instant, from_datetime, to_datetime
from laurels.importers.stackexchange_rows import BadValueError, Row, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path

#: The rows that events come from, by PostTypeId, VoteTypeId and PostHistoryTypeId; others are checked and dropped.
POST_KINDS = {1: "question", 2: "answer"}
VOTE_KINDS = {1: "accepted", 2: "up", 3: "down"}
EDITED_PARTS = {4: "title", 5: "body", 6: "tags"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that could not be understood and was left out as a whole."""

    file: Path
    line: int
    problem: str

    def __str__(self) -> str:
        """Return `FILE:LINE: problem`, as compilers write it, so that editors can jump there."""
        return f"{self.file}:{self.line}: {self.problem}"


class Dump:
    """
    The dump in `directory`: `load` it, then read its `events`. A context manager, which gives the scratch file back.

    Missing files and attributes are like empty ones. Raises InvalidInput (`dump_not_found`) when there is none at all.
    """

    def __init__(self, directory: Path) -> None:
        self._files = _dump_files(directory)
        #: The size of all files, for a progress bar over `load`.
        self.bytes_total = sum(file.stat().st_size for file in self._files.values())
        # An empty name is a private file that SQLite deletes with the connection.
        self._scratch = sqlite3.connect("")
        self._scratch.executescript(f"PRAGMA journal_mode = OFF; {SCRATCH_TABLES}")

    def __enter__(self) -> Self:
        """Return the dump itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give the scratch file back."""
        self._scratch.close()

    def load(
        self,
        *,
        now: datetime,
        on_bad_row: Callable[[BadRow], object],
        on_bytes: Callable[[int], object] = lambda _: None,
    ) -> None:
        """
        Read all files, once; `on_bytes` gets the number of bytes read since its last call.

        A row that makes no sense, repeats an id or lies after `now` goes to `on_bad_row` and has no other effect.
        Raises InvalidInput (`dump_unreadable`), with file and line, when a file is not well-formed XML.
        """
        latest = from_datetime(now)
        for name, file in self._files.items():
            insert, values_of = INSERTS[name]
            for line, attributes in read_rows(file, on_bytes):
                try:
                    self._keep(insert, values_of(Row(attributes, latest)))
                except BadValueError as bad:
                    on_bad_row(BadRow(file=file, line=line, problem=str(bad)))
        self._scratch.execute(FILL_SCORES)

    def _keep(self, insert: str, values: Values | None) -> None:
        if values is not None and self._scratch.execute(insert, values).rowcount == 0:
            raise BadValueError(f"Id={values[0]} was already used in this file")

    def events_total(self) -> int:
        """Count the events, for a progress bar over them; takes a fraction of the time of reading them."""
        counts = (self._scratch.execute(f"SELECT count(*) FROM ({stream.query})") for stream in STREAMS)
        return sum(count for rows in counts for (count,) in rows)

    def events(self) -> Iterator[Event]:
        """
        Yield every event, in order of time.

        Those of one time come in the order of their files (a post before its votes), then of row ids: the same list in
        every run.
        """
        # merge() keeps the order of its arguments among equals, those of one row: a vote, then the score it reached.
        placed = heapq.merge(*map(self._placed_events, STREAMS), key=operator.itemgetter(0))
        return (event for _, event in placed)

    def _placed_events(self, stream: _Stream) -> Iterator[tuple[tuple[Instant, int, int], Event]]:
        for time, row_id, user, *values in self._scratch.execute(stream.query):
            event = Event(
                stream.type,
                user=str(user),
                id=stream.id.format(row_id),
                time=to_datetime(time),
                data=stream.data(*values),
            )
            yield (time, stream.rank, row_id), event

    def display_names(self) -> Iterator[tuple[str, str]]:
        """Yield (user id, name) for each user with a name, in order of the dump's ids."""
        named = self._scratch.execute("SELECT id, name FROM users WHERE name IS NOT NULL ORDER BY id")
        return ((str(user), name) for user, name in named)


def _dump_files(directory: Path) -> dict[str, Path]:
    """Find the files by their names in lower case, in the order of INSERTS; some old dumps write `posts.xml`."""
    there = {path.name.lower(): path for path in directory.iterdir()} if directory.is_dir() else {}
    files = {name: there[name] for name in INSERTS if name in there}
    if not files:
        raise InvalidInput(
            "dump_not_found",
            "There is no Users.xml, Posts.xml, Votes.xml, Comments.xml or PostHistory.xml here. "
            "Give the directory into which the dump's archive was unpacked.",
            path=str(directory),
        )
    return files


# The scratch tables, and what a row becomes in its own: None when no event and no score depends on it.

SCRATCH_TABLES = """
    CREATE TABLE users (id INTEGER PRIMARY KEY, time INTEGER, name TEXT);
    CREATE TABLE posts (
        id INTEGER PRIMARY KEY, time INTEGER, owner INTEGER, kind TEXT, parent INTEGER, wiki_since INTEGER, tags TEXT
    );
    CREATE TABLE votes (id INTEGER PRIMARY KEY, time INTEGER, post INTEGER, kind TEXT);
    CREATE TABLE comments (id INTEGER PRIMARY KEY, time INTEGER, user INTEGER, post INTEGER);
    CREATE TABLE revisions (id INTEGER PRIMARY KEY, time INTEGER, user INTEGER, post INTEGER, part TEXT, guid TEXT);
    CREATE TABLE scores (place INTEGER PRIMARY KEY, time INTEGER, vote INTEGER, post INTEGER, kind TEXT, score INTEGER);
"""

#: Each vote up or down with its own time and the score it makes, numbered in the order of the events.
FILL_SCORES = """
    INSERT INTO scores (time, vote, post, kind, score)
    SELECT max(votes.time, posts.time) AS at, votes.id, posts.id, votes.kind,
           sum(iif(votes.kind = 'up', 1, -1))
               OVER (PARTITION BY posts.id ORDER BY max(votes.time, posts.time), votes.id)
    FROM votes JOIN posts ON posts.id = votes.post
    WHERE votes.kind IN ('up', 'down')
    ORDER BY at, votes.id
"""

Values = tuple[int | str | None, ...]


def _user(row: Row) -> Values | None:
    user = row.whole("Id", minimum=-1)
    values = user, row.time("CreationDate"), row.text_or_none("DisplayName")
    return values if user > 0 else None


def _post(row: Row) -> Values | None:
    kind, owner = POST_KINDS.get(row.whole("PostTypeId")), row.person("OwnerUserId")
    parent, wiki_since = row.whole_or_none("ParentId"), row.time_or_none("CommunityOwnedDate")
    values = row.whole("Id"), row.time("CreationDate"), owner, kind, parent, wiki_since, row.text_or_none("Tags")
    return values if kind else None


def _vote(row: Row) -> Values | None:
    kind = VOTE_KINDS.get(row.whole("VoteTypeId"))
    values = row.whole("Id"), row.time("CreationDate"), row.whole("PostId"), kind
    return values if kind else None


def _comment(row: Row) -> Values | None:
    user = row.person("UserId")
    values = row.whole("Id"), row.time("CreationDate"), user, row.whole_or_none("PostId")
    return values if user else None


def _revision(row: Row) -> Values | None:
    part, user = EDITED_PARTS.get(row.whole("PostHistoryTypeId")), row.person("UserId")
    guid = row.text_or_none("RevisionGUID")
    values = row.whole("Id"), row.time("CreationDate"), user, row.whole("PostId"), part, guid
    return values if user and part else None


INSERTS = {
    "users.xml": ("INSERT OR IGNORE INTO users VALUES (?, ?, ?)", _user),
    "posts.xml": ("INSERT OR IGNORE INTO posts VALUES (?, ?, ?, ?, ?, ?, ?)", _post),
    "votes.xml": ("INSERT OR IGNORE INTO votes VALUES (?, ?, ?, ?)", _vote),
    "comments.xml": ("INSERT OR IGNORE INTO comments VALUES (?, ?, ?, ?)", _comment),
    "posthistory.xml": ("INSERT OR IGNORE INTO revisions VALUES (?, ?, ?, ?, ?, ?)", _revision),
}


# The streams of events, one for each type


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """
    The events of one type.

    `query` gives time, row id and user of each, in that order, and then what `data` takes. `id` is filled with the row
    id. `rank` orders the files where times are equal.
    """

    type: str
    rank: int
    id: str
    query: str
    data: Callable[..., dict[str, Any]]


def _asked(post: int, tags: str | None) -> dict[str, Any]:
    # "<air><travel>", in newer dumps "|air|travel|".
    return {"post": post, "tags": re.findall(r"[^<>|]+", tags or "")}


def _answered(post: int, question: int | None, self_answer: int | None) -> dict[str, Any]:
    known = {} if question is None else {"question": question}
    return {"post": post, **known, "self_answer": bool(self_answer)}


def _question_voted(post: int, score: int, wiki: int | None) -> dict[str, Any]:
    return {"post": post, "score": score, "wiki": bool(wiki)}


def _answer_voted(post: int, score: int, wiki: int | None, self_answer: int | None) -> dict[str, Any]:
    return {"post": post, "score": score, "wiki": bool(wiki), "self_answer": bool(self_answer)}


def _reached(post: int, score: int) -> dict[str, Any]:
    return {"post": post, "score": score}


def _commented(post: int | None) -> dict[str, Any]:
    return {} if post is None else {"post": post}


def _edited(post: int, title: int, body: int, tags: int, own: int | None) -> dict[str, Any]:
    return {"post": post, "title": bool(title), "body": bool(body), "tags": bool(tags), "own": bool(own)}


def _question_votes(kind: str) -> str:
    return f"""
        SELECT scores.time, vote, owner, posts.id, score, scores.time >= wiki_since
        FROM scores JOIN posts ON posts.id = scores.post
        WHERE scores.kind = '{kind}' AND posts.kind = 'question' AND owner IS NOT NULL
        ORDER BY place
    """


def _answer_votes(kind: str) -> str:
    return f"""
        SELECT scores.time, vote, posts.owner, posts.id, score, scores.time >= posts.wiki_since,
               posts.owner = question.owner
        FROM scores JOIN posts ON posts.id = scores.post LEFT JOIN posts AS question ON question.id = posts.parent
        WHERE scores.kind = '{kind}' AND posts.kind = 'answer' AND posts.owner IS NOT NULL
        ORDER BY place
    """


def _scores_reached(kind: str) -> str:
    return f"""
        SELECT scores.time, vote, owner, posts.id, score
        FROM scores JOIN posts ON posts.id = scores.post
        WHERE place IN (SELECT min(place) FROM scores WHERE score IN (10, 25, 100) GROUP BY post, score)
              AND posts.kind = '{kind}' AND owner IS NOT NULL
        ORDER BY place
    """


STREAMS = (
    _Stream(
        type="user.joined",
        rank=0,
        id="user-{}",
        data=dict,
        query="SELECT time, id, id FROM users ORDER BY time, id",
    ),
    _Stream(
        type="question.asked",
        rank=1,
        id="post-{}",
        data=_asked,
        query="""
            SELECT time, id, owner, id, tags
            FROM posts
            WHERE kind = 'question' AND owner IS NOT NULL
            ORDER BY time, id
        """,
    ),
    _Stream(
        type="answer.posted",
        rank=1,
        id="post-{}",
        data=_answered,
        query="""
            SELECT posts.time, posts.id, posts.owner, posts.id, posts.parent, posts.owner = question.owner
            FROM posts LEFT JOIN posts AS question ON question.id = posts.parent
            WHERE posts.kind = 'answer' AND posts.owner IS NOT NULL
            ORDER BY posts.time, posts.id
        """,
    ),
    _Stream(
        type="question.upvoted",
        rank=2,
        id="vote-{}",
        data=_question_voted,
        query=_question_votes("up"),
    ),
    _Stream(
        type="question.downvoted",
        rank=2,
        id="vote-{}",
        data=_question_voted,
        query=_question_votes("down"),
    ),
    _Stream(
        type="question.reached",
        rank=2,
        id="vote-{}-reached",
        data=_reached,
        query=_scores_reached("question"),
    ),
    _Stream(
        type="answer.upvoted",
        rank=2,
        id="vote-{}",
        data=_answer_voted,
        query=_answer_votes("up"),
    ),
    _Stream(
        type="answer.downvoted",
        rank=2,
        id="vote-{}",
        data=_answer_voted,
        query=_answer_votes("down"),
    ),
    _Stream(
        type="answer.reached",
        rank=2,
        id="vote-{}-reached",
        data=_reached,
        query=_scores_reached("answer"),
    ),
    _Stream(
        type="answer.accepted",
        rank=2,
        id="vote-{}-accepted",
        data=_answered,
        query="""
            SELECT max(votes.time, posts.time) AS at, votes.id, question.owner, posts.id, question.id,
                   posts.owner = question.owner
            FROM votes JOIN posts ON posts.id = votes.post JOIN posts AS question ON question.id = posts.parent
            WHERE votes.kind = 'accepted' AND question.owner IS NOT NULL
            ORDER BY at, votes.id
        """,
    ),
    _Stream(
        type="answer.chosen",
        rank=2,
        id="vote-{}-chosen",
        data=_answered,
        query="""
            SELECT max(votes.time, posts.time) AS at, votes.id, posts.owner, posts.id, question.id,
                   posts.owner = question.owner
            FROM votes JOIN posts ON posts.id = votes.post JOIN posts AS question ON question.id = posts.parent
            WHERE votes.kind = 'accepted' AND posts.owner IS NOT NULL
            ORDER BY at, votes.id
        """,
    ),
    _Stream(
        type="comment.posted",
        rank=3,
        id="comment-{}",
        data=_commented,
        query="SELECT time, id, user, post FROM comments ORDER BY time, id",
    ),
    _Stream(
        type="post.edited",
        rank=4,
        id="revision-{}",
        data=_edited,
        # One edit writes a row for each part it touches, all with the same GUID; it is named by the first.
        query="""
            SELECT min(revisions.time) AS at, min(revisions.id) AS first, revisions.user, posts.id,
                   max(part = 'title'), max(part = 'body'), max(part = 'tags'), revisions.user = posts.owner
            FROM revisions JOIN posts ON posts.id = revisions.post
            GROUP BY revisions.post, revisions.user, coalesce(revisions.guid, revisions.id)
            ORDER BY at, first
        """,
    ),
)
