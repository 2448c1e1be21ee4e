"""Who belongs to an organization, and as what.

Each mutation is one transaction; locks are taken in the order request record, organization, members by id. The last
owner can be neither removed nor demoted: whoever might take one away holds all of them. A user of whom control has not
told yet is added and stays unconfirmed until it does (decision 22). Each change stands in the audit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from region_silo.members import mirror, store
from region_silo.members.authority import hold_administered
from region_silo.members.domain import (
    HeldMember,
    Member,
    MemberDraft,
    Removed,
    Role,
    check_member_draft,
    check_owner_remains,
    check_role_update,
)
from region_silo.members.teams import TeamLookup
from region_silo.organizations.lookup import OrganizationLookup
from region_silo.users import store as user_store
from region_silo.users.domain import Standing
from shared import audit, errors
from shared.database import Database, Transaction
from shared.names import Key, MemberName, member_name, parse_key
from shared.requests.domain import Mutation
from shared.requests.usecases import once
from shared.rpc import page_token as tokens
from shared.rpc.call import current_caller

Identify = Callable[..., Mutation]
"""Makes the request record's key and fingerprint from what was asked for, with ids in place of slugs."""


class MemberUseCases:
    """Members of the organizations that the caller may see."""

    def __init__(self, database: Database, organizations: OrganizationLookup, teams: TeamLookup) -> None:
        self._database = database
        self._organizations = organizations
        self._teams = teams

    def add_member(self, parent: Key, draft: MemberDraft, identify: Identify) -> Member:
        """The new member.

        Raises InvalidArgument, OrganizationNotFound, OrganizationImporting, PermissionDenied, MemberExists (with the
        name of the one who is there), UserNotFound (control has told that there is no such user), RequestIdReused.
        """
        draft = replace(draft, email=draft.email.lower())
        check_member_draft(draft)
        organization_id = self._organizations.find(parent).id
        mutation = identify("AddMember", organization_id, draft)

        def work(transaction: Transaction) -> Member:
            hold_administered(transaction, organization_id).check_touches(draft.role)
            standing = _expect_user(transaction, draft.user_id)
            if store.find_same(transaction, organization_id, draft) is None:
                inviter_id, is_active = current_caller().user_id, standing.may_act
                added = store.insert_member(transaction, organization_id, draft, inviter_id, is_active=is_active)
                if added is not None:
                    _tell(transaction, "member.add", added, mutation)
                    return added
            there = store.find_same(transaction, organization_id, draft)
            if there is None:  # another call added it, and a third one removed it, between the statements
                raise errors.Aborted(retry_after_s=0.1)
            name = member_name(organization_id, there)
            raise errors.MemberExists(resource=errors.Resource("siloway/Member", name))

        return self._database.transact(
            lambda transaction: once(transaction, mutation, Member, lambda: work(transaction), resource=_name)
        )

    def get_member(self, name: MemberName) -> Member:
        """Raises OrganizationNotFound, MemberNotFound."""
        organization_id = self._organizations.find(name.organization).id
        return self._database.read(lambda transaction: _existing(transaction, organization_id, name.member))

    def list_members(self, parent: Key, team: str, page_size: int, page_token: str) -> tuple[list[Member], str]:
        """A page by id and the token of the next one, empty at the end; `team` (id or slug) leaves out all others.

        Raises OrganizationNotFound, TeamNotFound, InvalidPageToken, InvalidArgument of `page_size`.
        """
        organization_id = self._organizations.find(parent).id
        team_id = self._teams.find(organization_id, parse_key(team)) if team else None
        limit = tokens.page_size(page_size)
        query = tokens.query_digest("members", organization_id, team_id)
        after = int(tokens.decode(page_token, query, [int])[0]) if page_token else 0  # type: ignore[arg-type]
        rows = self._database.read(
            lambda transaction: store.after_id(transaction, organization_id, after, limit + 1, team_id)
        )
        page = rows[:limit]
        return page, tokens.encode((page[-1].id,), query) if len(rows) > limit else ""

    def change_role(self, name: MemberName, role: Role | None, mask: Sequence[str], identify: Identify) -> Member:
        """The member with the new role.

        Raises InvalidArgument, InvalidUpdateMask, OrganizationNotFound, OrganizationImporting, PermissionDenied,
        MemberNotFound, LastOwner, RequestIdReused.
        """
        wanted = check_role_update(role, mask)
        organization_id = self._organizations.find(name.organization).id
        mutation = identify("UpdateMember", organization_id, name.member, wanted)

        def work(transaction: Transaction) -> Member:
            authority = hold_administered(transaction, organization_id)
            held, target = _hold(transaction, organization_id, name.member)
            authority.check_touches(target.role, wanted)
            if wanted is not Role.OWNER:
                check_owner_remains(organization_id, held, target)
            if wanted is not target.role:
                store.set_role(transaction, target.id, wanted)
            changed = _existing(transaction, organization_id, target.id)
            _tell(transaction, "member.change_role", changed, mutation)
            return changed

        return self._database.transact(
            lambda transaction: once(transaction, mutation, Member, lambda: work(transaction), resource=_name)
        )

    def remove_member(self, name: MemberName, identify: Identify) -> Removed:
        """The name of the member that has left the organization and its teams.

        Raises OrganizationNotFound, OrganizationImporting, PermissionDenied, MemberNotFound, LastOwner,
        RequestIdReused.
        """
        organization_id = self._organizations.find(name.organization).id
        mutation = identify("RemoveMember", organization_id, name.member)

        def work(transaction: Transaction) -> Removed:
            authority = hold_administered(transaction, organization_id)
            held, target = _hold(transaction, organization_id, name.member)
            authority.check_touches(target.role)
            check_owner_remains(organization_id, held, target)
            gone = _existing(transaction, organization_id, target.id)
            store.leave_teams(transaction, target.id)
            store.delete_member(transaction, target.id)
            _tell(transaction, "member.remove", gone, mutation)
            return Removed(member_name(organization_id, target.id))

        return self._database.transact(
            lambda transaction: once(
                transaction, mutation, Removed, lambda: work(transaction), resource=lambda removed: removed.name
            )
        )


def not_found(organization_id: int, member_id: int) -> errors.MemberNotFound:
    """The refusal for a member that the organization does not have."""
    return errors.MemberNotFound(resource=errors.Resource("siloway/Member", member_name(organization_id, member_id)))


def _expect_user(transaction: Transaction, user_id: int | None) -> Standing:
    """What is known of the user, who is not given for an invited address. Raises UserNotFound."""
    if user_id is None:
        return Standing.ACTIVE
    standing = user_store.expect(transaction, [user_id])[user_id]
    if standing is Standing.UNKNOWN:
        raise errors.UserNotFound(resource=errors.Resource("siloway/User", f"users/{user_id}"))
    return standing


def _tell(transaction: Transaction, action: str, member: Member, mutation: Mutation) -> None:
    """Tell control and the audit."""
    mirror.announce(transaction, member.organization_id, [member.id])
    role = "" if member.role is None else member.role.value
    who = member.email if member.user_id is None else f"users/{member.user_id}"
    audit.record(
        transaction,
        action=action,
        target=_name(member),
        organization_id=member.organization_id,
        request_id=mutation.request_id,
        detail={"member": who, "role": role},
    )


def _hold(transaction: Transaction, organization_id: int, member_id: int) -> tuple[list[HeldMember], HeldMember]:
    held = store.hold_with_owners(transaction, organization_id, member_id)
    target = next((row for row in held if row.id == member_id), None)
    if target is None:
        raise not_found(organization_id, member_id)
    return held, target


def _existing(transaction: Transaction, organization_id: int, member_id: int) -> Member:
    found = store.by_id(transaction, organization_id, member_id)
    if found is None:
        raise not_found(organization_id, member_id)
    return found


def _name(member: Member) -> str:
    return member_name(member.organization_id, member.id)
