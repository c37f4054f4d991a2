"""
Boards in Redis or Valkey: the same answers as from the database, each in one round trip.

A ranking is a sorted set of negated scores, so that Redis's own order, by score and then by the member's bytes, is the
board's. On `first` boards a member is led by the instant its score was reached, in hexadecimal digits; what a user's
member is stands in a hash beside it. On `dense` boards the different scores have a set of their own. Users who opted
out are not in these sets but in hashes beside them.

All keys of a board share a hash tag, so each script finds its keys on one node of a cluster. The board's cursor says up
to which journal row it is filled and whom it serves: the epoch of the database and the definition of the board. Every
write checks that the cursor stands where its writer read it and moves it in the same step; every read checks that the
board serves the reader. A Redis that lost everything, or belongs to another database, therefore answers nobody.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha1
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote

import redis
from redis.backoff import ExponentialBackoff
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from laurels.core.errors import InvalidInput, Unavailable
from laurels.core.requests import shown
from laurels.leaderboards.kept import NotServing, State
from laurels.leaderboards.scores import Key, Scores, Standing, StandingRow, ranks_in_order, reached
from laurels.leaderboards.sql import UNFILLED
from laurels.protocols import Place, Ranking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from laurels.core.catalog import Catalog, Leaderboard

SCHEMES = ("redis://", "rediss://", "unix://")
TIMEOUT_S = 5.0
#: Arguments to one command inside a script; Lua's stack ends at 8,000.
ARGUMENTS_MAX = 6_000
#: How often to read again when somebody else moved the cursor meanwhile.
ATTEMPTS_MAX = 20
#: Instants may be before 1970; as digits they sort like numbers only from zero on.
_INSTANT_ZERO = 1 << 63
_DIGITS = 16

Argument = str | int
Command = tuple[Argument, ...]

#: Runs commands if the cursor says what it said before ('*': whatever it says), and returns their replies. TALLY counts
#: how many users have a score, and keeps the set of those that some user has.
_RUN = """
local at = redis.call('HMGET', KEYS[1], 'token', 'seq', 'hides')
if ARGV[1] ~= '*' and ARGV[1] ~= (at[1] or '') .. ' ' .. (at[2] or '') .. ' ' .. (at[3] or '') then return false end
local replies, i = {}, 2
while ARGV[i] do
  local last = i + tonumber(ARGV[i])
  if ARGV[i + 1] == 'TALLY' then
    for j = i + 4, last, 3 do
      if redis.call('HINCRBY', ARGV[i + 3], ARGV[j], ARGV[j + 2]) == 0 then
        redis.call('HDEL', ARGV[i + 3], ARGV[j])
        redis.call('ZREM', ARGV[i + 2], ARGV[j])
      else
        redis.call('ZADD', ARGV[i + 2], ARGV[j + 1], ARGV[j])
      end
    end
    replies[#replies + 1] = 0
  else
    replies[#replies + 1] = redis.call(unpack(ARGV, i + 1, last))
  end
  i = last + 1
end
return replies
"""
#: KEYS: cursor, ranking, members, scores. ARGV: whom the board must serve, ties, users. How many stand above each.
_ABOVE = """
if redis.call('HGET', KEYS[1], 'serves') ~= ARGV[1] then return false end
local found = {}
for i = 3, #ARGV do
  local above = false
  if ARGV[2] == 'first' then
    local held = redis.call('HGET', KEYS[3], ARGV[i])
    if held then above = redis.call('ZRANK', KEYS[2], string.sub(held, -16) .. ARGV[i]) end
  else
    local score = redis.call('ZSCORE', KEYS[2], ARGV[i])
    if score then above = redis.call('ZCOUNT', KEYS[ARGV[2] == 'dense' and 4 or 2], '-inf', '(' .. score) end
  end
  found[i - 2] = above
end
return found
"""
#: The same KEYS. ARGV: whom it must serve, ties, offset, count, and the user to be around. Offset, users or different
#: scores above the first line, members with their scores.
_PAGE = """
if redis.call('HGET', KEYS[1], 'serves') ~= ARGV[1] then return false end
local start, count = tonumber(ARGV[3]), tonumber(ARGV[4])
if ARGV[5] then
  local member = ARGV[5]
  if ARGV[2] == 'first' then
    local held = redis.call('HGET', KEYS[3], member)
    if not held then return {} end
    member = string.sub(held, -16) .. member
  end
  local place = redis.call('ZRANK', KEYS[2], member)
  if not place then return {} end
  start = math.max(0, math.min(place - math.floor(count / 2), redis.call('ZCARD', KEYS[2]) - count))
end
local lines = redis.call('ZRANGE', KEYS[2], start, start + count - 1, 'WITHSCORES')
if #lines == 0 then return {} end
local above = start
if ARGV[2] ~= 'first' then
  above = redis.call('ZCOUNT', KEYS[ARGV[2] == 'dense' and 4 or 2], '-inf', '(' .. lines[2])
end
return {start, above, lines}
"""
_TOTAL = """
if redis.call('HGET', KEYS[1], 'serves') ~= ARGV[1] then return false end
return redis.call('ZCARD', KEYS[2])
"""


# --- Names ------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _tag(code: str) -> str:
    """Return how the keys of a board begin; the braces make them all hash alike."""
    return f"laurels:{{{quote(code, safe='')}}}"


def _cursor(code: str) -> str:
    return f"{_tag(code)}:cursor"


def _hidden(code: str) -> str:
    """Return the key of the users who opted out, with the time at which they were hidden (seconds)."""
    return f"{_tag(code)}:hidden"


def _rankings(code: str) -> str:
    return f"{_tag(code)}:rankings"


class _Keys(NamedTuple):
    """The keys of one ranking: negated scores, each user's member, the different scores, their users, the hidden."""

    ranks: str
    members: str
    scores: str
    users: str
    hidden: str

    @classmethod
    def of(cls, code: str, name: str) -> _Keys:
        """Return those of a ranking by its name within the board."""
        return cls(*(f"{_tag(code)}:{name}:{kind}" for kind in cls._fields))


def _name(period: str, member_of: str) -> str:
    return f"{period}:{quote(member_of, safe='')}"


def _period_and_group(name: str) -> tuple[str, str]:
    period, _, member_of = name.partition(":")
    return period, unquote(member_of)


# --- What is kept of a user -------------------------------------------------------------------------------------------


def _held(standing: Standing, ties: str) -> str:
    """Return a standing as text: its score, on `first` boards also when it was reached, in digits."""
    return f"{standing[0]} {standing[1] + _INSTANT_ZERO:0{_DIGITS}x}" if ties == "first" else str(standing[0])


def _standing(held: bytes | str, ties: str) -> Standing:
    """Return the standing that a text of Redis tells; bare scores are written as Redis likes to write numbers."""
    text = held.decode() if isinstance(held, bytes) else held
    if ties != "first":
        return int(text), 0
    score, _, digits = text.partition(" ")
    return int(score), int(digits, 16) - _INSTANT_ZERO


def _member(user_id: str, standing: Standing, ties: str) -> str:
    return f"{standing[1] + _INSTANT_ZERO:0{_DIGITS}x}{user_id}" if ties == "first" else user_id


class _Kept(NamedTuple):
    """What Redis holds of one user in one ranking: a standing on the board, or one that is hidden."""

    listed: Standing | None
    hidden: Standing | None

    @property
    def standing(self) -> Standing | None:
        """Return the one there is; on the way from one to the other there may be both for a moment, which are equal."""
        return self.hidden if self.listed is None else self.listed


_NOTHING = _Kept(None, None)


class _Writes:
    """Commands that bring one ranking forward, gathered so that there is one for each key."""

    def __init__(self, keys: _Keys, ties: str) -> None:
        self._keys = keys
        self._ties = ties
        self._ranked: list[Argument] = []
        self._members: list[Argument] = []
        self._shelved: list[Argument] = []
        self._left: list[Argument] = []
        self._members_left: list[Argument] = []
        self._unshelved: list[Argument] = []
        self._tally: Counter[int] = Counter()

    def put(self, user_id: str, kept: _Kept, new: Standing, *, is_hidden: bool) -> None:
        """Put a user's new standing where it belongs, and take away what is elsewhere."""
        ties = self._ties
        if ties == "standard" and not is_hidden and kept.hidden is None:
            self._ranked += (-new[0], user_id)  # As it nearly always is, and boards are written often.
            return
        if kept.hidden is not None and not is_hidden:
            self._unshelved.append(user_id)
        if kept.listed is not None:
            self._tally[kept.listed[0]] -= 1
            if is_hidden or _member(user_id, kept.listed, ties) != _member(user_id, new, ties):
                self._left.append(_member(user_id, kept.listed, ties))
            if is_hidden and ties == "first":
                self._members_left.append(user_id)
        if is_hidden:
            self._shelved += (user_id, _held(new, ties))
            return
        self._tally[new[0]] += 1
        self._ranked += (-new[0], _member(user_id, new, ties))
        if ties == "first":
            self._members += (user_id, _held(new, ties))

    def fill(self, rows: Sequence[tuple[int, int, str]]) -> None:
        """Put rows of negated score, instant and user where nobody is yet."""
        if self._ties == "first":
            for below, reached_at, user_id in rows:
                self.put(user_id, _NOTHING, (-below, reached_at), is_hidden=False)
            return
        self._ranked += chain.from_iterable((below, user_id) for below, _, user_id in rows)
        if self._ties == "dense":
            self._tally.update(-below for below, _, _ in rows)

    def commands(self) -> Iterator[Command]:
        """Yield the commands, removals first."""
        keys = self._keys
        yield from _split(("ZREM", keys.ranks), self._left, 1)
        yield from _split(("HDEL", keys.members), self._members_left, 1)
        yield from _split(("HDEL", keys.hidden), self._unshelved, 1)
        yield from _split(("ZADD", keys.ranks), self._ranked, 2)
        yield from _split(("HSET", keys.members), self._members, 2)
        yield from _split(("HSET", keys.hidden), self._shelved, 2)
        if self._ties == "dense":
            changes = [(score, -score, change) for score, change in self._tally.items() if change]
            yield from _split(("TALLY", keys.scores, keys.users), list(chain.from_iterable(changes)), 3)


def _split(head: Command, arguments: Sequence[Argument], of_each: int) -> Iterator[Command]:
    """Yield commands with no more arguments than a script can hand on."""
    size = ARGUMENTS_MAX // of_each * of_each
    for start in range(0, len(arguments), size):
        yield (*head, *arguments[start : start + size])


# --- The connection ---------------------------------------------------------------------------------------------------


class RedisBoards:
    """
    The boards in one Redis or Valkey, or a cluster of them, which is found out when it is first asked.

    A database of Redis holds the boards of one Laurels. Raises Unavailable `boards_unavailable`, retryable, where it
    cannot be reached or refuses.
    """

    def __init__(self, url: object) -> None:
        if not isinstance(url, str) or not url.startswith(SCHEMES):
            scheme = shown(url.partition(":")[0] if isinstance(url, str) else url)  # The rest may hold a password.
            raise InvalidInput(
                "unknown_redis", f"{scheme} is no Redis. Use redis://HOST:PORT/0 or rediss://….", "redis"
            )
        self._url = url
        self._connected: redis.Redis | RedisCluster | None = None
        self._connecting = threading.Lock()
        self._hashes: dict[str, str] = {}

    def close(self) -> None:
        """Give up every connection."""
        if self._connected is not None:
            self._connected.close()

    def leaderboards(self, stamp_of: Callable[[Leaderboard], str]) -> RedisLeaderboards:
        """Return what answers those for whom a board must have been made, which is what `stamp_of` returns."""
        return RedisLeaderboards(self, stamp_of)

    def run(self, code: str, commands: Iterable[Command], *, fence: str = "*") -> list[Any] | None:
        """Run commands on a board in one step; None, and nothing is done, where the cursor is not at the fence."""
        arguments: list[Argument] = [fence]
        keys = {_cursor(code): None}
        for command in commands:
            arguments.append(len(command))
            arguments += command
            keys[str(command[1])] = None
        found: list[Any] | None = self.script(_RUN, list(keys), arguments)
        return found

    def script(self, text: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run a script, which Redis knows by its hash from the second time on."""
        with _translated(self._url):
            client = self._client()
            known = self._hashes.get(text)
            if known is not None:
                try:
                    return client.evalsha(known, len(keys), *keys, *arguments)
                except NoScriptError:
                    pass  # It was restarted.
            self._hashes[text] = sha1(text.encode()).hexdigest()  # noqa: S324  the name that Redis gives a script
            return client.eval(text, len(keys), *keys, *arguments)

    def _client(self) -> redis.Redis | RedisCluster:
        with self._connecting:
            if self._connected is None:
                options: dict[str, Any] = {
                    "socket_timeout": TIMEOUT_S,
                    "socket_connect_timeout": TIMEOUT_S,
                    "retry": Retry(ExponentialBackoff(cap=0.1, base=0.01), 2),
                }
                client = redis.Redis.from_url(self._url, **options)
                if client.info("cluster").get("cluster_enabled"):
                    client.close()
                    self._connected = RedisCluster.from_url(
                        self._url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
                    )
                else:
                    self._connected = client
            return self._connected

    # --- Cursors ------------------------------------------------------------------------------------------------------

    def state(self, code: str) -> State:
        """Return what a board's cursor says, all empty where there is none."""
        fields = ("HMGET", _cursor(code), "stamp", "token", "seq", "hides", "serves")
        replies = self.run(code, [fields, ("HLEN", _hidden(code))])
        assert replies is not None
        of, token, seq, hides, serves = (value.decode() if value else "" for value in replies[0])
        return State(of, token, int(seq) if seq else UNFILLED, hides, serves, replies[1])

    def begin(self, code: str, of: str, *, hidden: Iterable[str]) -> State:
        """Empty a board to be filled anew for whom it is to serve, without the hidden; until then it serves nobody."""
        while True:
            state = self.state(code)
            names = self.names(code)
            keys = list(chain.from_iterable(_Keys.of(code, name) for name in names))
            token = secrets.token_hex(8)
            commands: list[Command] = [
                *_split(("UNLINK",), [_rankings(code), *keys], 1),
                *_split(("HSET", _hidden(code)), [part for user in hidden for part in (user, int(time.time()))], 2),
                ("HDEL", _cursor(code), "serves"),
                ("HSET", _cursor(code), "stamp", of, "token", token, "seq", UNFILLED),
            ]
            if self.run(code, commands, fence=state.fence) is not None:
                return State(of, token, UNFILLED, state.hides, "", state.hidden)

    def names(self, code: str) -> list[str]:
        """Return the names of the rankings that a board has, each a period and a group."""
        replies = self.run(code, [("SMEMBERS", _rankings(code))])
        assert replies is not None
        return [name.decode() for name in replies[0]]

    # --- Writing ------------------------------------------------------------------------------------------------------

    def write(
        self, board: Leaderboard, catalog: Catalog, state: State, scores: Scores, seq: int, *, serve: bool
    ) -> bool:
        """
        Bring a board forward to a journal row by what was told since the one in `state`.

        Returns False, having done nothing, where somebody else moved the board or hid a user meanwhile.
        """
        code, ties = board.code, board.ties
        by_ranking: dict[tuple[str, str], list[str]] = defaultdict(list)
        for period, member_of, user_id in scores:
            by_ranking[period, member_of].append(user_id)
        users = list({user_id for _, _, user_id in scores})
        found = self._kept(code, ties, users, by_ranking, state)
        if found is None:
            return False
        hidden, kept = found
        known = {key: standing for key, one in kept.items() if (standing := one.standing) is not None}
        writes: dict[tuple[str, str], _Writes] = {}
        for (period, member_of, user_id), new in reached(scores, known, board, catalog):
            ranking = writes.get((period, member_of))
            if ranking is None:
                ranking = writes[period, member_of] = _Writes(_Keys.of(code, _name(period, member_of)), ties)
            there = kept.get((period, member_of, user_id), _NOTHING)
            ranking.put(user_id, there, new, is_hidden=user_id in hidden)
        cursor: Command = ("HSET", _cursor(code), "seq", seq, *(("serves", state.stamp) if serve else ()))
        commands = [
            *chain.from_iterable(ranking.commands() for ranking in writes.values()),
            *_split(("SADD", _rankings(code)), [_name(*ranking) for ranking in writes], 1),
            cursor,
        ]
        return self.run(code, commands, fence=state.fence) is not None

    def _kept(
        self,
        code: str,
        ties: str,
        users: Sequence[str],
        by_ranking: Mapping[tuple[str, str], Sequence[str]],
        state: State,
    ) -> tuple[set[str], dict[Key, _Kept]] | None:
        """Return who of these users is hidden, and what is kept of whom in some rankings; None past the fence."""
        asked: list[tuple[tuple[str, str], Sequence[str]]] = []
        commands = list(_split(("HMGET", _hidden(code)), users, 1)) if state.hidden else []
        marks = len(commands)
        for ranking, members in by_ranking.items():
            keys = _Keys.of(code, _name(*ranking))
            for start in range(0, len(members), ARGUMENTS_MAX):
                some = members[start : start + ARGUMENTS_MAX]
                asked.append((ranking, some))
                commands.append(("HMGET", keys.members, *some) if ties == "first" else ("ZMSCORE", keys.ranks, *some))
                if state.hidden:
                    commands.append(("HMGET", keys.hidden, *some))
        replies = self.run(code, commands, fence=state.fence)
        if replies is None:
            return None
        hidden = {user for user, mark in zip(users, chain.from_iterable(replies[:marks]), strict=False) if mark}
        kept: dict[Key, _Kept] = {}
        answers = iter(replies[marks:])
        for (period, member_of), members in asked:
            listed, shelved = next(answers), next(answers) if state.hidden else repeat(None)
            for user_id, here, there in zip(members, listed, shelved, strict=False):
                if here is not None or there is not None:
                    kept[period, member_of, user_id] = _Kept(
                        None if here is None else _listed(here, ties), None if there is None else _standing(there, ties)
                    )
        return hidden, kept

    def fill(
        self, board: Leaderboard, state: State, ranking: tuple[str, str], rows: Sequence[tuple[int, int, str]]
    ) -> State | None:
        """
        Load rows of negated score, instant and user into a ranking of a board that is being built.

        Returns the state that holds from then on, None where somebody else has begun to build it.
        """
        code, name = board.code, _name(*ranking)
        while True:
            hidden = self.hidden(code)
            writes = _Writes(_Keys.of(code, name), board.ties)
            writes.fill([row for row in rows if row[2] not in hidden] if hidden else rows)
            for below, reached_at, user_id in rows if hidden else ():
                if user_id in hidden:
                    writes.put(user_id, _NOTHING, (-below, reached_at), is_hidden=True)
            commands = [*writes.commands(), ("SADD", _rankings(code), name)]
            if self.run(code, commands, fence=state.fence) is not None:
                return state
            now = self.state(code)
            if now.token != state.token:
                return None
            state = now  # Somebody was hidden or shown.

    def finish(self, code: str, state: State, seq: int) -> None:
        """Say up to which journal row a board was loaded; it serves nobody before it has come to the journal's end."""
        self.run(code, [("HSET", _cursor(code), "seq", seq)], fence=state.fence)

    def rows(self, board: Leaderboard) -> tuple[int, list[StandingRow]]:
        """Return up to which journal row a board is filled, and all it holds at that moment, the hidden included."""
        code, ties = board.code, board.ties
        for _ in range(ATTEMPTS_MAX):
            state, found = self.state(code), []
            for name in self.names(code):
                keys = _Keys.of(code, name)
                listed: Command = ("HGETALL", keys.members) if ties == "first" else ("ZRANGE", keys.ranks, 0, -1)
                scores = () if ties == "first" else ("WITHSCORES",)
                replies = self.run(code, [(*listed, *scores), ("HGETALL", keys.hidden)], fence=state.fence)
                if replies is None:
                    break  # The board moved.
                where = (code, *_period_and_group(name))
                for user, score in _pairs(replies[0]):
                    found.append(StandingRow(*where, user.decode(), *_listed(score, ties)))
                for user, held in _pairs(replies[1]):
                    found.append(StandingRow(*where, user.decode(), *_standing(held, ties)))
            else:
                return state.seq if state.serves else UNFILLED, found
        raise Unavailable(
            "boards_busy", "The boards in Redis moved too fast to be read whole; try again.", retryable=True
        )

    # --- Who is hidden ------------------------------------------------------------------------------------------------

    def hidden(self, code: str) -> dict[str, int]:
        """Return the users who are hidden from a board, and since when (seconds)."""
        replies = self.run(code, [("HGETALL", _hidden(code))])
        assert replies is not None
        return {user.decode(): int(since) for user, since in _pairs(replies[0])}

    def set_hidden(self, board: Leaderboard, user_id: str, *, is_hidden: bool) -> None:
        """Take a user out of every ranking of a board at once, or put the user back."""
        code = board.code
        for _ in range(ATTEMPTS_MAX):
            state = self.state(code)
            by_ranking = {_period_and_group(name): [user_id] for name in self.names(code)}
            found = self._kept(code, board.ties, [user_id], by_ranking, state)
            if found is None:
                continue
            mark: Command = ("HSET", _hidden(code), user_id, int(time.time()))
            commands: list[Command] = [mark if is_hidden else ("HDEL", _hidden(code), user_id)]
            commands.append(("HINCRBY", _cursor(code), "hides", 1))
            for (period, member_of, _), kept in found[1].items():
                if kept.standing is not None:
                    writes = _Writes(_Keys.of(code, _name(period, member_of)), board.ties)
                    writes.put(user_id, kept, kept.standing, is_hidden=is_hidden)
                    commands += writes.commands()
            if self.run(code, commands, fence=state.fence) is not None:
                return
        raise Unavailable(
            "boards_busy", "The boards in Redis moved too fast to hide a user; try again.", retryable=True
        )


def _pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield keys and values that Redis lists one after the other."""
    return zip(islice(flat, 0, None, 2), islice(flat, 1, None, 2), strict=True)


def _listed(found: bytes, ties: str) -> Standing:
    """Return the standing of a user on the board: a negated score of a sorted set, or the text beside it."""
    return _standing(found, ties) if ties == "first" else (-int(float(found)), 0)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what redis-py raises into an error that names the server and the way out."""
    try:
        yield
    except RedisError as error:
        where = url.rpartition("@")[2]
        raise Unavailable(
            "boards_unavailable",
            f"The leaderboards are in Redis at {where}, which does not answer: {error}. Nothing is lost; boards come "
            "back with it.",
            retryable=True,
        ) from error


# --- Reading ----------------------------------------------------------------------------------------------------------


class RedisLeaderboards:
    """What readers ask of the boards, answered by Redis, each question in one step. Raises NotServing."""

    def __init__(self, boards: RedisBoards, stamp_of: Callable[[Leaderboard], str]) -> None:
        self._boards = boards
        self._stamp_of = stamp_of

    def total(self, ranking: Ranking) -> int:
        """Return how many users are listed."""
        return int(self._asked(_TOTAL, ranking, []))

    def page(self, ranking: Ranking, offset: int, limit: int) -> list[Place]:
        """Return `limit` lines from the top, after the first `offset`."""
        return self._places(ranking, [offset, limit])

    def around(self, ranking: Ranking, user_id: str, count: int) -> list[Place]:
        """Return `count` lines with the user in the middle, shifted at the ends; none for one who is not listed."""
        return self._places(ranking, [0, count, user_id])

    def ranks(self, ranking: Ranking, user_ids: Sequence[str]) -> dict[str, int]:
        """Return the ranks of those of these users who are listed."""
        found = self._asked(_ABOVE, ranking, [ranking.board.ties, *user_ids])
        return {user_id: 1 + above for user_id, above in zip(user_ids, found, strict=True) if above is not None}

    def _places(self, ranking: Ranking, asked: Sequence[Argument]) -> list[Place]:
        ties = ranking.board.ties
        found = self._asked(_PAGE, ranking, [ties, *asked])
        if not found:
            return []
        start, above, lines = found
        led = _DIGITS if ties == "first" else 0
        users = [member[led:].decode() for member in lines[::2]]
        scores = [-int(float(score)) for score in lines[1::2]]
        ranks = ranks_in_order(ties, above + 1, start + 1, scores)
        return [Place(*line) for line in zip(ranks, users, scores, strict=True)]

    def _asked(self, script: str, ranking: Ranking, arguments: Sequence[Argument]) -> Any:
        code = ranking.board.code
        keys = _Keys.of(code, _name(ranking.period, ranking.member_of))
        asked = [self._stamp_of(ranking.board), *arguments]
        found = self._boards.script(script, [_cursor(code), *keys[:3]], asked)
        if found is None:
            raise NotServing(code)
        return found
