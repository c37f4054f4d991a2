"""Processes that serve are killed while clients write, and try again by id: nothing is lost, nothing counts twice."""

from __future__ import annotations

import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
from sqlalchemy import func, select

import laurels
from laurels import doctor
from laurels.catalog_file import parse_catalog
from laurels.store.tables import journal
from tests.conftest import BASE
from tests.http.processes import running

CATALOG = BASE + '[[rules]]\nid = "post"\non = "post.created"\nxp = 10\n[currencies.coin]\n'
SENDERS, KILLS = 12, 3
USERS = [f"user-{number}" for number in range(20)]


def test_killed_processes_lose_nothing_and_double_nothing(postgres_url, tmp_path):
    laurels.open(postgres_url, catalog=parse_catalog(CATALOG)).close()
    done, cut, stopping = [], [], []

    def send(sender):
        dice, number = random.Random(sender), 0
        with service.client() as client:
            while not stopping:
                number += 1
                user, request_id = dice.choice(USERS), f"{sender}-{number}"
                if number % 5:
                    path, body = "/v1/events", {"id": request_id, "type": "post.created", "user": user}
                else:
                    path, body = f"/v1/users/{user}/wallet/coin/credit", {"amount": 3}
                answer = None
                while answer is None:  # Until it is answered, the same again.
                    try:
                        answer = client.post(path, json=body, headers={"Idempotency-Key": request_id})
                    except httpx.TransportError as error:
                        cut.append(type(error))
                    else:
                        if answer.status_code == 503:
                            answer = None
                assert answer.status_code == 200, answer.text
                done.append((user, request_id, number % 5 == 0))

    with (
        running(tmp_path, "--workers", "2", database_url=postgres_url) as service,
        ThreadPoolExecutor(SENDERS) as senders,
    ):
        assert service.url
        busy = [senders.submit(send, number) for number in range(SENDERS)]
        try:
            for _ in range(KILLS):
                before = len(done)
                service.when(lambda least=before + 150: len(done) > least)
                victim = random.choice(sorted(service.children()))
                os.kill(victim, signal.SIGKILL)
                service.when(lambda dead=victim: len(service.children() - {dead}) == 2)
                time.sleep(0.2)
        finally:
            stopping.append(True)
        for each in busy:
            each.result(60)
        assert service.stop() == 0
    assert len(cut) >= KILLS  # Some were under way, or nothing was tried.
    with laurels.open(postgres_url) as engine:
        with engine.read() as connection:
            assert connection.scalar(select(func.count()).select_from(journal)) == len(done)
        for user in USERS:
            posts = sum(name == user and not is_credit for name, _, is_credit in done)
            paid = sum(name == user and is_credit for name, _, is_credit in done)
            profile = engine.profile(user)
            assert (profile.xp, profile.balances["coin"].available) == (10 * posts, 3 * paid)
        assert doctor.examine(engine, lambda *_: lambda *_: None).healthy
