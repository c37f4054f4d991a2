"""Counters that all processes share, in Redis or Valkey, or a cluster of them."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

PREFIX = "laurels:calls:"
#: After Redis did not answer, it is asked again when so much time has passed.
ALONE_S = 2.0
#: Every call waits for Redis, so it is not waited for long.
TIMEOUT_S = 1.0

log = logging.getLogger("laurels.http")


class RedisCounters:
    """One number for each name, forgotten after a while. Of one event loop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Redis | RedisCluster | None = None
        self._connecting = asyncio.Lock()
        self._ask_from = 0.0

    async def count(self, name: str, calls: int, keep_s: int) -> int | None:
        """Add some and return how many there are; None while there is nobody to count."""
        if time.monotonic() < self._ask_from:
            return None
        try:
            async with self._connecting:
                if self._client is None:
                    self._client = await _connected(self._url)
            pipeline = self._client.pipeline(transaction=False)
            pipeline.incr(PREFIX + name, calls)
            pipeline.expire(PREFIX + name, keep_s)
            count, _ = await pipeline.execute()
            return int(count)
        except (RedisError, OSError) as error:
            self._ask_from = time.monotonic() + ALONE_S
            log.warning("rate_limits_not_shared", extra={"reason": str(error)})
            return None

    async def close(self) -> None:
        """Give up the connections."""
        if self._client is not None:
            await self._client.aclose()


async def _connected(url: str) -> Redis | RedisCluster:
    """Connect to a Redis, or by any node of it to a cluster."""
    patience: dict[str, Any] = {
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
    }
    client = Redis.from_url(url, **patience)
    try:
        if not (await client.info("cluster")).get("cluster_enabled"):
            return client
    except BaseException:
        await client.aclose()
        raise
    await client.aclose()
    return RedisCluster.from_url(url, **patience)
