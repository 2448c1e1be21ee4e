"""Control's part of the doctor: what it checks, tells and sends again."""

from collections.abc import Mapping, Sequence

from control_silo.deletions.usecases import tell_region
from control_silo.doctor import store
from control_silo.doctor.checks import CHECKS
from control_silo.regions.usecases import send_directory
from control_silo.tokens.confirmation import confirm
from control_silo.tokens.usecases import send_tokens_to_region
from shared.database import Transaction
from shared.doctor.domain import OrganizationRecord, TokenRecord
from shared.doctor.part import Check

_IDS_AT_ONCE = 10_000


class ControlPart:
    """See shared.doctor.part.SiloPart."""

    checks: Sequence[Check] = CHECKS
    id_columns: Mapping[str, str] = {
        "user_account": "id",
        "token": "id",
        "organization_mapping": "organization_id",
    }

    def organizations(
        self, transaction: Transaction, region: str, *, after_id: int, rows_max: int
    ) -> list[OrganizationRecord]:
        """The mappings, of one region when it is given."""
        return store.organizations(transaction, region, after_id=after_id, rows_max=rows_max)

    def tokens(self, transaction: Transaction, region: str, *, after_id: int, rows_max: int) -> list[TokenRecord]:
        """The tokens, of a region's audience when it is given."""
        return store.tokens(transaction, region, after_id=after_id, rows_max=rows_max)

    def forget_versions(self, transaction: Transaction, peer: str) -> None:
        """The region's organizations and members are told anew; its fence rises above all that it was given."""
        store.forget_versions(transaction, peer)

    def resend(self, transaction: Transaction, peer: str) -> int:
        """The directory, all tokens of the region's audience and their confirmation, what is to be deleted.

        Users follow the members that the region tells of.
        """
        before = len(transaction.notes)
        send_directory(transaction, peer)
        send_tokens_to_region(transaction, peer)
        confirm(transaction, [peer])
        after_id = 0
        while found := store.to_be_deleted(transaction, peer, after_id=after_id, rows_max=_IDS_AT_ONCE):
            for organization_id in found:
                tell_region(transaction, organization_id, peer)
            after_id = found[-1]
        return len(transaction.notes) - before
