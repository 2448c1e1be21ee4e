"""`siloway demo`: the main job through the public doors, every step told in plain words and checked.

It makes a new slug at each run, so it can be run again and again on one stack.
"""

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.control.v1 import organization_service_pb2 as mapping_pb
from siloway.control.v1 import slug_reservation_service_pb2 as slug_pb
from siloway.region.v1 import import_service_pb2 as import_pb
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import region_organization_service_pb2 as organization_pb
from siloway.region.v1 import release_service_pb2 as release_pb
from siloway.region.v1 import snowflake_service_pb2 as snowflake_pb

from siloway_client import output
from siloway_client.client import ControlClient, RegionClient, new_request_id
from siloway_client.commands.imports import upload_and_wait
from siloway_client.export_file import write_export
from siloway_client.options import session

IMPORT_WAIT_S = 120.0
SETTLE_S = 15.0
T = TypeVar("T")


class DemoFailed(Exception):
    """A step did not end as it should; the text says which and how."""


def demo(
    context: typer.Context,
    first_region: Annotated[str, typer.Option(help="The region of the first import.")] = "de",
    second_region: Annotated[str, typer.Option(help="The region of the second import.")] = "us",
    objects: Annotated[int, typer.Option(min=50, max=1_000_000, help="Objects in the first file.")] = 10_000,
) -> None:
    """Run the main job against a running stack, step by step; 0 only if every step was checked."""
    targets = session(context).targets()
    slug = "demo-" + _letters(time.time_ns() // 1_000_000)
    with (
        targets.control() as control,
        targets.region(first_region) as first,
        targets.region(second_region) as second,
        tempfile.TemporaryDirectory() as folder,
    ):
        one = _import(first, first_region, Path(folder) / "first.json", slug, objects, seed=1)
        two = _import(second, second_region, Path(folder) / "second.json", slug, max(50, objects // 20), seed=2)
        _compare_slugs(control, slug, one, two)
        project = _make_project(second, two)
        _record_release(second, two.organization, project)
        _show_both_rows(control, {first_region: (first, one), second_region: (second, two)})
    output.say("All steps were checked.")


def _import(
    client: RegionClient, region: str, path: Path, slug: str, objects: int, *, seed: int
) -> import_pb.DataImport.ImportedOrganization:
    with path.open("wb") as file:
        write_export(file, objects=objects, seed=seed, organization_slug=slug)
    output.say(
        f"{seed}. Import an export file of {objects} objects with the organization {slug!r} into region {region}"
    )
    began = time.monotonic()
    scope = import_pb.DataImport.SCOPE_ORGANIZATION
    found = upload_and_wait(client, path, scope, request_id=new_request_id(), wait_max_s=IMPORT_WAIT_S)
    took = time.monotonic() - began
    _check(found.state == import_pb.DataImport.STATE_SUCCEEDED, f"{found.name} failed: {found.error.message}")
    _check(found.object_count == objects, f"{found.name} has {found.object_count} objects, not {objects}")
    _check(found.done_count == objects, f"{found.name} is done with {found.done_count} of {objects} objects")
    _check(len(found.organizations) == 1, f"{found.name} made {len(found.organizations)} organizations, not 1")
    written = sum(model.inserted + model.merged + model.suffixed for model in found.models)
    output.say(f"   {found.name}: {written} rows written or found, {found.finding_count} findings, {took:.1f} s in all")
    return found.organizations[0]


def _compare_slugs(
    control: ControlClient,
    slug: str,
    one: import_pb.DataImport.ImportedOrganization,
    two: import_pb.DataImport.ImportedOrganization,
) -> None:
    output.say("3. Both wanted the same slug: control reserved one for each and called the regions back to apply them")
    for organization in (one, two):
        name = f"slugReservations/{organization.slug}"
        request = slug_pb.GetSlugReservationRequest(name=name)
        held = _eventually(
            lambda request=request: control.slugs.GetSlugReservation(request),  # type: ignore[misc]
            lambda found: found.type == slug_pb.SlugReservation.TYPE_PRIMARY,
            f"{name} did not become PRIMARY",
        )
        _check(held.organization == organization.organization, f"{name} belongs to {held.organization}")
        output.say(f"   {held.slug}: PRIMARY of {held.organization} in region {held.region}")
    _check(one.slug == slug, f"the first organization has {one.slug!r}, not {slug!r}")
    _check(two.slug.startswith(slug + "-"), f"the second organization has {two.slug!r}, which is no suffix of {slug!r}")


def _make_project(client: RegionClient, organization: import_pb.DataImport.ImportedOrganization) -> project_pb.Project:
    output.say("4. Make a project; its id is a snowflake")
    request = project_pb.CreateProjectRequest(
        parent=organization.organization,
        project=project_pb.Project(display_name="Checkout Page", platform="python"),
        request_id=new_request_id(),
    )
    made: project_pb.Project = client.projects.CreateProject(request)
    again: project_pb.Project = client.projects.CreateProject(request)
    _check(made == again, "the same request made another project")
    parts = client.snowflakes.DescribeId(snowflake_pb.DescribeIdRequest(id=made.uid))
    _check(parts.region_number > 0, f"the id {made.uid} carries no region")
    output.say(
        f"   {made.name} ({made.slug}): second {output.when(parts.create_time)}, region number {parts.region_number},"
        f" sequence {parts.sequence}, layout {parts.layout}"
    )
    return made


def _record_release(client: RegionClient, organization: str, project: project_pb.Project) -> None:
    output.say("5. Make a release, then record its commits of two repositories and its release date in one update")
    create = release_pb.CreateReleaseRequest(
        parent=organization,
        release=release_pb.Release(version="shop@1.2.0", ref="main"),
        projects=[project.slug],
        request_id=new_request_id(),
    )
    made = client.releases.CreateRelease(create)
    _check(not made.already_existed and made.release.projects == [project.name], "the release was not made anew")
    released = Timestamp()
    released.FromDatetime(datetime.now(UTC))
    update = release_pb.UpdateReleaseRequest(
        release=release_pb.Release(name=made.release.name, release_time=released, url="https://shop.example.com/1.2.0"),
        update_mask=FieldMask(paths=["release_time", "url"]),
        commits=release_pb.CommitSet(commits=[_commit(number, released) for number in range(6)]),
        request_id=new_request_id(),
    )
    client.releases.UpdateRelease(update)
    found = client.releases.GetRelease(release_pb.GetReleaseRequest(name=made.release.name))
    commits = client.releases.ListReleaseCommits(release_pb.ListReleaseCommitsRequest(parent=made.release.name)).commits
    _check(found.commit_count == 6 == len(commits), f"the release has {found.commit_count} commits, not 6")
    _check(
        {head.repository for head in found.heads} == {"shop/api", "shop/web"}, "the heads are not of two repositories"
    )
    _check(commits[0].id == found.last_commit.id == "c5" * 20, f"the newest commit is {found.last_commit.id}")
    _check(found.release_time == released and found.url == update.release.url, "release date and url were not kept")
    _check(found.authors == ["ada@example.com", "lin@example.com"], f"the authors are {found.authors}")
    output.say(f"   {found.name}: {found.commit_count} commits by {', '.join(found.authors)}")
    for head in found.heads:
        output.say(f"   newest in {head.repository}: {head.commit_id[:12]}")


def _commit(number: int, released: Timestamp) -> release_pb.CommitSpec:
    return release_pb.CommitSpec(
        id=f"c{number}" * 20,
        repository="shop/api" if number % 2 else "shop/web",
        message=f"Change number {number}",
        author_name="Ada" if number % 2 else "Lin",
        author_email="Ada@example.com" if number % 2 else "lin@example.com",
        commit_time=Timestamp(seconds=released.seconds - 3600 + number),
        patch_set=[release_pb.FileChange(path=f"src/{number}.py", type=release_pb.FileChange.TYPE_MODIFIED)],
    )


def _show_both_rows(
    control: ControlClient,
    rows: dict[str, tuple[RegionClient, import_pb.DataImport.ImportedOrganization]],
) -> None:
    output.say("6. The organizations' rows, from both silos")
    shown = []
    for region, (client, organization) in rows.items():
        own = client.organizations.GetOrganization(
            organization_pb.GetOrganizationRequest(name=organization.organization)
        )
        request = mapping_pb.GetOrganizationRequest(name=f"organizations/{organization.slug}")
        mapped = _eventually(
            lambda request=request: control.organizations.GetOrganization(request),  # type: ignore[misc]
            lambda found, own=own: found.display_name == own.display_name,  # type: ignore[misc]
            f"control does not know the name of {organization.organization}",
        )
        _check(own.state == organization_pb.Organization.STATE_ACTIVE, f"{own.name} is not active")
        _check((own.name, own.slug) == (mapped.name, mapped.slug), f"the silos differ about {own.name}")
        _check(mapped.region == region, f"control says that {own.name} lives in {mapped.region}, not {region}")
        shown.append((f"region {region}", own.name, own.slug, own.display_name))
        shown.append(("control", mapped.name, mapped.slug, mapped.display_name))
    output.table(("silo", "name", "slug", "display name"), shown)


def _eventually(ask: Callable[[], T], settled: Callable[[T], bool], complaint: str) -> T:
    """Ask until it is so: between the silos things arrive a little later."""
    ends_at = time.monotonic() + SETTLE_S
    while True:
        answer = ask()
        if settled(answer):
            return answer
        _check(time.monotonic() < ends_at, complaint)
        time.sleep(0.1)


def _check(holds: bool, complaint: str) -> None:
    if not holds:
        raise DemoFailed(complaint)


def _letters(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 26)
        digits = chr(ord("a") + digit) + digits
    return digits
