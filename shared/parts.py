"""What every process of a silo opens: the database with its identity checked, ids, wake-ups, Redis, credentials.

What is opened here is closed by `Parts.close`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shared import barrier
from shared.clock import Clock, SystemClock
from shared.database import Database
from shared.identity import SiloIdentity, check_identity
from shared.redis import RedisLink
from shared.restoration import Restoration, check_place
from shared.rpc.channel import Credentials
from shared.rpc.log import configure
from shared.settings import SiloSettings
from shared.snowflake.allocator import SnowflakeAllocator
from shared.snowflake.domain import LAYOUT_1, LAYOUT_2
from shared.wake import Waker

INTERNAL_MESSAGE_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True)
class Parts:
    """The open parts of one process."""

    settings: SiloSettings
    identity: SiloIdentity
    clock: Clock
    database: Database
    ids: SnowflakeAllocator
    waker: Waker
    redis: RedisLink | None
    credentials: Callable[[], Credentials]
    restoration: Restoration

    def database_answers(self) -> bool:
        """A check of readiness; raises what the database raises."""
        self.database.read(lambda transaction: transaction.now)
        return True

    def close(self) -> None:
        """Close everything; what is still to be told to other processes is told first."""
        self.ids.close()
        self.waker.close()
        self.database.close()
        if self.redis is not None:
            self.redis.close()


def open_parts(settings: SiloSettings, *, id_layout: int = 2, pool_size: int | None = None) -> Parts:
    """Open the parts. Raises StoreUnreachable, WrongSilo; before that nothing has a door."""
    configure(settings.log_level)
    barrier.arm(settings.barriers, settings.name)
    clock = SystemClock()
    database = Database.open(
        settings.database_url,
        clock=clock,
        pool_size=pool_size or settings.pool_size,
        application_name=f"siloway {settings.name}",
    )
    check_identity(database, settings.name, settings.number)
    check_place(database)
    identity = check_identity(database, settings.name, settings.number)
    waker = Waker(settings.database_url)
    database.wake = waker.wake
    return Parts(
        settings=settings,
        identity=identity,
        clock=clock,
        database=database,
        ids=SnowflakeAllocator.open(
            settings.database_url,
            clock=clock,
            number=settings.number,
            layout=LAYOUT_1 if id_layout == 1 else LAYOUT_2,
        ),
        waker=waker,
        redis=RedisLink.open(settings.redis_url, clock=clock) if settings.redis_url else None,
        credentials=Credentials.following(
            certificate_file=settings.doors.cert_file,
            key_file=settings.doors.key_file,
            authority_file=settings.doors.ca_file,
        ),
        restoration=Restoration(database, clock),
    )
