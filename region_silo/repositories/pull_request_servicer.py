"""The pull requests of RepositoryService on the wire: messages in and out, nothing decided here."""

from functools import partial

import grpc
from siloway.region.v1 import repository_service_pb2 as repository_pb
from siloway.region.v1 import repository_service_pb2_grpc as repository_rpc

from region_silo.repositories.pull_request_domain import PullRequest, PullRequestDraft
from region_silo.repositories.pull_requests import PullRequestUseCases
from shared import names
from shared.rpc.call import mutation
from shared.rpc.methods import Door, Method, Whose

_SERVICE = "/siloway.region.v1.RepositoryService"
_WRITE = ("project:write", "project:admin", "project:releases", "org:ci")

PULL_REQUEST_METHODS: tuple[Method, ...] = (
    Method(
        f"{_SERVICE}/SetPullRequest", Door.PUBLIC, _WRITE, mutating=True, whose=Whose.ORGANIZATION, names=("parent",)
    ),
    Method(
        f"{_SERVICE}/ListPullRequests",
        Door.PUBLIC,
        ("project:read", *_WRITE),
        whose=Whose.ORGANIZATION,
        names=("parent",),
    ),
)


class PullRequestServicer(repository_rpc.RepositoryServiceServicer):
    """Serves the pull requests of this region's repositories."""

    def __init__(self, pull_requests: PullRequestUseCases) -> None:
        self._pull_requests = pull_requests

    def SetPullRequest(
        self, request: repository_pb.SetPullRequestRequest, context: grpc.ServicerContext
    ) -> repository_pb.PullRequest:
        del context
        told = request.pull_request
        draft = PullRequestDraft(
            key=told.key,
            title=told.title,
            message=told.message,
            author_name=told.author_name,
            author_email=told.author_email,
            merge_commit_key=told.merge_commit_id,
            commit_keys=tuple(told.commit_ids),
        )
        parent = names.parse_repository(request.parent, "parent")
        return _message(self._pull_requests.set_pull_request(parent, draft, partial(mutation, request)))

    def ListPullRequests(
        self, request: repository_pb.ListPullRequestsRequest, context: grpc.ServicerContext
    ) -> repository_pb.ListPullRequestsResponse:
        del context
        parent = names.parse_repository(request.parent, "parent")
        page, token = self._pull_requests.list_pull_requests(parent, request.page_size, request.page_token)
        return repository_pb.ListPullRequestsResponse(
            pull_requests=[_message(row) for row in page], next_page_token=token
        )


def _message(row: PullRequest) -> repository_pb.PullRequest:
    message = repository_pb.PullRequest(
        name=names.pull_request_name(row.organization_id, row.repository_id, row.key),
        key=row.key,
        title=row.title,
        message=row.message,
        author_name=row.author_name,
        author_email=row.author_email,
        merge_commit_id=row.merge_commit_key,
        commit_ids=row.commit_keys,
    )
    message.create_time.FromDatetime(row.create_time)
    return message
