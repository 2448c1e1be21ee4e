"""A caller: seeded random provisions, renames and swaps by the Python client, each sent again with the same request id
until it is answered or refused.
"""

import random
import threading
import time
import uuid
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from siloway.control.v1 import organization_service_pb2 as organization_pb

from siloway_client.client import ControlClient
from siloway_client.refusal import Refusal, refusal_of
from tests.faults.chaos.world import EXPECTED, TRY_AGAIN, Asked, Known, World

SLUGS = ("acme", "beta", "crow", "dune", "echo", "Acme Inc", "acme-2", "42", "us", "-fox--")
ANSWER_TIMEOUT_S = 120.0
"""The longest that one request is sent again for."""

_CALL_TIMEOUT_S = 15.0
_ABORTED_MAX = 3
_BACKOFF_MAX_S = 1.0


class Caller(threading.Thread):
    """One caller with a client of its own. Ends when the world has what it wants and `killing` is over."""

    def __init__(
        self, number: int, seed: int, world: World, client: ControlClient, *, users: list[str], killing: threading.Event
    ) -> None:
        super().__init__(name=f"caller-{number}", daemon=True)
        self._number = number
        self._chance = random.Random(f"{seed}/{number}")
        self._world = world
        self._client = client
        self._users = users
        self._killing_is_over = killing
        self._never = threading.Event()

    def run(self) -> None:
        try:
            while not (self._world.is_done and self._killing_is_over.is_set()) and not self._world.wrong:
                self._step()
        except Exception as error:  # noqa: BLE001 - whatever ends a caller ends the test
            self._world.complain(f"caller {self._number} broke: {error!r}")

    def ask(self, asked: Asked) -> None:
        """Send the request until it is answered or refused for good."""
        aborted = 0
        ends_at = time.monotonic() + ANSWER_TIMEOUT_S
        backoff_s = 0.05
        method = getattr(self._client.organizations, asked.method)
        while True:
            hasty = self._chance.random() < 0.05
            try:
                answer = method(asked.request, timeout=self._chance.uniform(0.01, 0.5) if hasty else _CALL_TIMEOUT_S)
            except grpc.RpcError as error:
                refusal = refusal_of(error)
                aborted += refusal.code == "ABORTED"
                if not self._tries_again(refusal, asked, aborted):
                    asked.refusal = refusal
                    return
                if time.monotonic() > ends_at:
                    self._world.complain(f"{asked} was not answered within {ANSWER_TIMEOUT_S:.0f} s: {refusal}")
                    return
                self._never.wait(self._chance.uniform(0.5, 1) * max(backoff_s, refusal.retry_after_s or 0))
                backoff_s = min(backoff_s * 2, _BACKOFF_MAX_S)
            else:
                asked.answers.append(answer)
                return

    def _tries_again(self, refusal: Refusal, asked: Asked, aborted: int) -> bool:
        if TRY_AGAIN.get(refusal.reason) == refusal.code:
            self._world.note_again(refusal.reason)
            return True
        if EXPECTED.get(refusal.reason) != refusal.code:
            self._world.complain(f"{asked} was refused otherwise than documented: {refusal.code} {refusal}")
            return False
        return refusal.code == "ABORTED" and aborted < _ABORTED_MAX and self._chance.random() < 0.5

    def _step(self) -> None:
        organizations = self._world.organizations()
        kind = self._chance.choices(("provision", "rename", "swap", "repeat"), (4, 4, 3, 1))[0]
        if kind == "repeat":
            self._repeat()
        elif kind == "provision" or len(organizations) < 4:
            self._change("provision", "ProvisionOrganization", self._provision())
        elif kind == "rename":
            self._change("rename", "RenameOrganization", self._rename(organizations))
        else:
            request = self._swap(organizations)
            if request is not None:
                self._change(f"swap of {len(request.pairs)}", "SwapSlugs", request)

    def _change(self, kind: str, method: str, request: Any) -> None:
        asked = Asked(self._number, kind, method, request)
        self._world.begin(asked)
        self.ask(asked)
        self._world.ended(asked)

    def _repeat(self) -> None:
        """Send an own request of before again: it has been answered, and is to be answered alike."""
        answered = [asked for asked in list(self._world.asked) if asked.caller == self._number and asked.answers]
        if answered:
            asked = self._chance.choice(answered)
            self.ask(asked)
            if asked.refusal is not None:
                self._world.complain(f"{asked} was answered before, and is refused now: {asked.refusal}")
            self._world.ended(asked)

    def _provision(self) -> organization_pb.ProvisionOrganizationRequest:
        request = organization_pb.ProvisionOrganizationRequest(
            region=self._chance.choice(("us", "de")),
            slug=self._chance.choice(SLUGS),
            display_name=f"Made by {self._number}",
            create_default_team=self._chance.random() < 0.5,
            request_id=self._new_id(),
        )
        if self._chance.random() < 0.5:
            request.owner_user = self._chance.choice(self._users)
        else:
            request.owner_email = f"owner-{self._chance.randrange(1000)}@example.com"
        return request

    def _rename(self, organizations: list[Known]) -> organization_pb.RenameOrganizationRequest:
        one, other = self._chance.sample(organizations, 2)
        wishes = (
            (f"name-{self._chance.randrange(10**6)}", True),
            (self._chance.choice(one.slugs), True),
            (other.slugs[-1], True),
            (self._chance.choice(SLUGS), False),
        )
        slug, exact = self._chance.choices(wishes, (4, 2, 1, 3))[0]
        return organization_pb.RenameOrganizationRequest(
            name=one.name,
            slug=slug,
            exact=exact,
            redirect_ttl=Duration(seconds=self._chance.choice((0, 1, 3600))),
            request_id=self._new_id(),
        )

    def _swap(self, organizations: list[Known]) -> organization_pb.SwapSlugsRequest | None:
        """Two or three pass their present slugs on, over the regions that they happen to live in."""
        chosen = self._chance.sample(organizations, self._chance.choice((2, 2, 3)))
        slugs = []
        for each in chosen:
            try:
                found = self._client.organizations.GetOrganization(
                    organization_pb.GetOrganizationRequest(name=each.name), timeout=_CALL_TIMEOUT_S
                )
            except grpc.RpcError as error:
                refusal = refusal_of(error)
                if TRY_AGAIN.get(refusal.reason) != refusal.code:
                    self._world.complain(f"{each.name} could not be read: {refusal}")
                return None
            slugs.append(found.slug)
        pairs = [
            organization_pb.SwapSlugsRequest.Pair(organization=each.name, slug=slug)
            for each, slug in zip(chosen, slugs[1:] + slugs[:1], strict=True)
        ]
        return organization_pb.SwapSlugsRequest(pairs=pairs, request_id=self._new_id())

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))
