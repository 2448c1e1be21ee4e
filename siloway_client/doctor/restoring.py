"""Brings a silo that was restored from an older backup back in step with the others.

What the others know of the lost time wins over what the restored silo remembers; existence of an organization is its
region's to say. The silo stays closed until that is carried over and both sides have agreed on epochs. Every step may
be repeated, so a run that broke off is simply started again.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from siloway.common.v1 import doctor_service_pb2 as doctor_pb
from siloway.control.v1 import recovery_service_pb2 as recovery_pb
from siloway.control.v1 import token_service_pb2 as token_pb

from siloway_client.client import ControlClient, RegionClient, new_request_id
from siloway_client.doctor import comparing
from siloway_client.doctor.checking import CONTROL, KEYS_MAX, Checker
from siloway_client.doctor.comparing import Difference

_Action = recovery_pb.RepairOrganizationsRequest
Wanted = tuple["recovery_pb.RepairOrganizationsRequest.Action.ValueType", Difference]
_ROUNDS_MAX = 5
_AGREE_S = 600.0


class NotClosed(Exception):
    """The silo was not told that it was restored; the text says what to do."""


@dataclass
class Done:
    """What was done, for people, and the organizations that were left, with the reasons."""

    steps: list[str] = field(default_factory=list)
    left: dict[int, str] = field(default_factory=dict)


class Restorer:
    """`checker` has control and all regions that take part; `say` hears of each step."""

    def __init__(self, checker: Checker, say: Callable[[str], None]) -> None:
        assert checker.control is not None, "nothing is brought in step without control"
        self._checker = checker
        self._control: ControlClient = checker.control
        self._regions = checker.regions
        self._say = say
        self._done = Done()

    def restore(self, silo: str) -> Done:
        """Bring `silo` back in step and open it. Raises NotClosed, RpcError."""
        self._check_closed(silo)
        regions = sorted(self._regions) if silo == CONTROL else [silo]
        if silo == CONTROL:
            for name in regions:
                self._take_over_revocations(name)
        self._repair(regions, silo)
        for name in regions:
            self._agree(name)
        self._open(silo)
        self._ask_again()
        self._repair(regions, silo)
        self._checker.settle()
        for name in regions:
            self._refuse_unknown_tokens(name)
        return self._done

    def _check_closed(self, silo: str) -> None:
        life = _life(self._client(silo))
        others = [self._control] if silo != CONTROL else list(self._regions.values())
        accepted = {peer.epoch for other in others for peer in _life(other).peers if peer.silo == silo}
        if not life.HasField("restore_time") and accepted <= {life.epoch}:
            program = "control_silo" if silo == CONTROL else f"region_silo --region {silo}"
            raise NotClosed(
                f"{silo} is open and in step. If its database was restored in its own place: stop its programs,"
                f" run `python -m {program} restored`, start them, and run this again"
            )

    def _take_over_revocations(self, name: str) -> None:
        """A token that was revoked after the backup stays revoked: its region still knows."""
        revoked = [
            difference.id
            for difference in comparing.compare_tokens(self._control, self._regions[name], name)
            if difference.kind == comparing.TOKEN_REVOKED
        ]
        for token_id in revoked:
            request = token_pb.RevokeTokenRequest(name=f"tokens/{token_id}", request_id=new_request_id())
            self._control.tokens.RevokeToken(request)
        if revoked:
            self._tell(f"{name}: {len(revoked)} tokens that were revoked after the backup are revoked again")

    def _repair(self, names: Iterable[str], silo: str) -> None:
        """Rounds over all regions, for a slug may be free only after another organization was brought in line.

        In the end what is left is tried all together: slugs may change hands across regions. The difference that a
        reader has passed does not come again, so each is repaired while the lists are read.
        """
        self._done.left = {}
        left: list[Wanted] = []
        for _ in range(_ROUNDS_MAX):
            repaired, left = 0, list[Wanted]()
            for name in names:
                for part in _parts(self._wanted(name, silo)):
                    repaired += self._repair_part(part, left)
            if silo != CONTROL or not repaired or not left:
                break
        for part in _parts(left):
            self._repair_part(part, [])

    def _repair_part(self, part: list[Wanted], left: list[Wanted]) -> int:
        count, why = self._checker.repair_organizations(part)
        for action, difference in part:
            reason = why.get(difference.id)
            if reason is None:
                self._done.left.pop(difference.id, None)
            else:
                self._done.left[difference.id] = reason
                if len(left) < KEYS_MAX:
                    left.append((action, difference))
        if count:
            self._tell(f"{count} organizations brought in line")
        return count

    def _wanted(self, name: str, silo: str) -> Iterator[Wanted]:
        for difference in comparing.compare_organizations(self._control, self._regions[name], name):
            yield _action(difference, silo), difference

    def _agree(self, name: str) -> None:
        region = self._regions[name]
        for client, peer, other in ((self._control, name, region), (region, CONTROL, self._control)):
            request = doctor_pb.AgreeOnEpochRequest(peer=peer, epoch=_life(other).epoch, request_id=new_request_id())
            answer = client.doctor.AgreeOnEpoch(request, timeout=_AGREE_S)
            self._tell(f"agreed on the epoch of {peer}, {answer.resent_count} messages queued for it")

    def _open(self, silo: str) -> None:
        lives = [_life(self._control), *(_life(region) for region in self._regions.values())]
        seen = [place for life in lives for place in life.highest_ids]
        request = doctor_pb.EndRestorationRequest(seen=seen, request_id=new_request_id())
        self._client(silo).doctor.EndRestoration(request)
        self._tell(f"{silo} is open")

    def _ask_again(self) -> None:
        """What was asked of a region and whose answer is lost is asked again."""
        self._checker.settle()
        _, held = self._checker.run_check(CONTROL, "held_pending", age_min_s=0)
        asked = self._checker.repair([replace(finding, repairable=True) for finding in held], age_min_s=0)
        if asked:
            self._tell(f"{asked} held slugs: their regions are asked again")
            self._checker.settle()

    def _refuse_unknown_tokens(self, name: str) -> None:
        """What control has not sent since epochs were agreed on was made after the backup; nobody can revoke it."""
        _, unknown = self._checker.run_check(name, "token_confirmed", age_min_s=0)
        refused = self._checker.repair([replace(finding, repairable=True) for finding in unknown], age_min_s=0)
        if refused:
            self._tell(f"{name}: {refused} tokens that control does not know are refused from now on")

    def _client(self, silo: str) -> ControlClient | RegionClient:
        return self._control if silo == CONTROL else self._regions[silo]

    def _tell(self, step: str) -> None:
        self._done.steps.append(step)
        self._say(step)


def _action(difference: Difference, silo: str) -> "recovery_pb.RepairOrganizationsRequest.Action.ValueType":
    if difference.kind == comparing.VANISHED:
        # What a region has lost may be made anew; what it has no more, and was not restored, was deleted for good.
        return _Action.ACTION_PURGE if silo == CONTROL else _Action.ACTION_FORGET
    if difference.kind == comparing.UNMAPPED or silo == CONTROL:
        return _Action.ACTION_ADOPT
    return _Action.ACTION_TELL


def _parts(wanted: Iterable[Wanted]) -> Iterator[list[Wanted]]:
    source = iter(wanted)
    while part := list(islice(source, KEYS_MAX)):
        yield part


def _life(client: ControlClient | RegionClient) -> doctor_pb.Restoration:
    return client.doctor.GetRestoration(doctor_pb.GetRestorationRequest())
