"""What a check is to the doctor, and what a silo adds to it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from shared.database import Transaction
from shared.doctor.domain import Key, Looked, OrganizationRecord, TokenRecord, When


class Check(Protocol):
    """One thing that must hold in one silo."""

    @property
    def id(self) -> str:
        """A stable word."""
        ...

    @property
    def says(self) -> str:
        """What must hold, in one sentence."""
        ...

    @property
    def when(self) -> When:
        """When it must hold."""
        ...

    @property
    def key_types(self) -> tuple[type, ...]:
        """The types of a key's parts."""
        ...

    @property
    def is_repairable(self) -> bool:
        """Whether `repair` may do something."""
        ...

    def look(self, transaction: Transaction, *, after: Key | None, rows_max: int, older_than: datetime) -> Looked:
        """Look at up to `rows_max` rows behind `after`; what changed after `older_than` may be on its way."""
        ...

    def is_found(self, transaction: Transaction, key: Key, *, older_than: datetime) -> bool:
        """Whether the row with that key is still wrong."""
        ...

    def repair(self, transaction: Transaction, key: Key) -> bool:
        """Repair what was just found wrong; False when nothing safe can be done."""
        ...


class SiloPart(Protocol):
    """What a silo adds to the doctor: its checks, its records, and what it sends to a peer that has forgotten all."""

    @property
    def checks(self) -> Sequence[Check]:
        """The silo's own checks."""
        ...

    @property
    def id_columns(self) -> Mapping[str, str]:
        """Table -> column of all ids that snowflakes are."""
        ...

    def organizations(
        self, transaction: Transaction, region: str, *, after_id: int, rows_max: int
    ) -> list[OrganizationRecord]:
        """By id, above `after_id`."""
        ...

    def tokens(self, transaction: Transaction, region: str, *, after_id: int, rows_max: int) -> list[TokenRecord]:
        """By id, above `after_id`."""
        ...

    def forget_versions(self, transaction: Transaction, peer: str) -> None:
        """Let anything that the peer sends replace what this silo keeps of it."""
        ...

    def resend(self, transaction: Transaction, peer: str) -> int:
        """Queue all that the peer keeps a replica of; returns how many messages."""
        ...
