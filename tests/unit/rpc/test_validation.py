"""What every message is checked for, besides the rules in the contract."""

import pytest
from google.protobuf import struct_pb2
from siloway.internal.v1 import model_import_service_pb2 as model_import_pb
from siloway.region.v1 import import_service_pb2 as import_pb
from siloway.region.v1 import project_service_pb2 as project_pb
from siloway.region.v1 import release_service_pb2 as release_pb
from siloway.region.v1 import repository_service_pb2 as repository_pb

from shared.errors import InvalidArgument
from shared.rpc import validation

REQUEST_ID = "6f1b0f0e-93c5-4d5c-8d2e-0a4f6f2f7a11"


def fields_of(message: object) -> list[str]:
    with pytest.raises(InvalidArgument) as caught:
        validation.check(message)
    return [violation.field for violation in caught.value.violations]


def test_nul_in_any_text_is_refused_with_its_path() -> None:
    message = release_pb.UpdateReleaseRequest(
        release=release_pb.Release(name="organizations/1/releases/1.0", ref="a\0b"),
        commits=release_pb.CommitSet(
            commits=[release_pb.CommitSpec(id="a"), release_pb.CommitSpec(id="b", message="\0")]
        ),
        request_id=REQUEST_ID,
    )
    assert fields_of(message) == ["release.ref", "commits.commits[1].message"]


def test_nul_in_a_list_of_texts_is_refused_with_its_index() -> None:
    message = release_pb.CreateReleaseRequest(
        parent="organizations/1",
        release=release_pb.Release(version="1"),
        projects=["fine", "no\0t"],
        request_id=REQUEST_ID,
    )
    assert fields_of(message) == ["projects[1]"]


def test_nul_in_a_map_is_refused_with_the_key_that_has_it() -> None:
    message = repository_pb.CreateRepositoryRequest(
        parent="organizations/1",
        repository=repository_pb.Repository(
            display_name="shop", provider_settings={"path": "a\0", "b\0": "fine", "url": "fine"}
        ),
        request_id=REQUEST_ID,
    )
    assert sorted(fields_of(message)) == [
        'repository.provider_settings["b\\0"]',
        'repository.provider_settings["path"]',
    ]


def test_nul_in_a_message_of_a_map_is_refused_with_its_path() -> None:
    message = struct_pb2.Struct(fields={"a": struct_pb2.Value(string_value="\0")})
    assert fields_of(message) == ['fields["a"].string_value']


def test_zero_bytes_elsewhere_are_fine() -> None:
    validation.check(import_pb.UploadImportRequest(chunk=b"\0\0"))
    list_projects = project_pb.ListProjectsRequest(parent="organizations/1", page_size=2**21)
    assert b"\0" not in list_projects.parent.encode()
    validation.check(list_projects)


@pytest.mark.parametrize("known", [1, 1000])
def test_nul_in_a_text_beside_bytes_is_refused_however_many_there_are(known: int) -> None:
    batch = model_import_pb.ImportBatchRequest(
        import_id=1,
        principal="users/1",
        scope=model_import_pb.ImportBatchRequest.SCOPE_USER,
        model="sentry.user",
        ordinals=[1],
        objects=[b"\0"],
        known=[model_import_pb.ImportBatchRequest.KnownRow(model="sentry.team", old_pk=1, new_pk=2)] * known,
    )
    validation.check(batch)
    batch.known[-1].model = "sentry\0team"
    assert fields_of(batch) == [f"known[{known - 1}].model"]


def test_ids_have_at_most_sixteen_digits() -> None:
    assert fields_of(import_pb.GetImportRequest(name="imports/9999999999999999999")) == ["name"]


def test_garbled_bytes_are_refused_as_an_argument() -> None:
    parse = validation.readable(release_pb.GetReleaseRequest.FromString)
    assert parse is not None
    assert parse(b"") == release_pb.GetReleaseRequest()
    with pytest.raises(InvalidArgument, match="not a message"):
        validation.check(parse(b"\xff\xff\xff"))
