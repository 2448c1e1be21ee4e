"""ProjectService on the wire: messages in and out, nothing decided here."""

from functools import partial

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import project_service_pb2_grpc as project_rpc

from region_silo.projects.domain import Project, ProjectDraft
from region_silo.projects.usecases import ProjectUseCases
from shared import names
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose

_SERVICE = "/siloway.region.v1.ProjectService"

METHODS: tuple[Method, ...] = (
    Method(
        f"{_SERVICE}/CreateProject",
        Door.PUBLIC,
        ("project:write", "project:admin"),
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("parent",),
    ),
    Method(f"{_SERVICE}/GetProject", Door.PUBLIC, ("project:read",), whose=Whose.ORGANIZATION, names=("name",)),
    Method(f"{_SERVICE}/ListProjects", Door.PUBLIC, ("project:read",), whose=Whose.ORGANIZATION, names=("parent",)),
)


class ProjectServicer(project_rpc.ProjectServiceServicer):
    """Serves the projects of this region's organizations."""

    def __init__(self, usecases: ProjectUseCases) -> None:
        self._usecases = usecases

    def CreateProject(
        self, request: project_pb.CreateProjectRequest, context: grpc.ServicerContext
    ) -> project_pb.Project:
        del context
        asked = request.project
        draft = ProjectDraft(name=asked.display_name, slug=asked.slug, platform=asked.platform)
        parent = names.parse_organization(request.parent, "parent")
        return _message(self._usecases.create_project(parent, draft, partial(mutation, request)))

    def GetProject(self, request: project_pb.GetProjectRequest, context: grpc.ServicerContext) -> project_pb.Project:
        del context
        return _message(self._usecases.get_project(names.parse_project(request.name, "name")))

    def ListProjects(
        self, request: project_pb.ListProjectsRequest, context: grpc.ServicerContext
    ) -> project_pb.ListProjectsResponse:
        del context
        parent = names.parse_organization(request.parent, "parent")
        page, next_page_token = self._usecases.list_projects(parent, request.page_size, request.page_token)
        return project_pb.ListProjectsResponse(
            projects=[_message(row) for row in page], next_page_token=next_page_token
        )


def _message(row: Project) -> project_pb.Project:
    create_time = Timestamp()
    create_time.FromDatetime(row.date_added)
    return project_pb.Project(
        name=names.project_name(row.organization_id, row.id),
        uid=str(row.id),
        slug=row.slug,
        display_name=row.name,
        platform=row.platform,
        create_time=create_time,
    )
