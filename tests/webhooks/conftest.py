"""Receivers of webhooks, and deliverers that send to them."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from laurels.settings import Settings
from laurels.webhooks import endpoints
from laurels.webhooks.addresses import Addresses
from laurels.webhooks.deliverer import Deliverer
from tests.webhooks.receivers import Receiver, Server

PRIVATE = Addresses(allow_private=True)


@pytest.fixture
def receive():
    """Start receivers: `receive(500, 204)` answers 500, then 204 for ever."""
    with ExitStack() as stack:

        def start(*answers, trust=None):
            receiver = Receiver(answers=list(answers) or [204])
            stack.enter_context(Server(receiver, trust))
            return receiver

        yield start


@pytest.fixture
def engine(open_engine):
    return open_engine()


@pytest.fixture
def listen(engine):
    """Make an endpoint for a receiver: `listen(receiver, types=["level.*"])`."""

    def make(receiver, **settings):
        return endpoints.create(engine, PRIVATE, receiver.url, actor="tests", **settings)

    return make


@pytest.fixture
def deliverer(engine):
    """Make deliverers that throw no dice: waits are as long as the schedule says."""
    made = []

    def make(*, of=engine, timeout_s=15.0, **settings):
        settings = Settings(webhooks_allow_private=True, **settings)
        made.append(Deliverer(of, settings, timeout_s=timeout_s, dice=lambda: 0.0))
        return made[-1]

    yield make
    for one in made:
        one.close()
