"""DeployService on the wire: messages in and out, nothing decided here."""

from functools import partial

import grpc
from siloway.region.v1 import deploy_service_pb2 as deploy_pb
from siloway.region.v1 import deploy_service_pb2_grpc as deploy_rpc

from region_silo.deploys import messages
from region_silo.deploys.usecases import DeployDraft, DeployQuery, DeployUpdate, DeployUseCases
from shared import names
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose

_SERVICE = "/siloway.region.v1.DeployService"
_WRITE = ("project:write", "project:admin", "project:releases", "org:ci")
_READ = ("project:read", *_WRITE)

METHODS: tuple[Method, ...] = (
    Method(f"{_SERVICE}/CreateDeploy", Door.PUBLIC, _WRITE, mutating=True, whose=Whose.ORGANIZATION, names=("parent",)),
    Method(f"{_SERVICE}/GetDeploy", Door.PUBLIC, _READ, whose=Whose.ORGANIZATION, names=("name",)),
    Method(f"{_SERVICE}/ListDeploys", Door.PUBLIC, _READ, whose=Whose.ORGANIZATION, names=("parent",)),
    Method(
        f"{_SERVICE}/UpdateDeploy", Door.PUBLIC, _WRITE, mutating=True, whose=Whose.ORGANIZATION, names=("deploy.name",)
    ),
    Method(f"{_SERVICE}/ListEnvironments", Door.PUBLIC, _READ, whose=Whose.ORGANIZATION, names=("parent",)),
)


class DeployServicer(deploy_rpc.DeployServiceServicer):
    """Serves the deploys of this region's organizations."""

    def __init__(self, usecases: DeployUseCases) -> None:
        self._usecases = usecases

    def CreateDeploy(self, request: deploy_pb.CreateDeployRequest, context: grpc.ServicerContext) -> deploy_pb.Deploy:
        del context
        draft = DeployDraft(
            environment=request.deploy.environment,
            fields=messages.fields_of(request.deploy),
            projects=tuple(request.projects),
            running=request.running,
        )
        parent = names.parse_release(request.parent, "parent")
        return messages.deploy_message(self._usecases.create_deploy(parent, draft, partial(mutation, request)))

    def GetDeploy(self, request: deploy_pb.GetDeployRequest, context: grpc.ServicerContext) -> deploy_pb.Deploy:
        del context
        return messages.deploy_message(self._usecases.get_deploy(names.parse_deploy(request.name, "name")))

    def ListDeploys(
        self, request: deploy_pb.ListDeploysRequest, context: grpc.ServicerContext
    ) -> deploy_pb.ListDeploysResponse:
        del context
        page, next_page_token = self._usecases.list_deploys(
            names.parse_release(request.parent, "parent"),
            DeployQuery(request.environment, request.latest_only),
            request.page_size,
            request.page_token,
        )
        return deploy_pb.ListDeploysResponse(
            deploys=[messages.deploy_message(deploy) for deploy in page], next_page_token=next_page_token
        )

    def UpdateDeploy(self, request: deploy_pb.UpdateDeployRequest, context: grpc.ServicerContext) -> deploy_pb.Deploy:
        del context
        update = DeployUpdate(
            fields=messages.fields_of(request.deploy),
            mask=tuple(request.update_mask.paths) if request.HasField("update_mask") else None,
            etag=request.deploy.etag,
        )
        name = names.parse_deploy(request.deploy.name, "deploy.name")
        return messages.deploy_message(self._usecases.update_deploy(name, update, partial(mutation, request)))

    def ListEnvironments(
        self, request: deploy_pb.ListEnvironmentsRequest, context: grpc.ServicerContext
    ) -> deploy_pb.ListEnvironmentsResponse:
        del context
        page, next_page_token = self._usecases.list_environments(
            names.parse_organization(request.parent, "parent"), request.project, request.page_size, request.page_token
        )
        return deploy_pb.ListEnvironmentsResponse(
            environments=[messages.environment_message(each) for each in page], next_page_token=next_page_token
        )
