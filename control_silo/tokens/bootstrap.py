"""The first token: made by migration for all silos with all scopes, its secret written to one file of control's
machine.

The file is the truth about who can use it: while it holds the secret of a live bootstrap token nothing is done, else
all of these are revoked and a new one is written. Two migrations at once take turns on the file's lock.
"""

import fcntl
import os
from pathlib import Path

from control_silo.tokens import store
from control_silo.tokens.domain import BOOTSTRAP_NAME, NewToken
from control_silo.tokens.usecases import replicate, revoke_token, write_new
from shared import audit
from shared.database import Database, Transaction
from shared.snowflake.allocator import SnowflakeAllocator
from shared.tokens import EVERYWHERE, SCOPES, hash_secret, is_secret

_NEW = NewToken(name=BOOTSTRAP_NAME, audience=(EVERYWHERE,), scopes=SCOPES)


def ensure_bootstrap_token(database: Database, allocator: SnowflakeAllocator, file: Path) -> bool:
    """See to it that `file` (mode 0600) holds the secret of the one live bootstrap token; returns whether it is new.

    A crash before the file is complete leaves a token that nobody knows, which the next run revokes. Raises OSError
    when the file cannot be written, IdsExhausted, ClockBehind.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+b") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        os.fchmod(opened.fileno(), 0o600)
        held = opened.read(1024).decode("ascii", "replace").strip()
        if is_secret(held) and database.transact(lambda transaction: _keep_live(transaction, hash_secret(held))):
            return False
        token_id = allocator.take(1)[0]
        secret = database.transact(lambda transaction: _replace(transaction, token_id))
        opened.seek(0)
        opened.truncate()
        opened.write(f"{secret}\n".encode())
        opened.flush()
        os.fsync(opened.fileno())
    return True


def _keep_live(transaction: Transaction, secret_hash: bytes) -> bool:
    """Whether the hash is that of a live bootstrap token; such a one gets the scopes that a new version brought."""
    for token in store.find_unrevoked_by_name(transaction, BOOTSTRAP_NAME):
        if token.secret_hash == secret_hash:
            if set(token.scopes) != set(SCOPES):
                changed = store.set_scopes(transaction, token.id, sorted(SCOPES))
                assert changed is not None, "the row was read in this transaction and tokens are not deleted"
                replicate(transaction, changed)
                audit.record(
                    transaction,
                    action="token.set_scopes",
                    target=changed.principal,
                    detail={"name": changed.name, "scopes": list(changed.scopes)},
                )
            return True
    return False


def _replace(transaction: Transaction, token_id: int) -> str:
    for token in store.find_unrevoked_by_name(transaction, BOOTSTRAP_NAME):
        revoke_token(transaction, token.id)
    return write_new(transaction, token_id, _NEW)[1]
