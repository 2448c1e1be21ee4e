"""PostgreSQL and Redis of one data folder, for the local stack and for the tests alike.

The invariant: servers that run from a folder belong to the one object that holds its lock, and end with its process.
"""

from pathlib import Path

from shared.embedded.folder import FolderLock
from shared.embedded.postgres import PostgresServer
from shared.embedded.redis import RedisServer


class LocalServers:
    """Both servers, or one of them; asking for one that was not started raises LookupError."""

    def __init__(self, lock: FolderLock, postgres: PostgresServer | None, redis: RedisServer | None) -> None:
        self._lock = lock
        self._postgres = postgres
        self._redis = redis

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        postgres: bool = True,
        redis: bool = True,
        durable: bool = True,
        postgres_binaries: Path | None = None,
        redis_program: Path | None = None,
        logs: Path | None = None,
    ) -> "LocalServers":
        """Returns when the servers answer. `durable=False` is for tests: faster, and a crash of the machine loses data.

        Raises LocalStackError (FolderLocked, BinariesMissing, FolderUnreachable, StartFailed); then nothing runs.
        """
        logs = logs or folder / "logs"
        servers = cls(FolderLock(folder), None, None)
        try:
            if postgres:
                servers._postgres = PostgresServer(
                    folder / "postgres",
                    binaries_folder=postgres_binaries,
                    durable=durable,
                    log_file=logs / "postgres.log",
                )
                servers._postgres.start()
            if redis:
                servers._redis = RedisServer(folder / "redis", program=redis_program, log_file=logs / "redis.log")
                servers._redis.start()
        except BaseException:
            servers.stop()
            raise
        return servers

    @property
    def postgres(self) -> PostgresServer:
        if self._postgres is None:
            raise LookupError("this local stack runs no PostgreSQL")
        return self._postgres

    @property
    def redis(self) -> RedisServer:
        if self._redis is None:
            raise LookupError("this local stack runs no Redis")
        return self._redis

    def stop(self) -> None:
        """Both servers have ended when it returns. May be called again."""
        try:
            for server in (self._redis, self._postgres):
                if server is not None:
                    server.stop()
        finally:
            self._lock.release()
