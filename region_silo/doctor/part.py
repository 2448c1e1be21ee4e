"""A region's part of the doctor: what it checks, tells and sends again."""

from collections.abc import Mapping, Sequence

from region_silo.doctor import store
from region_silo.doctor.checks import CHECKS
from region_silo.members import retelling
from region_silo.slugs.usecases import announce_organizations
from shared.database import Transaction
from shared.doctor.domain import OrganizationRecord, TokenRecord
from shared.doctor.part import Check
from shared.identity import read_identity

_IDS_AT_ONCE = 10_000


class RegionPart:
    """See shared.doctor.part.SiloPart. Control is a region's only peer."""

    checks: Sequence[Check] = CHECKS
    id_columns: Mapping[str, str] = {
        "organization": "id",
        "project": "id",
        "team": "id",
        "release": "id",
        "commit_fetch": "id",
        "deploy": "id",
        "issue": "id",
        "data_import": "id",
        "token": "id",
    }

    def organizations(
        self, transaction: Transaction, region: str, *, after_id: int, rows_max: int
    ) -> list[OrganizationRecord]:
        """The organizations of this region, whichever is asked for."""
        del region
        name = read_identity(transaction).name
        return store.organizations(transaction, name, after_id=after_id, rows_max=rows_max)

    def tokens(self, transaction: Transaction, region: str, *, after_id: int, rows_max: int) -> list[TokenRecord]:
        """The replicas of this region."""
        del region
        return store.tokens(transaction, after_id=after_id, rows_max=rows_max)

    def forget_versions(self, transaction: Transaction, peer: str) -> None:
        """Whatever control sends replaces what is here; what it does not send keeps version 0."""
        del peer
        store.forget_versions(transaction)

    def resend(self, transaction: Transaction, peer: str) -> int:
        """All organizations; `work` tells of all members, batch by batch."""
        del peer
        retelling.begin(transaction)
        count, after_id = 0, 0
        while found := store.ids(transaction, after_id=after_id, rows_max=_IDS_AT_ONCE):
            announce_organizations(transaction, found)
            count, after_id = count + len(found), found[-1]
        return count
