"""Reading together: what is asked at the same time is looked up at once; all get their own answers, none an old one."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from laurels.core.errors import Unknown
from laurels.http.gathering import TOGETHER_MAX, Gathering
from tests.conftest import on_sqlite_alone


class Library:
    """Answers when it is let, and remembers what was asked together."""

    def __init__(self):
        self.asked = []
        self.began = threading.Event()
        self.opened = threading.Event()
        self.edition = 1

    def __call__(self, questions):
        self.asked.append(questions)
        self.began.set()
        edition = self.edition
        assert self.opened.wait(10)
        return [
            Unknown("unknown_book", question) if question == "none" else (question, edition) for question in questions
        ]


async def asking(gathering, *questions):
    return await asyncio.gather(*map(gathering.ask, questions), return_exceptions=True)


def test_what_is_asked_meanwhile_is_answered_together_and_each_question_once():
    library = Library()
    gathering = Gathering(library)

    async def run():
        first = asyncio.create_task(gathering.ask("a"))
        await asyncio.to_thread(library.began.wait, 10)
        others = asyncio.create_task(asking(gathering, "b", "a", "b"))
        await asyncio.sleep(0)
        library.edition = 2
        library.opened.set()
        return await first, await others

    first, others = asyncio.run(run())
    assert library.asked == [["a"], ["b", "a"]]
    # The first "a" may be old by now; who asked after it gets a newer one.
    assert (first, others) == (("a", 1), [("b", 2), ("a", 2), ("b", 2)])


def test_an_error_is_raised_for_those_alone_who_asked_for_it():
    library = Library()
    library.opened.set()
    found, error = asyncio.run(asking(Gathering(library), "a", "none"))
    assert found == ("a", 1)
    assert isinstance(error, Unknown)


def test_when_nothing_can_be_looked_up_all_who_asked_hear_of_it_and_the_next_are_served():
    library = Library()
    library.opened.set()
    broken = [True]

    def answer(questions):
        if broken.pop() if broken else False:
            raise OSError("away")
        return library(questions)

    async def run():
        gathering = Gathering(answer)
        return await asking(gathering, "a", "b"), await gathering.ask("c")

    errors, after = asyncio.run(run())
    assert [str(error) for error in errors] == ["away", "away"]
    assert after == ("c", 1)


def test_who_is_gone_takes_no_answer_from_others():
    library = Library()
    gathering = Gathering(library)

    async def run():
        gone, stays = (asyncio.create_task(gathering.ask("a")) for _ in range(2))
        await asyncio.to_thread(library.began.wait, 10)
        gone.cancel()
        library.opened.set()
        return await stays

    assert asyncio.run(run()) == ("a", 1)


def test_a_crowd_is_answered_in_parts():
    library = Library()
    library.opened.set()
    questions = [str(number) for number in range(2 * TOGETHER_MAX + 1)]
    found = asyncio.run(asking(Gathering(library), *questions))
    assert [question for question, _ in found] == questions
    assert [len(some) for some in library.asked] == [TOGETHER_MAX, TOGETHER_MAX, 1]


@pytest.mark.parametrize("path", ["/v1/users/ada", "/v1/leaderboards/xp?around=ada", "/v1/leaderboards/posts?limit=3"])
def test_each_of_many_readers_at_once_gets_what_a_lone_one_gets(api, path):
    for number, user in enumerate(["ada", "bob", "cyd"]):
        api.post("/v1/events", json={"id": f"e{number}", "type": "post.created", "user": user})
    deadline = time.monotonic() + 10
    while api.get("/v1/leaderboards/xp").json()["total"] < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    alone = api.get(path).json()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(api.get, [path, "/v1/users/nobody", "/v1/leaderboards/nothing"] * 16))
    assert [answer.json() for answer in answers[::3]] == [alone] * 16
    assert {answer.json()["code"] for answer in answers[1::3]} == {"unknown_user"}
    assert {answer.json()["code"] for answer in answers[2::3]} == {"unknown_leaderboard"}


@on_sqlite_alone
def test_what_was_answered_is_in_whatever_is_read_after_it(api):
    for number in range(30):
        api.post("/v1/users/ada/xp", json={"amount": 1}, headers={"Idempotency-Key": f"r{number}"})
        with ThreadPoolExecutor(4) as pool:
            profiles = list(pool.map(api.get, ["/v1/users/ada"] * 4))
        assert {profile.json()["xp"] for profile in profiles} == {number + 1}


def test_readers_beyond_the_connections_wait_their_turn(engine):
    engine.award_xp("ada", 5, request_id="r1")
    engine.project()

    def top(_):
        return [line.user_id for line in engine.leaderboard("xp").top()]

    with ThreadPoolExecutor(60) as pool:
        assert list(pool.map(top, range(120))) == [["ada"]] * 120
