"""The store of a fleet: Redis 6.2 or newer, at one address. A hash tag holds a fleet's keys together.

triroute:policy:v1:{FLEET}:revision:SHA256   hash: a revision's text; written once, never changed
triroute:policy:v1:{FLEET}:active            hash: the latest change; moved by compare-and-set
triroute:policy:v1:{FLEET}:changes           stream: every change, its id is the change's number
triroute:policy:v1:{FLEET}:ack:REPLICA       JSON, for ten seconds: what a router says of the latest change
triroute:policy:v1:{FLEET}:replicas          sorted set: routers by the time at which they last spoke
triroute:policy:v1:{FLEET}:trial:ID          hash: what each router has counted of a trial, JSON; for a day
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Mapping

from triroute.router.errors import InvalidPolicy, StartFailed, StoreUnavailable
from triroute.router.policy.store.base import (
    KEPT,
    Acknowledgement,
    Change,
    Kind,
    Move,
    StoreHealth,
    digest,
    moved,
    one_of,
    overtaken,
    unknown,
)
from triroute.router.policy.store.line import TIMEOUT_SECONDS, Line, client_of
from triroute.router.policy.trial.candidate import loads

_SPEAKS_SECONDS = 10
_TALLIES_SECONDS = 24 * 3600
_OVERTAKEN = 2  # what the script says
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

# In one step: compare, keep the texts, move the pointer, append to the stream.
# KEYS active, revision, changes, the candidate's revision. ARGV kind, revision, text, digest, author, reason, expected,
# number, at_us, kept, candidate, its text, its digest, after.
# Returns {1, the active hash} when the revision is active now, {0, the active revision}, or {2, ''} where `after` is
# not the latest change.
_MOVE = """
local active = redis.call('HMGET', KEYS[1], 'revision', 'number', 'kind', 'candidate', 'previous')
local now, number = active[1] or '', tonumber(active[2] or '0')
local previous = now == ARGV[2] and active[5] or now
if ARGV[1] == 'seed' then
    if active[1] and not (active[3] == 'seed' and number < tonumber(ARGV[8])) then
        return {1, redis.call('HGETALL', KEYS[1])}
    end
    number = tonumber(ARGV[8])
else
    if now == ARGV[2] and (active[4] or '') == ARGV[11] then return {1, redis.call('HGETALL', KEYS[1])} end
    if ARGV[14] ~= '' and tonumber(ARGV[14]) ~= number then return {2, ''} end
    if ARGV[7] ~= '*' and ARGV[7] ~= now then return {0, now} end
    number = number + 1
end
if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('HSET', KEYS[2], 'text', ARGV[3], 'digest', ARGV[4])
end
if ARGV[12] ~= '' and redis.call('EXISTS', KEYS[4]) == 0 then
    redis.call('HSET', KEYS[4], 'text', ARGV[12], 'digest', ARGV[13])
end
local change = {'number', string.format('%d', number), 'revision', ARGV[2], 'previous', previous, 'kind', ARGV[1],
                'author', ARGV[5], 'reason', ARGV[6], 'at_us', ARGV[9], 'candidate', ARGV[11]}
redis.call('HSET', KEYS[1], unpack(change))
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[10], string.format('%d-1', number), unpack(change))
return {1, redis.call('HGETALL', KEYS[1])}
"""


class RedisStore:
    """Every call takes at most 50 ms a try; after three failures in a row, calls fail at once for half a second."""

    def __init__(self, url: str, fleet: str) -> None:
        """Raises StartFailed for a URL or a name that is none."""
        if not _NAME.fullmatch(fleet):
            raise StartFailed(f"--fleet {fleet!r} is no name; use letters, digits, dots, dashes and underscores")
        self._prefix = f"triroute:policy:v1:{{{fleet}}}"
        self.line = Line(url)
        self._redis = self.line.redis
        self._waiting = client_of(url, None)
        self._call = self.line.call

    async def latest(self) -> Change | None:
        found = await self._call(lambda: self._redis.hgetall(self._key("active")))
        return _change(found) if found else None

    async def wait(self, after: int, seconds: float) -> None:
        """Blocks in Redis, on a connection of its own."""
        stream = {self._key("changes"): f"{after}-1"}
        limit = seconds + TIMEOUT_SECONDS
        await self._call(lambda: self._waiting.xread(stream, 1, int(seconds * 1000)), limit, tries=1)

    async def text(self, revision: str) -> str:
        found = await self._call(lambda: self._redis.hgetall(self._key(f"revision:{revision}")))
        if not found:
            raise unknown(revision)
        text = str(found.get("text", ""))
        if digest(text) != found.get("digest"):
            raise InvalidPolicy(f"revision {revision[:12]}:1:1: its text in Redis was changed; apply the policy again")
        return text

    async def find(self, prefix: str) -> str:
        return one_of(prefix, await self.history(KEPT))

    async def move(self, move: Move) -> Change:
        candidate = move.candidate
        keys = [self._key("active"), self._key(f"revision:{move.revision}"), self._key("changes")]
        keys += [self._key(f"revision:{candidate.revision if candidate else move.revision}")]
        expected = "*" if move.expected is None else move.expected
        values = [move.kind.value, move.revision, move.text, digest(move.text), move.author, move.reason]
        values += [expected, str(move.number), str(time.time_ns() // 1000), str(KEPT)]
        values += [candidate.dumps() if candidate else "", move.candidate_text, digest(move.candidate_text)]
        values += ["" if move.after is None else str(move.after)]
        # A try that timed out may have moved the pointer: the next one then finds the revision active, and all is well.
        done, answer = await self._call(lambda: self._redis.eval(_MOVE, len(keys), *keys, *values))
        if done == _OVERTAKEN:
            raise overtaken()
        if not done:
            raise moved(str(answer), expected)
        return _change(answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True)))

    async def history(self, limit: int) -> list[Change]:
        entries = await self._call(lambda: self._redis.xrevrange(self._key("changes"), count=limit))
        return [_change(fields) for _, fields in entries]

    async def acknowledge(self, said: Acknowledgement) -> None:
        body = json.dumps(dataclasses.asdict(said))

        async def write() -> None:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(self._key(f"ack:{said.replica}"), body, ex=_SPEAKS_SECONDS)
                pipe.zadd(self._key("replicas"), {said.replica: said.at_us})
                pipe.zremrangebyscore(self._key("replicas"), "-inf", said.at_us - _SPEAKS_SECONDS * 1_000_000)
                pipe.expire(self._key("replicas"), 60 * _SPEAKS_SECONDS)
                await pipe.execute()

        await self._call(write)

    async def acknowledgements(self) -> list[Acknowledgement]:
        names = await self._call(lambda: self._redis.zrange(self._key("replicas"), 0, -1))
        keys = [self._key(f"ack:{name}") for name in sorted(names)]
        said = await self._call(lambda: self._redis.mget(keys)) if keys else []
        return [Acknowledgement(**json.loads(body)) for body in said if body]

    async def tell(self, trial: str, router: str, tally: str) -> None:
        async def write() -> None:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hset(self._key(f"trial:{trial}"), router, tally)
                pipe.expire(self._key(f"trial:{trial}"), _TALLIES_SECONDS)
                await pipe.execute()

        await self._call(write)

    async def told(self, trial: str) -> dict[str, str]:
        found: dict[str, str] = await self._call(lambda: self._redis.hgetall(self._key(f"trial:{trial}")))
        return found

    def health(self) -> StoreHealth:
        return StoreHealth(self.line.breaker.name, self.line.breaker.error)

    async def close(self) -> None:
        for client in (self._redis, self._waiting):
            await client.aclose()

    def _key(self, name: str) -> str:
        return f"{self._prefix}:{name}"


def _change(fields: Mapping[str, str]) -> Change:
    try:
        kind, number, at_us = Kind(fields["kind"]), int(fields["number"]), int(fields["at_us"])
        candidate = loads(fields.get("candidate", ""))
        who, why = fields["author"], fields["reason"]
        return Change(number, fields["revision"], fields["previous"], kind, who, why, at_us, candidate)
    except (KeyError, ValueError) as error:
        raise StoreUnavailable(f"the history in Redis was changed by hand and can't be read: {error!r}") from error
