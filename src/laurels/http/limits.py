"""
How much one key may call: a fixed window per key, told in the standard headers (RateLimit, RateLimit-Policy).

Where Redis is given, the calls of all processes are counted there together. A process tells it of a hundredth of the
limit at a time, so that not every call takes a round trip; that much more than the limit may get through for each
process. While Redis is away every process counts by itself: better too much is let through than nothing.
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
        self._told_at_once = max(1, self._calls_max // 100)
        self._window = 0
        #: Calls in this window: everybody's as Redis last said, those it is not told of yet, and those it never is.
        self._told: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._alone: Counter[str] = Counter()
        self._shared = _shared(settings.redis_url) if limit and settings.redis_url else None

    async def take(self, caller: Caller) -> tuple[bool, dict[str, str]]:
        """Count a call; return whether it is within the limit, and the headers that say how it stands."""
        if not self._window_s:
            return True, {}
        now = time.time()
        window = int(now // self._window_s)
        count = await self._count(caller.name, window)
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

    async def _count(self, name: str, window: int) -> int:
        """Count a call, and return how many there were in this window as far as is known."""
        if window != self._window:
            self._window = window
            for counter in (self._told, self._untold, self._alone):
                counter.clear()
        if self._shared is None:
            self._alone[name] += 1
            return self._alone[name]
        self._untold[name] += 1
        if self._untold[name] < self._told_at_once:
            return self._told[name] + self._untold[name] + self._alone[name]
        calls = self._untold.pop(name)
        told = await self._shared.count(f"{name}/{window}", calls, 2 * self._window_s)
        if window != self._window:  # It took its time.
            return told or 1
        if told is None:
            self._alone[name] += calls
            return self._alone[name]
        self._told[name] = max(self._told[name], told)
        return told


def _shared(url: str) -> RedisCounters:
    try:
        from laurels.http.counters import RedisCounters  # noqa: PLC0415  the driver only where it is used
    except ImportError as error:
        raise SettingInvalid(f"redis_url needs a driver: pip install 'laurels[redis]' ({error}).") from None
    return RedisCounters(url)
