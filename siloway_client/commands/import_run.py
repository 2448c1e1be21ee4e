"""`siloway import`: send an export file, wait until it is written, say how it ended and, in a file, what was found."""

from dataclasses import dataclass
from pathlib import Path

import typer
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client.commands.import_choices import (
    AddToSilo,
    ContinueOnError,
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
from siloway_client.commands.imports import DecryptWith, NoWait, Source, WaitMax, tell_end, upload_and_wait
from siloway_client.decryption import decrypted
from siloway_client.findings_file import FindingsFile, refusals_written, write_import
from siloway_client.options import Json, NoPrompt, Region, RequestId, Silent, request_id_of, session, set_voice

app = typer.Typer(no_args_is_help=True, help="Import an export file.")
Scope = import_pb.DataImport.Scope


@dataclass(frozen=True)
class _How:
    """What all ways to import share."""

    context: typer.Context
    source: Path
    region: str
    no_wait: bool
    wait_max_s: float
    request_id: str | None
    json_output: bool
    decrypt_with: Path | None
    findings_file: Path | None


@app.command("organizations")
def import_organizations(
    context: typer.Context,
    source: Source,
    filter_org_slugs: OrganizationSlugs = None,
    merge_users: MergeUsers = False,
    hide_organizations: HideOrganizations = False,
    policy: Policies = None,
    region: Region = "us",
    no_wait: NoWait = False,
    wait_max: WaitMax = 3600,
    continue_on_error: ContinueOnError = False,
    request_id: RequestId = None,
    json_output: Json = False,
    decrypt_with: DecryptWith = None,
    findings_file: FindingsFile = None,
    no_prompt: NoPrompt = False,
    silent: Silent = False,
) -> None:
    """Import the organizations of a file, with their users. Needs the scope import:write."""
    options = import_pb.ImportOptions(
        policies=policies_of(policy),
        continue_on_error=continue_on_error,
        merge_users=merge_users,
        hide_organizations=hide_organizations,
        organization_slugs=filter_of(filter_org_slugs),
    )
    set_voice(context, no_prompt=no_prompt, silent=silent)
    how = _How(context, source, region, no_wait, wait_max, request_id, json_output, decrypt_with, findings_file)
    _import(Scope.SCOPE_ORGANIZATION, options, how)


@app.command("users")
def import_users(
    context: typer.Context,
    source: Source,
    filter_usernames: Usernames = None,
    filter_usernames_file: UsernamesFile = None,
    merge_users: MergeUsers = False,
    policy: Policies = None,
    region: Region = "us",
    no_wait: NoWait = False,
    wait_max: WaitMax = 3600,
    continue_on_error: ContinueOnError = False,
    request_id: RequestId = None,
    json_output: Json = False,
    decrypt_with: DecryptWith = None,
    findings_file: FindingsFile = None,
    no_prompt: NoPrompt = False,
    silent: Silent = False,
) -> None:
    """Import the users of a file. Needs the scope silo:operate."""
    options = import_pb.ImportOptions(
        policies=policies_of(policy),
        continue_on_error=continue_on_error,
        merge_users=merge_users,
        usernames=usernames_filter(filter_usernames, filter_usernames_file),
    )
    set_voice(context, no_prompt=no_prompt, silent=silent)
    how = _How(context, source, region, no_wait, wait_max, request_id, json_output, decrypt_with, findings_file)
    _import(Scope.SCOPE_USER, options, how)


@app.command("config")
def import_config(
    context: typer.Context,
    source: Source,
    filter_usernames: Usernames = None,
    filter_usernames_file: UsernamesFile = None,
    merge_users: MergeUsers = False,
    overwrite_configs: OverwriteConfigs = False,
    policy: Policies = None,
    region: Region = "us",
    no_wait: NoWait = False,
    wait_max: WaitMax = 3600,
    continue_on_error: ContinueOnError = False,
    request_id: RequestId = None,
    json_output: Json = False,
    decrypt_with: DecryptWith = None,
    findings_file: FindingsFile = None,
    no_prompt: NoPrompt = False,
    silent: Silent = False,
) -> None:
    """Import the configuration of a file, with the users of the installation. Needs the scope silo:operate."""
    options = import_pb.ImportOptions(
        policies=policies_of(policy),
        continue_on_error=continue_on_error,
        merge_users=merge_users,
        overwrite_configs=overwrite_configs,
        usernames=usernames_filter(filter_usernames, filter_usernames_file),
    )
    set_voice(context, no_prompt=no_prompt, silent=silent)
    how = _How(context, source, region, no_wait, wait_max, request_id, json_output, decrypt_with, findings_file)
    _import(Scope.SCOPE_CONFIG, options, how)


@app.command("global")
def import_global(
    context: typer.Context,
    source: Source,
    add_to_silo: AddToSilo = False,
    hide_organizations: HideOrganizations = False,
    policy: Policies = None,
    region: Region = "us",
    no_wait: NoWait = False,
    wait_max: WaitMax = 3600,
    continue_on_error: ContinueOnError = False,
    request_id: RequestId = None,
    json_output: Json = False,
    decrypt_with: DecryptWith = None,
    findings_file: FindingsFile = None,
    no_prompt: NoPrompt = False,
    silent: Silent = False,
) -> None:
    """Import everything of a file. Nothing that is there is removed. Needs the scope silo:operate."""
    options = import_pb.ImportOptions(
        policies=policies_of(policy),
        continue_on_error=continue_on_error,
        add_to_silo=add_to_silo,
        hide_organizations=hide_organizations,
    )
    set_voice(context, no_prompt=no_prompt, silent=silent)
    how = _How(context, source, region, no_wait, wait_max, request_id, json_output, decrypt_with, findings_file)
    _import(Scope.SCOPE_GLOBAL, options, how)


def _import(scope: import_pb.DataImport.Scope.ValueType, options: import_pb.ImportOptions, how: _How) -> None:
    if how.no_wait and how.findings_file is not None:
        raise typer.BadParameter(
            "findings are known at the end only; leave out --no-wait", param_hint="--findings-file"
        )
    request_id = request_id_of(how.request_id)
    with (
        decrypted(how.source, how.decrypt_with) as plain,
        session(how.context).targets().region(how.region) as client,
        refusals_written(how.findings_file),
    ):
        found = upload_and_wait(
            client,
            plain,
            scope,
            request_id=request_id,
            wait_max_s=how.wait_max_s,
            options=options,
            wait=not how.no_wait,
        )
        if how.findings_file is not None:
            write_import(how.findings_file, client, found)
    tell_end(found, how.json_output)
