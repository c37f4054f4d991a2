"""
Questions that come while others are being answered are answered together, as a lane records.

To look up one profile takes a thread, a connection and several statements; a hundred take hardly more. No timer is
involved: a lone question is not delayed. An answer is never older than its question, since what gathered is looked up
after it was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from asyncio import Future, Task

Asked = TypeVar("Asked")
Found = TypeVar("Found")

TOGETHER_MAX = 200


class Gathering(Generic[Asked, Found]):
    """
    Gathers questions of one kind for `answer`, which runs in a thread and returns what it found for each, in order.

    An error in place of an answer is raised for those who asked that, an error that `answer` raises for all.
    """

    def __init__(self, answer: Callable[[Sequence[Asked]], Sequence[Found | Exception]]) -> None:
        self._answer = answer
        self._waiting: list[tuple[Asked, Future[Found]]] = []
        self._answering: Task[None] | None = None

    async def ask(self, question: Asked) -> Found:
        """Return the answer to a question."""
        future: Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_all())
        return await future

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:TOGETHER_MAX], self._waiting[TOGETHER_MAX:]
                questions = list(dict.fromkeys(question for question, _ in some))
                try:
                    answers = await asyncio.to_thread(self._answer, questions)
                    found = dict(zip(questions, answers, strict=True))
                except Exception as error:  # noqa: BLE001  whatever went wrong belongs to those who asked
                    found = dict.fromkeys(questions, error)
                for question, future in some:
                    _settle(future, found[question])
        finally:
            self._answering = None


def _settle(future: Future[Found], found: Found | Exception) -> None:
    if future.done():
        return  # Who asked is gone.
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)
