"""`siloway orgs` and `siloway slugs`: organizations across silos, and who holds which slug."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from google.protobuf.duration_pb2 import Duration
from siloway.control.v1 import organization_service_pb2 as organization_pb
from siloway.control.v1 import slug_reservation_service_pb2 as slug_pb

from siloway_client import output
from siloway_client.options import Json, Organization, RequestId, request_id_of, session

app = typer.Typer(no_args_is_help=True, help="Organizations: make, rename, swap slugs, find, delete.")
slugs_app = typer.Typer(no_args_is_help=True, help="Organization slugs: check, find, release redirects.")

Change = organization_pb.OrganizationChange
Slug = Annotated[str, typer.Argument(help="The slug; case does not matter.", metavar="SLUG")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")]

_SECONDS_A_DAY = 24 * 3600


class ChangeFailed(Exception):
    """A change was given up; the text says why."""


@app.command()
def provision(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The name that people read.")],
    region: Annotated[str, typer.Option("--region", "-r", envvar="SILOWAY_REGION", help="Who owns its data.")] = "us",
    slug: Annotated[str, typer.Option(help="The slug that it would like; made from the name by default.")] = "",
    owner: Annotated[str, typer.Option(help="A user's id, or the address of somebody to invite.")] = "",
    no_team: Annotated[bool, typer.Option("--no-team", help="Without a first team.")] = False,
    test: Annotated[bool, typer.Option("--test", help="It is there for tests.")] = False,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Make an organization in a region. One for one request id, however often it is sent."""
    if not owner:
        raise typer.BadParameter("say who owns it: a user's id or an address", param_hint="--owner")
    request = organization_pb.ProvisionOrganizationRequest(
        region=region,
        slug=slug,
        display_name=name,
        create_default_team=not no_team,
        is_test=test,
        request_id=request_id_of(request_id),
    )
    if "@" in owner:
        request.owner_email = owner
    else:
        request.owner_user = owner if owner.startswith("users/") else f"users/{owner}"
    with session(context).targets().control() as client:
        answer = client.organizations.ProvisionOrganization(request)
    show_change(answer, json_output)


@app.command()
def rename(
    context: typer.Context,
    organization: Organization,
    slug: Annotated[str, typer.Argument(help="The slug that it is to have.")],
    suffix: Annotated[bool, typer.Option("--suffix", help="With a suffix when the slug is taken.")] = False,
    redirect_days: Annotated[
        float, typer.Option(min=0, max=3650, help="Days that the former slug goes on resolving; 0 for not at all.")
    ] = 30,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Give an organization another slug."""
    request = organization_pb.RenameOrganizationRequest(
        name=f"organizations/{organization}",
        slug=slug,
        exact=not suffix,
        redirect_ttl=Duration(seconds=int(redirect_days * _SECONDS_A_DAY)),
        request_id=request_id_of(request_id),
    )
    with session(context).targets().control() as client:
        answer = client.organizations.RenameOrganization(request)
    show_change(answer, json_output)


@app.command()
def swap(
    context: typer.Context,
    pairs: Annotated[
        list[str], typer.Argument(help="Who gets which slug: ORGANIZATION=SLUG, two or more.", metavar="PAIR...")
    ],
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Let organizations exchange the slugs that they have: acme=beta beta=acme."""
    request = organization_pb.SwapSlugsRequest(request_id=request_id_of(request_id))
    for pair in pairs:
        organization, separator, slug = pair.partition("=")
        if not separator:
            raise typer.BadParameter(f"expected ORGANIZATION=SLUG, not {pair!r}")
        request.pairs.add(organization=f"organizations/{organization}", slug=slug)
    with session(context).targets().control() as client:
        answer = client.organizations.SwapSlugs(request)
    show_change(answer, json_output)


@app.command()
def change(
    context: typer.Context,
    request_id: Annotated[str, typer.Argument(metavar="UUID", help="The request id of a provision, rename or swap.")],
    json_output: Json = False,
) -> None:
    """Show how far a change has come."""
    request = organization_pb.GetOrganizationChangeRequest(name=f"organizationChanges/{request_id}")
    with session(context).targets().control() as client:
        answer = client.organizations.GetOrganizationChange(request)
    show_change(answer, json_output)


@app.command()
def get(context: typer.Context, organization: Organization, json_output: Json = False) -> None:
    """Show where an organization lives; a former slug finds it too while its redirect lasts."""
    request = organization_pb.GetOrganizationRequest(name=f"organizations/{organization}")
    with session(context).targets().control() as client:
        found = client.organizations.GetOrganization(request)
    if json_output:
        output.as_json(found)
    else:
        output.say(f"{found.name}  {found.slug or '(no slug yet)'}  {found.display_name}")
        output.say(f"region {found.region} at {found.region_address}, since {output.when(found.create_time)}")
        if found.purge_time.seconds:
            output.say(f"to be deleted for good on {output.when(found.purge_time)}")


@app.command("list")
def list_organizations(
    context: typer.Context,
    region: Annotated[str, typer.Option("--region", "-r", help="Only those of this region.")] = "",
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that are to be deleted too.")] = False,
    limit: Limit = 50,
    json_output: Json = False,
) -> None:
    """List organizations by id."""
    request = organization_pb.ListOrganizationsRequest(page_size=limit, region=region, show_deleted=deleted)
    with session(context).targets().control() as client:
        found = client.organizations.ListOrganizations(request).organizations
    if json_output:
        output.as_json(found)
    else:
        rows = [
            (each.uid, each.slug or "-", each.region, output.when(each.purge_time), each.display_name) for each in found
        ]
        output.table(("id", "slug", "region", "purge", "name"), rows)


@app.command()
def delete(
    context: typer.Context,
    organization: Organization,
    grace_days: Annotated[
        float | None,
        typer.Option(min=0, max=3650, help="Days in which it can be undeleted; the silo's setting by default."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    request_id: RequestId = None,
    json_output: Json = False,
) -> None:
    """Delete an organization: read only until its purge time, gone with all its data from then on."""
    request = organization_pb.DeleteOrganizationRequest(
        name=f"organizations/{organization}", request_id=request_id_of(request_id)
    )
    if grace_days is not None:
        request.grace.CopyFrom(Duration(seconds=int(grace_days * _SECONDS_A_DAY)))
    with session(context).targets().control() as client:
        if not yes:
            request.validate_only = True
            _confirm_deletion(client.organizations.DeleteOrganization(request))
            request.validate_only = False
        deleted = client.organizations.DeleteOrganization(request)
    if json_output:
        output.as_json(deleted)
    else:
        output.say(f"{deleted.name} is read only; it is deleted for good on {output.when(deleted.purge_time)}")
        if deleted.purge_time.ToDatetime(UTC) > datetime.now(UTC):
            output.say(f"until then: siloway orgs undelete {deleted.uid}")


@app.command()
def undelete(
    context: typer.Context, organization: Organization, request_id: RequestId = None, json_output: Json = False
) -> None:
    """Keep an organization after all, before its purge time."""
    request = organization_pb.UndeleteOrganizationRequest(
        name=f"organizations/{organization}", request_id=request_id_of(request_id)
    )
    with session(context).targets().control() as client:
        kept = client.organizations.UndeleteOrganization(request)
    if json_output:
        output.as_json(kept)
    else:
        output.say(f"{kept.name} is kept")


@slugs_app.command()
def check(
    context: typer.Context,
    slug: Annotated[str, typer.Argument(help="The slug.")],
    json_output: Json = False,
) -> None:
    """Tell whether a slug can be had, and what could be had instead."""
    with session(context).targets().control() as client:
        answer = client.slugs.CheckSlug(slug_pb.CheckSlugRequest(slug=slug))
    if json_output:
        output.as_json(answer)
        return
    availability = slug_pb.CheckSlugResponse.Availability.Name(answer.availability)
    text = availability.removeprefix("AVAILABILITY_").lower().replace("_", " ")
    output.say(f"{answer.slug}: {text}" + (f" ({answer.reason})" if answer.reason else ""))
    if answer.suggestions:
        output.say(f"free: {', '.join(answer.suggestions)}")


@slugs_app.command("get")
def get_slug(context: typer.Context, slug: Slug, json_output: Json = False) -> None:
    """Show who holds a slug."""
    with session(context).targets().control() as client:
        found = client.slugs.GetSlugReservation(slug_pb.GetSlugReservationRequest(name=f"slugReservations/{slug}"))
    if json_output:
        output.as_json(found)
    else:
        output.table(_COLUMNS, [_row(found)])


@slugs_app.command("list")
def list_slugs(
    context: typer.Context,
    organization: Annotated[str, typer.Option(help="Only those of the organization with this id.")] = "",
    limit: Limit = 50,
    json_output: Json = False,
) -> None:
    """List reservations by slug."""
    request = slug_pb.ListSlugReservationsRequest(
        page_size=limit, organization=f"organizations/{organization}" if organization else ""
    )
    with session(context).targets().control() as client:
        found = client.slugs.ListSlugReservations(request).slug_reservations
    if json_output:
        output.as_json(found)
    else:
        output.table(_COLUMNS, map(_row, found))


@slugs_app.command()
def release(context: typer.Context, slug: Slug, request_id: RequestId = None) -> None:
    """End a redirect before its time; its slug is free then."""
    request = slug_pb.ReleaseRedirectRequest(name=f"slugReservations/{slug}", request_id=request_id_of(request_id))
    with session(context).targets().control() as client:
        client.slugs.ReleaseRedirect(request)
    output.say(f"{slug.lower()} is free")


def _confirm_deletion(would_be: organization_pb.Organization) -> None:
    """Ask on stderr, so that --json has stdout for itself. Raises typer.Abort."""
    typer.confirm(
        f"{would_be.name} ({would_be.slug or 'no slug'}, {would_be.display_name!r}) in region {would_be.region} is read"
        f" only from now on.\nOn {output.when(would_be.purge_time)} it is deleted for good, with all its data and its"
        " tokens; until then it can be undeleted.\nDelete it?",
        abort=True,
        err=True,
    )


def show_change(answer: organization_pb.OrganizationChange, json_output: bool) -> None:
    """Print a change. Raises ChangeFailed for one that was given up."""
    if json_output:
        output.as_json(answer)
    elif answer.state == Change.STATE_RUNNING:
        output.say(f"running: siloway orgs change {answer.name.removeprefix('organizationChanges/')} tells its end")
    elif answer.state == Change.STATE_SUCCEEDED:
        output.say(" ".join(filter(None, ("done", answer.organization, answer.slug))))
    if answer.state == Change.STATE_FAILED:
        raise ChangeFailed(f"it was given up: {answer.error.message}")


_COLUMNS = ("slug", "role", "state", "organization", "region", "ends", "used")


def _row(found: slug_pb.SlugReservation) -> tuple[object, ...]:
    return (
        found.slug,
        slug_pb.SlugReservation.Type.Name(found.type).removeprefix("TYPE_"),
        slug_pb.SlugReservation.State.Name(found.state).removeprefix("STATE_"),
        found.organization.removeprefix("organizations/") or "-",
        found.region,
        output.when(found.expire_time),
        found.use_count,
    )
