"""Pages of changed files are right however commits share their paths: they end before all changes are looked at."""

import random
from collections import defaultdict

import pytest
from siloway.region.v1 import release_service_pb2 as release_pb

from tests.region_client import Client

pytestmark = pytest.mark.integration

Change = release_pb.FileChange
LETTER = {Change.TYPE_ADDED: "A", Change.TYPE_DELETED: "D", Change.TYPE_MODIFIED: "M"}


def listed(client: Client, size: int) -> list[tuple[str, str, list[str], int]]:
    found, token = [], ""
    while True:
        page = client.release.ListReleaseFiles(
            release_pb.ListReleaseFilesRequest(
                parent="organizations/acme/releases/1.0", page_size=size, page_token=token
            )
        )
        found += [(file.repository, file.path, list(file.types), file.commit_count) for file in page.files]
        token = page.next_page_token
        assert not token or len(page.files) == size
        if not token:
            return found


@pytest.mark.parametrize("shape", ["few commits of many files", "many commits of few files", "one path in all"])
def test_pages_of_changed_files_are_the_whole_list_cut(client: Client, shape: str) -> None:
    dice = random.Random(shape)
    commits, files, paths = {"few": (3, 40, 60), "many": (60, 3, 60), "one": (30, 1, 1)}[shape.split(maxsplit=1)[0]]
    specs: list[release_pb.CommitSpec] = []
    types: dict[tuple[str, str], list[str]] = defaultdict(list)
    for number in range(commits + 1):
        repository = dice.choice(["a", "b", "B"])
        # One commit has many more files than the others.
        names = dice.sample(range(100), 50) if number == commits else dice.sample(range(paths), min(files, paths))
        spec = release_pb.CommitSpec(id=f"c{number}", repository=repository)
        for name in names:
            change = Change(path=f"{dice.choice('Zé')}/{name}", type=dice.choice(list(LETTER)))
            spec.patch_set.append(change)
            types[repository, change.path].append(LETTER[change.type])
        specs.append(spec)
    client.create("1.0")
    client.set_commits("1.0", specs)
    expected = [(*place, sorted(set(types[place])), len(types[place])) for place in sorted(types)]
    for size in (1, 2, 7, 50, 1000):
        assert listed(client, size) == expected
