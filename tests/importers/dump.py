"""
Tiny made-up Stack Exchange dumps, written as the sites write theirs: one row a line, the first row in line 3.

    write_dump(folder, posts=[question(1, owner=7)], votes=[up(1, post=1)])

A row is a dict of its attributes; `None` leaves an attribute out. Files that are not given are not written.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias
from xml.sax.saxutils import quoteattr

Row: TypeAlias = dict[str, object]

FILES = {
    "users": "Users.xml",
    "posts": "Posts.xml",
    "votes": "Votes.xml",
    "comments": "Comments.xml",
    "history": "PostHistory.xml",
}
NOON = "2012-03-01T12:00:00.000"


def write_dump(folder: Path, **rows: Iterable[Row]) -> Path:
    """Write the files named in FILES that `rows` gives; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, those in rows.items():
        lines = ['<?xml version="1.0" encoding="utf-8"?>', f"<{name}>", *map(row_line, those), f"</{name}>", ""]
        (folder / FILES[name]).write_text("\n".join(lines), encoding="utf-8")
    return folder


def row_line(row: Row) -> str:
    given = (f"{name}={quoteattr(str(value))}" for name, value in row.items() if value is not None)
    return f"  <row {' '.join(given)} />"


def user(user_id: int, at: str = NOON, **more: object) -> Row:
    return {"Id": user_id, "Reputation": 1, "CreationDate": at, **more}


def question(post_id: int, owner: int | None = 1, at: str = NOON, **more: object) -> Row:
    return {"Id": post_id, "PostTypeId": 1, "CreationDate": at, "Score": 0, "OwnerUserId": owner, **more}


def answer(post_id: int, to: int | None, owner: int | None = 2, at: str = NOON, **more: object) -> Row:
    return {"Id": post_id, "PostTypeId": 2, "ParentId": to, "CreationDate": at, "OwnerUserId": owner, **more}


def up(vote_id: int, post: int, day: str = "2012-03-01", **more: object) -> Row:
    return {"Id": vote_id, "PostId": post, "VoteTypeId": 2, "CreationDate": f"{day}T00:00:00.000", **more}


def down(vote_id: int, post: int, day: str = "2012-03-01") -> Row:
    return up(vote_id, post, day, VoteTypeId=3)


def accept(vote_id: int, post: int, day: str = "2012-03-01") -> Row:
    return up(vote_id, post, day, VoteTypeId=1)


def comment(comment_id: int, by: int | None = 1, post: int | None = 1, at: str = NOON) -> Row:
    return {"Id": comment_id, "PostId": post, "Score": 0, "CreationDate": at, "UserId": by}


def edit(row_id: int, part: int, post: int, by: int | None, revision: str | None = None, at: str = NOON) -> Row:
    """`part` is the PostHistoryTypeId: 4 title, 5 body, 6 tags."""
    return {
        "Id": row_id,
        "PostHistoryTypeId": part,
        "PostId": post,
        "RevisionGUID": revision,
        "CreationDate": at,
        "UserId": by,
    }
