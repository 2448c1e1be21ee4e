"""What a token may use up a minute, counted in Redis for all processes of a silo; each silo counts by itself.

A bucket as large as a minute's quota fills evenly (GCRA): one number a token, one script call, and none for tokens
without a quota. Redis is not in the path of correctness: while it is away everything is let through.
"""

from shared.clock import Clock
from shared.errors import LimitExceeded, QuotaExhausted
from shared.redis import RedisLink, RedisUnavailableError, Script
from shared.rpc.call import Caller

# KEYS[1]: the time, in microseconds, at which the bucket is full again. ARGV: now, cost and quota. Answers how many
# microseconds the caller must wait; 0 when the cost is taken. A time too far ahead is a clock that was set back.
_TAKE = """
local now, cost, quota = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local period = 60000000
local function keep(full)
  redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.max(1, math.ceil((full - now) / 1000)))
end
local full = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
if full > now + period then
  full = now + period
  keep(full)
end
local next = full + cost * period / quota
local wait = next - period - now
if wait > 0 then return math.ceil(wait) end
keep(next)
return 0
"""


class Quotas:
    """The quotas of one silo's tokens. Without a link nothing is counted."""

    def __init__(self, link: RedisLink | None, *, clock: Clock, silo: str) -> None:
        self._take: Script | None = None if link is None else link.script(_TAKE)
        self._clock = clock
        self._silo = silo

    def spend_call(self, caller: Caller) -> None:
        """Count one call. Raises QuotaExhausted."""
        if caller.calls_per_minute:
            self._spend(caller, "calls", 1, caller.calls_per_minute)

    def spend_ids(self, caller: Caller, count: int) -> None:
        """Count ids. Raises QuotaExhausted, LimitExceeded for more at once than a minute's quota."""
        if not caller.ids_per_minute:
            return
        if count > caller.ids_per_minute:
            raise LimitExceeded(
                f"the token's quota is {caller.ids_per_minute} ids a minute",
                metadata={"quota": "ids", "limit": str(caller.ids_per_minute)},
            )
        self._spend(caller, "ids", count, caller.ids_per_minute)

    def _spend(self, caller: Caller, kind: str, cost: int, limit: int) -> None:
        if self._take is None:
            return
        now_us = round(self._clock.now().timestamp() * 1e6)
        try:
            wait_us = int(self._take.call([f"{self._silo}:quota:{kind}:{caller.token_id}"], [now_us, cost, limit]))
        except RedisUnavailableError:
            return
        if wait_us:
            raise QuotaExhausted(
                f"The token has used up its {limit} {kind} a minute; try again later.",
                metadata={"subject": f"tokens/{caller.token_id}", "quota": kind, "limit": str(limit)},
                retry_after_s=wait_us / 1e6,
            )
