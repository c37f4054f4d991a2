"""
How much one key may call: a fixed window per key, told in the standard headers (RateLimit, RateLimit-Policy).

Where Redis is given, the calls of all processes are counted there together, at one round trip each. While it is away
every process counts by itself: better too much is let through than nothing.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING

from limits import parse

from laurels.core.errors import SettingInvalid

if TYPE_CHECKING:
    from laurels.http.auth import Caller
    from laurels.http.counters import RedisCounters
    from laurels.settings import Settings


class Limiter:
    """Counts calls. `rate_limit` is the setting: `600/minute`, or empty for none."""

    def __init__(self, settings: Settings) -> None:
        try:
            limit = parse(settings.rate_limit) if settings.rate_limit else None
        except ValueError as error:
            raise SettingInvalid(f"rate_limit is no rate such as 600/minute: {error}") from None
        self._calls_max = limit.amount if limit else 0
        self._window_s = limit.get_expiry() if limit else 0
        self._window = 0
        self._counts: Counter[str] = Counter()
        self._shared = _shared(settings.redis_url) if limit and settings.redis_url else None

    async def take(self, caller: Caller) -> tuple[bool, dict[str, str]]:
        """Count a call; return whether it is within the limit, and the headers that say how it stands."""
        if not self._window_s:
            return True, {}
        now = time.time()
        window = int(now // self._window_s)
        count = None
        if self._shared is not None:
            count = await self._shared.count(f"{caller.name}/{window}", 2 * self._window_s)
        if count is None:
            count = self._count(caller.name, window)
        seconds = max(1, math.ceil((window + 1) * self._window_s - now))
        headers = {
            "RateLimit-Policy": f'"default";q={self._calls_max};w={self._window_s}',
            "RateLimit": f'"default";r={max(0, self._calls_max - count)};t={seconds}',
        }
        if count <= self._calls_max:
            return True, headers
        return False, {**headers, "Retry-After": str(seconds)}

    async def close(self) -> None:
        """Give up the connections to Redis."""
        if self._shared is not None:
            await self._shared.close()

    def _count(self, name: str, window: int) -> int:
        """Count a call in this process alone."""
        if window != self._window:
            self._window = window
            self._counts.clear()
        self._counts[name] += 1
        return self._counts[name]


def _shared(url: str) -> RedisCounters:
    try:
        from laurels.http.counters import RedisCounters  # noqa: PLC0415  the driver only where it is used
    except ImportError as error:
        raise SettingInvalid(f"redis_url needs a driver: pip install 'laurels[redis]' ({error}).") from None
    return RedisCounters(url)
