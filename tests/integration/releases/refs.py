"""Short ways to set refs, to make repositories and to run fetches, for the tests of them."""

import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

from siloway.region.v1 import release_commits_pb2 as commits_pb
from siloway.region.v1 import release_service_pb2 as release_pb
from siloway.region.v1 import repository_service_pb2 as repository_pb

from tests.region_client import Client, new_id
from tests.region_features import RegionFeatures

ACME = "organizations/acme"
Ref = commits_pb.Ref


def release_name(version: str, organization: str = "acme") -> str:
    return f"organizations/{organization}/releases/{version}"


def ref_set(*refs: commits_pb.Ref) -> commits_pb.RefSet:
    return commits_pb.RefSet(refs=refs)


def set_refs(
    client: Client, version: str, *refs: commits_pb.Ref, request_id: str = "", **options: Any
) -> release_pb.SetRefsResponse:
    answer: release_pb.SetRefsResponse = client.release.SetRefs(
        release_pb.SetRefsRequest(
            release=release_name(version),
            refs=commits_pb.RefSet(refs=refs),
            request_id=request_id or new_id(),
            **options,
        )
    )
    return answer


def update(client: Client, version: str, **parts: Any) -> release_pb.Release:
    answer: release_pb.Release = client.release.UpdateRelease(
        release_pb.UpdateReleaseRequest(
            release=release_pb.Release(name=release_name(version)), request_id=new_id(), **parts
        )
    )
    return answer


def add_repository(client: Client, name: str, **fields: Any) -> repository_pb.Repository:
    answer: repository_pb.Repository = client.repository.CreateRepository(
        repository_pb.CreateRepositoryRequest(
            parent=ACME, repository=repository_pb.Repository(display_name=name, **fields), request_id=new_id()
        )
    )
    return answer


def add_git_repository(client: Client, name: str, path: str = "") -> repository_pb.Repository:
    return add_repository(client, name, provider="local-git", provider_settings={"path": path or name})


def get_fetch(client: Client, name: str) -> commits_pb.CommitFetch:
    answer: commits_pb.CommitFetch = client.release.GetCommitFetch(release_pb.GetCommitFetchRequest(name=name))
    return answer


def fetches(client: Client, version: str) -> list[commits_pb.CommitFetch]:
    """All of the release, newest first."""
    answer = client.release.ListCommitFetches(release_pb.ListCommitFetchesRequest(parent=release_name(version)))
    return list(answer.commit_fetches)


def heads(release: release_pb.Release) -> dict[str, str]:
    return {head.repository: head.commit_id for head in release.heads}


def commit_ids(client: Client, version: str) -> list[str]:
    return [commit.id for commit in client.commits(version, page_size=1000).commits]


def counts(features: RegionFeatures) -> list[Any]:
    """How many rows the tables have that refs may write to."""
    tables = ("commit", "release_head_commit", "release_commit", "commit_fetch")
    return [features.value(f"SELECT count(*) FROM {table}") for table in tables]


class GitRepository:
    """A repository that a test makes with the git command; times of commits are given, in seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._clock = 1_780_000_000
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            ("git", "-c", "user.name=Ann", "-c", "user.email=Ann@Example.com", *arguments),
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, message: str, files: dict[str, str | None] | None = None, *, at: int | None = None) -> str:
        """Commit these files (None deletes one); the new commit's key."""
        for path, content in (files or {}).items():
            target = self.folder / path
            if content is None:
                target.unlink()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content)
        self._clock += 60
        when = f"{at or self._clock} +0000"
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message, GIT_AUTHOR_DATE=when, GIT_COMMITTER_DATE=when)
        return self.git("rev-parse", "HEAD")


def release_at(features: RegionFeatures, client: Client, version: str, hours: float, *refs: commits_pb.Ref) -> None:
    """A release with these heads that was made so many hours ago."""
    if client.list(query=version) == []:
        client.create(version)
    when = features.clock.now() - timedelta(hours=hours)
    features.rows("UPDATE release SET date_added = :at WHERE version = :version", at=when, version=version)
    if refs:
        set_refs(client, version, *refs, without_fetch=True)
