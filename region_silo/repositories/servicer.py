"""RepositoryService on the wire: messages in and out, nothing decided here."""

from functools import partial

import grpc
from siloway.region.v1 import repository_service_pb2 as repository_pb

from region_silo.repositories.domain import Repository, RepositoryCommit, RepositoryFields, RepositoryState
from region_silo.repositories.pull_request_servicer import PULL_REQUEST_METHODS, PullRequestServicer
from region_silo.repositories.pull_requests import PullRequestUseCases
from region_silo.repositories.usecases import RepositoryUseCases
from shared import names
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose

_SERVICE = "/siloway.region.v1.RepositoryService"
_WRITE = ("org:admin", "project:admin", "project:write")
_READ = ("project:read", *_WRITE, "project:releases", "org:ci")
_STATES = {
    RepositoryState.ACTIVE: repository_pb.Repository.STATE_ACTIVE,
    RepositoryState.HIDDEN: repository_pb.Repository.STATE_HIDDEN,
}
_STATES_READ: dict[int, RepositoryState] = {message: state for state, message in _STATES.items()}

METHODS: tuple[Method, ...] = (
    Method(
        f"{_SERVICE}/CreateRepository", Door.PUBLIC, _WRITE, mutating=True, whose=Whose.ORGANIZATION, names=("parent",)
    ),
    Method(f"{_SERVICE}/GetRepository", Door.PUBLIC, _READ, whose=Whose.ORGANIZATION, names=("name",)),
    Method(f"{_SERVICE}/ListRepositories", Door.PUBLIC, _READ, whose=Whose.ORGANIZATION, names=("parent",)),
    Method(
        f"{_SERVICE}/UpdateRepository",
        Door.PUBLIC,
        _WRITE,
        mutating=True,
        whose=Whose.ORGANIZATION,
        names=("repository.name",),
    ),
    Method(f"{_SERVICE}/ListRepositoryCommits", Door.PUBLIC, _READ, whose=Whose.ORGANIZATION, names=("parent",)),
    *PULL_REQUEST_METHODS,
)


class RepositoryServicer(PullRequestServicer):
    """Serves the repositories of this region's organizations."""

    def __init__(self, usecases: RepositoryUseCases, pull_requests: PullRequestUseCases) -> None:
        super().__init__(pull_requests)
        self._usecases = usecases

    def CreateRepository(
        self, request: repository_pb.CreateRepositoryRequest, context: grpc.ServicerContext
    ) -> repository_pb.Repository:
        del context
        parent = names.parse_organization(request.parent, "parent")
        fields = _fields(request.repository)
        return _message(self._usecases.create_repository(parent, fields, partial(mutation, request)))

    def GetRepository(
        self, request: repository_pb.GetRepositoryRequest, context: grpc.ServicerContext
    ) -> repository_pb.Repository:
        del context
        return _message(self._usecases.get_repository(names.parse_repository(request.name, "name")))

    def ListRepositories(
        self, request: repository_pb.ListRepositoriesRequest, context: grpc.ServicerContext
    ) -> repository_pb.ListRepositoriesResponse:
        del context
        page, next_page_token = self._usecases.list_repositories(
            names.parse_organization(request.parent, "parent"),
            _STATES_READ.get(request.state, RepositoryState.ACTIVE),
            request.query,
            request.page_size,
            request.page_token,
        )
        return repository_pb.ListRepositoriesResponse(
            repositories=[_message(repository) for repository in page], next_page_token=next_page_token
        )

    def UpdateRepository(
        self, request: repository_pb.UpdateRepositoryRequest, context: grpc.ServicerContext
    ) -> repository_pb.Repository:
        del context
        name = names.parse_repository(request.repository.name, "repository.name")
        mask = tuple(request.update_mask.paths) if request.HasField("update_mask") else None
        fields = _fields(request.repository)
        return _message(self._usecases.update_repository(name, fields, mask, partial(mutation, request)))

    def ListRepositoryCommits(
        self, request: repository_pb.ListRepositoryCommitsRequest, context: grpc.ServicerContext
    ) -> repository_pb.ListRepositoryCommitsResponse:
        del context
        page, next_page_token = self._usecases.list_commits(
            names.parse_repository(request.parent, "parent"), request.page_size, request.page_token
        )
        return repository_pb.ListRepositoryCommitsResponse(
            commits=[_commit_message(commit) for commit in page], next_page_token=next_page_token
        )


def _fields(message: repository_pb.Repository) -> RepositoryFields:
    return RepositoryFields(
        display_name=message.display_name,
        url=message.url,
        provider=message.provider,
        external_id=message.external_id,
        provider_settings=dict(message.provider_settings),
        state=_STATES_READ.get(message.state),
    )


def _message(repository: Repository) -> repository_pb.Repository:
    fields = repository.fields
    message = repository_pb.Repository(
        name=names.repository_name(repository.organization_id, repository.id),
        display_name=fields.display_name,
        url=fields.url,
        provider=fields.provider,
        external_id=fields.external_id,
        provider_settings=dict(fields.provider_settings),
        state=_STATES[fields.state or RepositoryState.ACTIVE],
    )
    message.create_time.FromDatetime(repository.create_time)
    return message


def _commit_message(commit: RepositoryCommit) -> repository_pb.RepositoryCommit:
    message = repository_pb.RepositoryCommit(
        id=commit.key,
        message=commit.message,
        author_name=commit.author_name,
        author_email=commit.author_email,
    )
    if commit.commit_time is not None:
        message.commit_time.FromDatetime(commit.commit_time)
    return message
