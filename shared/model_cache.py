"""Rows of one model by id or by another unique field, kept in Redis; PostgreSQL stays the only truth.

The promise: a read that begins after a change has returned sees that change or a later one, from any process. Fills
race nothing: a reader fills only while the lease that it took before loading still stands, and every change removes
leases. A change is announced before its transaction, and until it is finished, or 60 s are over, readers pass the
cache by: so a writer that dies after COMMIT leaves nothing stale. A writer that cannot reach Redis closes the cache
of the whole silo through PostgreSQL (shared/model_cache_gate.py). Objects carry the Redis server's run id: what a
restart or a replica brings back is dead. With Redis down everything is answered by PostgreSQL, and Redis never causes
an error.

The limits: (1) rows must be changed inside `changing`, else they may be stale for the TTL. (2) A change's transaction
must end within 60 s. (3) Two faults at once, each for at most the TTL: the announcement is lost (Redis restarted
without its data, or evicted it) and then the writer dies, or loses Redis and PostgreSQL, between COMMIT and
finishing; or two Redis primaries serve one silo at a time. Reads belong outside transactions, and loaders must read
the primary.
"""

import contextvars
import dataclasses
import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import msgspec
import structlog

from shared import deadline, errors
from shared.model_cache_gate import CHANGE_S_MAX, CacheGate
from shared.redis import RedisLink, RedisUnavailableError

Row = TypeVar("Row")
Value = int | str

TTL_S = 300.0
LEASE_S = 10.0

_log = structlog.get_logger(__name__)

# A value is a kind (L lease, O object), a stamp (run id and generation), a line feed, and the token or the object.
_READ = """
local stamp = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') .. ':' .. ARGV[1] .. '\\n'
if redis.call('EXISTS', KEYS[2]) == 1 then return {'changing'} end
local held = redis.pcall('GET', KEYS[1])
local kind = 'none'
if type(held) == 'table' then kind = 'foreign' end
if type(held) == 'string' then
  if string.sub(held, 1, #stamp + 1) == 'O' .. stamp then return {'object', string.sub(held, #stamp + 2)} end
  if string.sub(held, 1, #stamp + 1) == 'L' .. stamp then return {'loading'} end
  if not string.match(held, '^[LO]%w+:%d+\\n') then kind = 'foreign' end
end
local lease = 'L' .. stamp .. ARGV[2]
redis.call('SET', KEYS[1], lease, 'PX', ARGV[3])
return {'lease', lease, kind}
"""
_FILL = """
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local stamp = string.match(ARGV[1], '^L(%w+:%d+\\n)')
redis.call('SET', KEYS[1], 'O' .. stamp .. ARGV[2], 'PX', ARGV[3])
return 1
"""
_RELEASE = "if redis.pcall('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
_DROP = "return redis.call('DEL', KEYS[1])"
_POINT = "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"
_FOLLOW = """
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'table' then return 'foreign' end
return held
"""
_BEGIN = """
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  if type(redis.pcall('HSET', KEYS[i + 1], ARGV[1], 1)) == 'table' then
    redis.call('DEL', KEYS[i + 1])
    redis.call('HSET', KEYS[i + 1], ARGV[1], 1)
  end
  redis.call('PEXPIRE', KEYS[i + 1], ARGV[2])
end
"""
_FINISH = """
for i = 1, #KEYS, 2 do
  redis.call('DEL', KEYS[i])
  redis.pcall('HDEL', KEYS[i + 1], ARGV[1])
end
"""


class _Scripts:
    def __init__(self, link: RedisLink) -> None:
        self.read = link.script(_READ)
        self.fill = link.script(_FILL)
        self.release = link.script(_RELEASE)
        self.drop = link.script(_DROP)
        self.point = link.script(_POINT)
        self.follow = link.script(_FOLLOW)
        self.begin = link.script(_BEGIN)
        self.finish = link.script(_FINISH)


class Change:
    """A change of some rows that readers have been told of. `finish` it when its transaction has surely ended."""

    def __init__(self, cache: "ModelCache[Any]", keys: list[str], token: str, *, announced: bool) -> None:
        self._cache = cache
        self._keys = keys
        self._token = token
        self._announced = announced

    def finish(self) -> None:
        """Let readers use the cache again; afterwards no read sees what was before. Never raises a ServiceError."""
        self._cache.finish(self._keys, self._token, announced=self._announced)


class ModelCache(Generic[Row]):
    """The cache of one model in one silo; thread-safe, one a process.

    `row_type` is a dataclass that msgspec can decode. `load_by` has a loader for the key and for each further field
    that rows are looked up by; the values of such a field are unique, and it may be a property of the row. A loader
    returns the row of a value, in the field's own form (a case-folded slug, for example), or None. `link` None: no
    cache at all.
    """

    def __init__(
        self,
        link: RedisLink | None,
        gate: CacheGate,
        *,
        silo: str,
        model: str,
        row_type: type[Row],
        load_by: Mapping[str, Callable[[Any], Row | None]],
        key: str = "id",
        ttl_s: float = TTL_S,
        lease_s: float = LEASE_S,
        change_s_max: float = CHANGE_S_MAX,
    ) -> None:
        assert key in load_by, "the key needs a loader"
        self._link = link
        self._scripts = _Scripts(link) if link else None
        self._gate = gate
        self._prefix = f"{silo}:modelcache:{model}:"
        self._version = column_digest(row_type)
        self._decoder = msgspec.json.Decoder(row_type)
        self._load_by = dict(load_by)
        self._key = key
        self._ttl_ms = int(ttl_s * 1000)
        self._lease_ms = int(lease_s * 1000)
        self._change_ms = int(change_s_max * 1000)

    def get_from_cache(self, **lookup: Value) -> Row | None:
        """The row whose one given field, the key or a declared one, has that value; None when there is none.

        Raises ValueError for another field, or not exactly one; and what the loader raises. Rule: spec/releases.md
        2.12.
        """
        field, value = self._checked(lookup)
        load = self._load_by[field]
        generation = self._gate.generation() if self._link and not self._link.skipping else None
        if generation is None or self._scripts is None:
            return load(value)
        if field == self._key:
            return self._get(self._scripts, generation, value)
        return self._get_pointed(self._scripts, generation, field, value)

    @contextmanager
    def changing(self, *keys: Value) -> Iterator[None]:
        """Change the rows of these keys inside: the transaction that does so begins and ends within.

        Raises on entry only what closing the gate raises (PostgreSQL is needed for that), before anything is changed.
        """
        change = self.begin_change(*keys)
        try:
            yield
        except errors.OutcomeUnknown:
            raise  # the COMMIT may yet happen: the announcement stays until it runs out
        except Exception:
            change.finish()
            raise
        change.finish()

    def begin_change(self, *keys: Value) -> Change:
        """Tell readers, before the transaction, that these rows are changing. Raises as `changing` does on entry."""
        names = [name for value in keys for name in self._object_keys(value)]
        token = uuid.uuid4().hex
        if self._link is None or self._scripts is None or not names:
            return Change(self, [], token, announced=False)
        if self._link.skipping and self._gate.is_held():
            return Change(self, names, token, announced=False)
        try:
            self._scripts.begin.call(names, [token, self._change_ms], insist=True)
        except RedisUnavailableError:
            self._gate.close()
            deadline.check()
            return Change(self, names, token, announced=False)
        return Change(self, names, token, announced=True)

    def invalidate(self, *keys: Value) -> None:
        """Forget these rows after a commit. Weaker than `changing`: a death just before leaves them stale for a TTL."""
        names = [name for value in keys for name in self._object_keys(value)]
        self.finish(names, "", announced=True)

    def finish(self, names: list[str], token: str, *, announced: bool) -> None:
        """What Change.finish does."""
        if self._scripts is None or not names:
            return
        if not announced and self._gate.is_held():
            return
        try:
            self._scripts.finish.call(names, [token], insist=True)
            return
        except RedisUnavailableError:
            pass
        try:
            contextvars.Context().run(self._gate.close)  # the call's deadline must not keep it open
        except errors.ServiceError:
            _log.exception("model_cache_gate_not_closed", keys=names)

    def _checked(self, lookup: dict[str, Value]) -> tuple[str, Value]:
        if len(lookup) != 1:
            raise ValueError(f"look up by exactly one field, not by {sorted(lookup) or 'none'}")
        ((field, value),) = lookup.items()
        if field not in self._load_by:
            raise ValueError(f"{self._prefix}: rows are not cached by {field!r}, only by {sorted(self._load_by)}")
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"{self._prefix}: {field} must be an integer or a text, not {type(value).__name__}")
        return field, value

    def _name(self, field: str, value: Value) -> str:
        digest = hashlib.sha256(f"{self._version}|{field}={value!r}".encode()).hexdigest()
        return self._prefix + digest[:40]

    def _object_keys(self, value: Value) -> tuple[str, str]:
        name = self._name(self._key, value)
        return name, f"{name}:changing"

    def _get(self, scripts: _Scripts, generation: int, value: Value) -> Row | None:
        load = self._load_by[self._key]
        names = self._object_keys(value)
        try:
            answer = scripts.read.call(names, [generation, uuid.uuid4().hex, self._lease_ms])
        except RedisUnavailableError:
            return load(value)
        if answer[0] == b"object":
            row = self._decoded(answer[1], value)
            if row is None:
                self._try(scripts.drop.call, names[:1])
                return load(value)
            return row
        row = load(value)
        if answer[0] == b"lease":
            if answer[2] == b"foreign":
                _log.warning("model_cache_value_foreign", key=names[0])
            if row is None:
                self._try(scripts.release.call, names[:1], [answer[1]])
            else:
                self._try(scripts.fill.call, names[:1], [answer[1], msgspec.json.encode(row), self._ttl_ms])
        return row

    def _get_pointed(self, scripts: _Scripts, generation: int, field: str, value: Value) -> Row | None:
        """Follow the pointer to the key. It cannot mislead: the row itself must have the value that was asked for."""
        load = self._load_by[field]
        name = self._name(field, value)
        try:
            held = scripts.follow.call([name])
        except RedisUnavailableError:
            return load(value)
        if held is not None:
            pointer = _pointer(held)
            if pointer is None:
                _log.warning("model_cache_value_foreign", key=name)
            else:
                row = self._get(scripts, generation, pointer)
                if row is not None and getattr(row, field) == value:
                    return row
            self._try(scripts.drop.call, [name])
        row = load(value)
        if row is not None and getattr(row, field) == value:
            self._try(scripts.point.call, [name], [msgspec.json.encode(getattr(row, self._key)), self._ttl_ms])
        return row

    def _decoded(self, held: bytes, value: Value) -> Row | None:
        try:
            row = self._decoder.decode(held)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            _log.warning("model_cache_value_unreadable", model=self._prefix, key=value, error=str(exc))
            return None
        if getattr(row, self._key) != value:
            _log.warning("model_cache_value_of_another_row", model=self._prefix, key=value)
            return None
        return row

    @staticmethod
    def _try(call: Callable[..., Any], *args: Any) -> None:
        """Do it if Redis can: the answer is known already, and what is left undone makes nothing wrong."""
        try:
            call(*args)
        except RedisUnavailableError as exc:
            _log.debug("model_cache_skipped", error=str(exc))


def column_digest(row_type: type[Any]) -> str:
    """A digest of the columns' names and types, so that another version's objects are other keys."""
    columns = ",".join(f"{field.name}:{field.type}" for field in dataclasses.fields(row_type))
    return hashlib.sha256(columns.encode()).hexdigest()[:12]


def _pointer(held: bytes) -> Value | None:
    try:
        pointer: Value = msgspec.json.decode(held, type=Value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return pointer
