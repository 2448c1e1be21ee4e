"""Who the author of a commit is, as a user: the first member of the organization who has the author's address.

An address counts when control says that it is the user's own (a verified one). Source: spec/releases.md 1 (find_users).
"""

from region_silo.members.tables import APPROVED
from region_silo.users.domain import Standing

USER_OF_AUTHOR = f"""(
    SELECT member.user_id
    FROM commit_author author
    JOIN known_user ON known_user.addresses && ARRAY[author.email] AND known_user.addresses <> '{{{{}}}}'
    JOIN organization_member member
        ON member.user_id = known_user.id AND member.organization_id = author.organization_id
    WHERE author.id = {{author_id}} AND author.organization_id = {{organization_id}}
        AND known_user.state = {Standing.ACTIVE.value}
        AND member.invite_status = {APPROVED} AND member.user_is_active
    ORDER BY member.user_id LIMIT 1
)"""
"""A query in parentheses, to be formatted with what the author's and the organization's ids are there."""
