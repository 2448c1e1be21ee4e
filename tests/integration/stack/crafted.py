"""Requests made from nothing but a method's row and its message's descriptor."""

import uuid
from typing import Any

import grpc
from google.api import resource_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor
from google.protobuf.json_format import ParseDict

from shared.rpc.methods import Method
from siloway_client.refusal import refusal_of

Names = dict[str, str]
"""A name for each type of resource, "siloway/Organization" and the like."""


def request_of(row: Method, names: Names, values: dict[str, Any]) -> Any:
    """The request with `values` (JSON), a request id, and at each of the row's paths the name of what stands there."""
    described = _input(row)
    message: Any = message_factory.GetMessageClass(described)()
    ParseDict(values, message)
    if "request_id" in described.fields_by_name:
        message.request_id = str(uuid.uuid4())
    for path in row.names:
        *before, last = path.split(".")
        at = message
        for part in before:
            at = getattr(at, part)
        setattr(at, last, names[kind_of(described, path)])
    return message


def kind_of(described: Descriptor, path: str) -> str:
    """The type of resource whose name stands at a path; the parent's, an organization, for one of a child's type."""
    first, _, rest = path.partition(".")
    field = described.fields_by_name[first]
    if rest:
        assert field.message_type is not None, f"{path} leads nowhere"
        return kind_of(field.message_type, rest)
    reference = field.GetOptions().Extensions[resource_pb2.resource_reference]
    if first == "name" and not reference.type:
        return str(described.GetOptions().Extensions[resource_pb2.resource].type)
    return str(reference.type or "siloway/Organization")


def references(row: Method) -> set[str]:
    """The paths at which a method's request holds the name of an organization or of something in one."""
    return set(_references(_input(row)))


def answer(channel: grpc.Channel, row: Method, token: str, message: Any) -> tuple[str, bytes]:
    """The reason of the refusal, or "OK" and the answer's bytes."""
    call: Any = channel.unary_unary(row.name, request_serializer=lambda sent: sent.SerializeToString())
    try:
        return "OK", call(message, timeout=20, metadata=(("authorization", f"Bearer {token}"),))
    except grpc.RpcError as error:
        return refusal_of(error).reason, b""


def output_of(row: Method, told: bytes) -> Any:
    """The answer's message."""
    service, _, name = row.name[1:].partition("/")
    described = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name].output_type
    return message_factory.GetMessageClass(described).FromString(told)


def first_answer(channel: grpc.Channel, row: Method, token: str) -> str:
    """The reason for refusing an empty message, or "OK"; whatever of it streams."""
    call: Any = channel.stream_stream(row.name)
    try:
        next(call(iter([b""]), timeout=20, metadata=(("authorization", f"Bearer {token}"),)), None)
    except grpc.RpcError as error:
        return refusal_of(error).reason
    return "OK"


def _input(row: Method) -> Descriptor:
    service, _, name = row.name[1:].partition("/")
    found: Descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name].input_type
    return found


_KINDS = "Organization Project Member Team SlugReservation Token Announcement"
_RELEASE_KINDS = "Release Deploy Environment Repository CommitFetch PullRequest Issue"
_OF_ORGANIZATIONS = {f"siloway/{kind}" for kind in (_KINDS + " " + _RELEASE_KINDS).split()}


def _references(described: Descriptor) -> list[str]:
    found = []
    for field in described.fields:
        reference = field.GetOptions().Extensions[resource_pb2.resource_reference]
        if {reference.type, reference.child_type} & _OF_ORGANIZATIONS:
            found.append(field.name)
        elif field.message_type is not None and field.name != "commits":
            found += [f"{field.name}.{path}" for path in _references(field.message_type)]
    return found
