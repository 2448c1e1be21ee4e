"""What may be chosen for `siloway import` and `siloway plan`, a group a scope."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client.filters import names_of, values_of

MergeUsers = Annotated[
    bool,
    typer.Option(
        "--merge-users", help="Use the user that is there when the username is taken. Needs the scope silo:operate."
    ),
]
OverwriteConfigs = Annotated[
    bool, typer.Option("--overwrite-configs", help="Give configuration that is there the file's values.")
]
HideOrganizations = Annotated[
    bool, typer.Option("--hide-organizations", help="Hide the organizations until somebody approves (status 3).")
]
ContinueOnError = Annotated[
    bool, typer.Option("--continue-on-error", help="Go on behind rows with errors; without it they stop the import.")
]
AddToSilo = Annotated[bool, typer.Option("--add-to-silo", help="Add to a silo that holds other organizations.")]
Usernames = Annotated[
    str | None,
    typer.Option(
        "--filter-usernames",
        metavar="NAMES",
        help='Only these users, separated by commas. "" is no filter, blank text lets nobody pass.',
    ),
]
UsernamesFile = Annotated[
    Path | None,
    typer.Option(
        "--filter-usernames-file",
        exists=True,
        dir_okay=False,
        readable=True,
        help="As --filter-usernames, from a file, separated by commas or lines. An empty file lets nobody pass.",
    ),
]
OrganizationSlugs = Annotated[
    str | None,
    typer.Option(
        "--filter-org-slugs",
        metavar="SLUGS",
        help='Only these organizations, separated by commas. "" is no filter, blank text lets none pass.',
    ),
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        metavar="MODEL=POLICY",
        help="What becomes of rows of a model whose unique values are taken: skip, merge, overwrite or suffix.",
    ),
]

Filter = import_pb.ImportOptions.Filter


@dataclass(frozen=True)
class _Choices:
    """What all scopes know."""

    policy: Policies = None

    def options(self) -> import_pb.ImportOptions:
        """As the region takes them. Raises BadParameter."""
        return import_pb.ImportOptions(policies=policies_of(self.policy))


@dataclass(frozen=True)
class OrganizationChoices(_Choices):
    """What organization scope knows."""

    filter_org_slugs: OrganizationSlugs = None
    merge_users: MergeUsers = False
    hide_organizations: HideOrganizations = False

    def options(self) -> import_pb.ImportOptions:
        """As the region takes them. Raises BadParameter."""
        options = super().options()
        options.merge_users, options.hide_organizations = self.merge_users, self.hide_organizations
        _fill(options.organization_slugs, values_of(self.filter_org_slugs))
        return options


@dataclass(frozen=True)
class UserChoices(_Choices):
    """What user scope knows."""

    filter_usernames: Usernames = None
    filter_usernames_file: UsernamesFile = None
    merge_users: MergeUsers = False

    def options(self) -> import_pb.ImportOptions:
        """As the region takes them. Raises BadParameter."""
        options = super().options()
        options.merge_users = self.merge_users
        _fill(options.usernames, names_of(self.filter_usernames, self.filter_usernames_file))
        return options


@dataclass(frozen=True)
class ConfigChoices(UserChoices):
    """What config scope knows."""

    overwrite_configs: OverwriteConfigs = False

    def options(self) -> import_pb.ImportOptions:
        """As the region takes them. Raises BadParameter."""
        options = super().options()
        options.overwrite_configs = self.overwrite_configs
        return options


@dataclass(frozen=True)
class GlobalChoices(_Choices):
    """What global scope knows."""

    add_to_silo: AddToSilo = False
    hide_organizations: HideOrganizations = False

    def options(self) -> import_pb.ImportOptions:
        """As the region takes them. Raises BadParameter."""
        options = super().options()
        options.add_to_silo, options.hide_organizations = self.add_to_silo, self.hide_organizations
        return options


def _fill(wanted: Filter, names: list[str] | None) -> None:
    """Without names there is no filter; with none of them it lets nothing pass."""
    if names is not None:
        wanted.SetInParent()
        wanted.values.extend(names)


def policies_of(texts: list[str] | None) -> list[import_pb.ImportOptions.Policy]:
    """The policies that were chosen. Raises BadParameter for one that is none."""
    return [_policy(text) for text in texts or ()]


def _policy(text: str) -> import_pb.ImportOptions.Policy:
    model, _, word = text.partition("=")
    known = {"skip", "merge", "overwrite", "suffix"}
    if not model or word not in known:
        raise typer.BadParameter(
            f'"{text}" is not MODEL=POLICY with one of {", ".join(sorted(known))}', param_hint="--policy"
        )
    on_conflict = import_pb.ImportOptions.OnConflict.Value(f"ON_CONFLICT_{word.upper()}")
    return import_pb.ImportOptions.Policy(model=model, on_conflict=on_conflict)
