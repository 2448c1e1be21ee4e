"""Which names and slugs a project may be given."""

import pytest

from region_silo.projects.domain import ProjectDraft, ProjectKeyPair, check_draft
from shared.errors import InvalidArgument


@pytest.mark.parametrize(
    ("draft", "fields"),
    [
        (ProjectDraft(" "), ["project.display_name"]),
        (ProjectDraft(" ", "settings"), ["project.display_name", "project.slug"]),
        (ProjectDraft("Shop", "settings"), ["project.slug"]),
        (ProjectDraft("Shop", "123"), ["project.slug"]),
    ],
)
def test_each_broken_rule_is_told_with_its_field(draft: ProjectDraft, fields: list[str]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_draft(draft)
    assert [violation.field for violation in refused.value.violations] == fields


@pytest.mark.parametrize("draft", [ProjectDraft("Settings"), ProjectDraft("123"), ProjectDraft("Shop", "my-shop_2")])
def test_other_drafts_are_accepted(draft: ProjectDraft) -> None:
    check_draft(draft)


def test_the_halves_of_a_key_are_32_hexadecimal_digits_and_differ() -> None:
    pair = ProjectKeyPair.new()
    assert pair.public_key != pair.secret_key
    assert len(bytes.fromhex(pair.public_key)) == len(bytes.fromhex(pair.secret_key)) == 16
