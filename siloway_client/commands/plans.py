"""`siloway plan` and `siloway apply`: what an import would do, as a file to read, and then exactly that."""

from pathlib import Path
from typing import Annotated

import typer
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client import output
from siloway_client.commands.import_choices import (
    AddToSilo,
    HideOrganizations,
    MergeUsers,
    OrganizationSlugs,
    OverwriteConfigs,
    Policies,
    Usernames,
    UsernamesFile,
    filter_of,
    policies_of,
    usernames_filter,
)
from siloway_client.commands.imports import (
    DecryptWith,
    ImportFailed,
    NoWait,
    Source,
    WaitMax,
    check_end,
    follow,
    show,
    tell_end,
    upload_and_wait,
)
from siloway_client.decryption import decrypted
from siloway_client.findings import findings_of
from siloway_client.findings_file import FindingsFile, refusals_written, write_import
from siloway_client.options import Json, Region, RequestId, checked_destination, request_id_of, session
from siloway_client.plans import application, decisions_of, read_plan, write_plan

app = typer.Typer(no_args_is_help=True, help="Find out what the import of a file would do, without doing it.")
_Scope = import_pb.DataImport.Scope
_State = import_pb.DataImport.State

PlanFile = Annotated[
    Path | None,
    typer.Option(
        "--plan-file",
        dir_okay=False,
        callback=checked_destination,
        help="Where the plan is written; the source's name and .plan else.",
    ),
]


@app.command("organizations")
def plan_organizations(
    context: typer.Context,
    source: Source,
    filter_org_slugs: OrganizationSlugs = None,
    merge_users: MergeUsers = False,
    hide_organizations: HideOrganizations = False,
    policy: Policies = None,
    region: Region = "us",
    plan_file: PlanFile = None,
    findings_file: FindingsFile = None,
    wait_max: WaitMax = 3600,
    request_id: RequestId = None,
    decrypt_with: DecryptWith = None,
) -> None:
    """Plan the import of the organizations of a file, with their users. Needs the scope import:write."""
    options = import_pb.ImportOptions(
        policies=policies_of(policy),
        merge_users=merge_users,
        hide_organizations=hide_organizations,
        organization_slugs=filter_of(filter_org_slugs),
    )
    asked = _Asked(context, source, _Scope.SCOPE_ORGANIZATION, options, region, decrypt_with)
    asked.plan(plan_file, findings_file, wait_max, request_id)


@app.command("users")
def plan_users(
    context: typer.Context,
    source: Source,
    filter_usernames: Usernames = None,
    filter_usernames_file: UsernamesFile = None,
    merge_users: MergeUsers = False,
    policy: Policies = None,
    region: Region = "us",
    plan_file: PlanFile = None,
    findings_file: FindingsFile = None,
    wait_max: WaitMax = 3600,
    request_id: RequestId = None,
    decrypt_with: DecryptWith = None,
) -> None:
    """Plan the import of the users of a file. Needs the scope silo:operate."""
    options = import_pb.ImportOptions(
        policies=policies_of(policy),
        merge_users=merge_users,
        usernames=usernames_filter(filter_usernames, filter_usernames_file),
    )
    asked = _Asked(context, source, _Scope.SCOPE_USER, options, region, decrypt_with)
    asked.plan(plan_file, findings_file, wait_max, request_id)


@app.command("config")
def plan_config(
    context: typer.Context,
    source: Source,
    filter_usernames: Usernames = None,
    filter_usernames_file: UsernamesFile = None,
    merge_users: MergeUsers = False,
    overwrite_configs: OverwriteConfigs = False,
    policy: Policies = None,
    region: Region = "us",
    plan_file: PlanFile = None,
    findings_file: FindingsFile = None,
    wait_max: WaitMax = 3600,
    request_id: RequestId = None,
    decrypt_with: DecryptWith = None,
) -> None:
    """Plan the import of the configuration of a file. Needs the scope silo:operate."""
    options = import_pb.ImportOptions(
        policies=policies_of(policy),
        merge_users=merge_users,
        overwrite_configs=overwrite_configs,
        usernames=usernames_filter(filter_usernames, filter_usernames_file),
    )
    asked = _Asked(context, source, _Scope.SCOPE_CONFIG, options, region, decrypt_with)
    asked.plan(plan_file, findings_file, wait_max, request_id)


@app.command("global")
def plan_global(
    context: typer.Context,
    source: Source,
    add_to_silo: AddToSilo = False,
    hide_organizations: HideOrganizations = False,
    policy: Policies = None,
    region: Region = "us",
    plan_file: PlanFile = None,
    findings_file: FindingsFile = None,
    wait_max: WaitMax = 3600,
    request_id: RequestId = None,
    decrypt_with: DecryptWith = None,
) -> None:
    """Plan the import of everything of a file. Needs the scope silo:operate."""
    options = import_pb.ImportOptions(
        policies=policies_of(policy), add_to_silo=add_to_silo, hide_organizations=hide_organizations
    )
    asked = _Asked(context, source, _Scope.SCOPE_GLOBAL, options, region, decrypt_with)
    asked.plan(plan_file, findings_file, wait_max, request_id)


def apply_plan(
    context: typer.Context,
    plan_file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, metavar="PLANFILE", help="What `siloway plan` wrote.")
    ],
    no_wait: NoWait = False,
    wait_max: WaitMax = 3600,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Do what a plan says. In the file a decision may be changed: "skip" leaves the row out, with what refers to it;
    "merge", "overwrite" and "suffix" say what becomes of it where its unique values are taken, if its model knows them.

    Tells what is true no more, and exits with 1, when something else would be done with a row than the plan says.
    """
    plan = read_plan(plan_file)
    with session(context).targets().region(plan.region) as client:
        found = client.imports.ApplyImport(application(plan, request_id_of(request_id)))
        output.complain(f"{found.name} is queued")
        if not no_wait:
            found = follow(client, found, wait_max)
        if found.state == _State.STATE_FAILED and not json_output:
            for each in findings_of(client, found.name, "DRIFTED", 100):
                output.say(f"{each.model} {each.ordinal} (pk {each.pk}): {each.reason}")
    tell_end(found, json_output)


class _Asked:
    """A plan that was asked for: of what, with which choices, where."""

    def __init__(
        self,
        context: typer.Context,
        source: Path,
        scope: import_pb.DataImport.Scope.ValueType,
        options: import_pb.ImportOptions,
        region: str,
        key: Path | None,
    ) -> None:
        self._context, self._source, self._scope = context, source, scope
        self._options, self._region, self._key = options, region, key

    def plan(
        self, plan_file: Path | None, findings_file: Path | None, wait_max_s: float, request_id: str | None
    ) -> None:
        """Upload, wait, write what was found out. Raises ImportFailed when there is no plan, or errors in it."""
        target = plan_file or self._source.with_name(f"{self._source.name}.plan")
        with (
            decrypted(self._source, self._key) as plain,
            session(self._context).targets().region(self._region) as client,
            refusals_written(findings_file),
        ):
            found = upload_and_wait(
                client,
                plain,
                self._scope,
                request_id=request_id_of(request_id),
                wait_max_s=wait_max_s,
                options=self._options,
                is_plan=True,
            )
            if findings_file is not None:
                write_import(findings_file, client, found)
            show(found)
            check_end(found)
            if found.state != _State.STATE_PLANNED:
                raise ImportFailed(f"{found.name} was not planned")
            rows = write_plan(target, found, self._region, decisions_of(client, found.name))
        output.say(f"{target}: {rows} rows; until {output.when(found.expire_time)}: siloway apply {target}")
        if found.error_count:
            raise ImportFailed(f"{found.error_count} findings of {found.name} are errors: their rows would be left out")
