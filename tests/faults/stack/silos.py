"""A running stack whose processes can be made to die or wait at named points, and what an import has left in it.

Every point looks from the start for a file that tells what is to happen there: a test writes it to let the next process
that comes to the point die or wait there, once. So one stack serves all tests.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siloway.region.v1 import import_service_pb2 as import_pb

from region_silo.imports.domain import State
from shared.clock import SystemClock
from shared.database import Database
from siloway_client.export_file import write_export
from tests.natural_keys import read_natural_rows
from tests.stack import RunningStack, wait_until

FINISH_TIMEOUT_S = 60.0
_PRIMARY, _TEMPORARY = 0, 2


@dataclass(frozen=True)
class Point:
    """A named point in the processes of one silo; `times`: at which passing it acts."""

    silo: str
    verb: str
    name: str
    times: int = 1

    def file(self, folder: Path) -> Path:
        return folder / f"{self.silo}-{self.name}"

    def barrier(self, folder: Path) -> str:
        """The setting that lets the file tell what is to happen there."""
        return f"{self.silo}/{self.name}=told:{self.file(folder)}"

    def tell(self, folder: Path, what: str) -> None:
        """Let the next process that comes there die ("kill") or wait ("pause")."""
        file = self.file(folder)
        file.with_name(file.name + ".reached").unlink(missing_ok=True)
        draft = file.with_name(file.name + ".draft")
        draft.write_text(f"{what} {self.times}")
        draft.rename(file)


@dataclass(frozen=True)
class Progress:
    """How far an import has come, read from the databases of both silos."""

    state: State
    chunks: int
    rows: int
    objects: int
    organizations: int
    named: int
    temporary: int
    primary: int
    waiting_in_control: int
    waiting_in_region: int

    @property
    def reserved(self) -> int:
        return self.temporary + self.primary


class FaultStack:
    """Imports into the stack, kills in it, and the questions that tests ask afterwards."""

    def __init__(self, running: RunningStack, folder: Path) -> None:
        self.running = running
        self.folder = folder

    @contextmanager
    def dies_at(self, point: Point) -> Iterator[Callable[[], None]]:
        """Arm the point. Inside the block nothing is started again; what it gets waits until a process died there."""

        def died() -> None:
            pids = self.running.pids
            wait_until(lambda: not pids(point.silo, point.verb), f"nobody died at {point}", timeout_s=90.0)
            assert not point.file(self.folder).exists(), "it died of something else"

        wait_until(lambda: len(self.running.pids(point.silo, point.verb)) == 1, f"{point.silo} {point.verb} is down")
        with self.running.restarts_held():
            point.tell(self.folder, "kill")
            yield died

    @contextmanager
    def waits_at(self, point: Point) -> Iterator[Callable[[], None]]:
        """Arm the point until the end of the block; what it gets waits until a process waits there."""
        file = point.file(self.folder)
        reached = file.with_name(file.name + ".reached")
        point.tell(self.folder, "pause")
        try:
            yield lambda: wait_until(reached.exists, f"nobody came to {point}", timeout_s=30.0)
        finally:
            file.unlink()

    def upload(self, region: str, file: Path) -> int:
        """Send the file; returns the import's id."""
        with self.running.region(region) as client:
            queued = client.upload_import(file, import_pb.DataImport.SCOPE_ORGANIZATION)
        return int(queued.name.removeprefix("imports/"))

    def let_leases_run_out(self, silo: str) -> None:
        """As a minute's wait would: for leases whose holder is dead, or has lost its database."""
        ended = "SET lease_until = now() - interval '1 minute' WHERE lease_until IS NOT NULL"
        if silo != "control":
            self.running.query(silo, f"UPDATE data_import {ended}")
        self.running.query(silo, f"UPDATE outbox_lease {ended}")

    def progress(self, region: str, import_id: int) -> Progress:
        """Where the import stands now."""
        value = self.running.value
        state, objects = self.running.query(
            region, "SELECT state, object_count FROM data_import WHERE id = %s", import_id
        )[0]
        organizations = [
            row[0] for row in self.running.query(region, "SELECT id FROM organization WHERE import_id = %s", import_id)
        ]
        reserved = dict(
            self.running.query(
                "control",
                "SELECT type, count(*) FROM slug_reservation WHERE organization_id = ANY (%s) GROUP BY type",
                organizations,
            )
        )
        return Progress(
            state=State(state),
            chunks=value(region, "SELECT count(*) FROM import_chunk WHERE import_id = %s", import_id),
            rows=value(region, "SELECT count(*) FROM import_row WHERE import_id = %s", import_id),
            objects=objects,
            organizations=len(organizations),
            named=value(
                region, "SELECT count(*) FROM organization WHERE import_id = %s AND slug IS NOT NULL", import_id
            ),
            temporary=reserved.get(_TEMPORARY, 0),
            primary=reserved.get(_PRIMARY, 0),
            waiting_in_control=value("control", "SELECT count(*) FROM outbox_message"),
            waiting_in_region=value(region, "SELECT count(*) FROM outbox_message"),
        )

    def finish(self, region: str, import_id: int) -> None:
        """Wait for the import's end, and until no silo has anything left to tell; then check what must always hold."""
        ended = (State.SUCCEEDED.value, State.FAILED.value)
        statement = "SELECT state, error FROM data_import WHERE id = %s"
        wait_until(
            lambda: self.running.query(region, statement, import_id)[0][0] in ended,
            f"import {import_id} does not end: {self.running.notices[-3:]}",
            timeout_s=FINISH_TIMEOUT_S,
        )
        assert self.running.query(region, statement, import_id) == [(State.SUCCEEDED.value, None)]
        self.await_quiet()
        self._check_slugs(region, import_id)

    def await_quiet(self) -> None:
        """Wait until no silo has anything to tell another."""
        wait_until(self._nothing_to_tell, "messages are left", timeout_s=FINISH_TIMEOUT_S)

    def rows(self, region: str, import_id: int, slug: str) -> dict[str, list[str]]:
        """Every row of the import with natural keys, the file's own slug replaced."""
        clock = SystemClock()
        with (
            closing(Database.open(self.running.database_url("control"), clock=clock, pool_size=1)) as control,
            closing(Database.open(self.running.database_url(region), clock=clock, pool_size=1)) as own,
        ):
            found = read_natural_rows(control, own, import_id)
        return {model: sorted(_without(slug, row) for row in rows) for model, rows in found.items()}

    def _nothing_to_tell(self) -> bool:
        members = any(self.running.value(silo, "SELECT count(*) FROM member_retelling") for silo in ("us", "de"))
        return not members and not any(
            self.running.value(silo, "SELECT count(*) FROM outbox_message") for silo in ("control", "us", "de")
        )

    def _check_slugs(self, region: str, import_id: int) -> None:
        """Each organization is active, has exactly one reservation, PRIMARY, and the same slug everywhere."""
        own = self.running.query(
            region, "SELECT id, slug, slug, 0, 1 FROM organization WHERE import_id = %s AND state = 1", import_id
        )
        known = self.running.query(
            "control",
            """
            SELECT r.organization_id, r.slug, m.slug, r.type, r.state
            FROM slug_reservation r JOIN organization_mapping m USING (organization_id)
            WHERE r.organization_id = ANY (%s) AND m.region = %s
            """,
            [row[0] for row in own],
            region,
        )
        assert own
        assert sorted(known) == sorted(own)
        open_ones = "SELECT count(*) FROM organization WHERE import_id = %s AND state <> 1"
        assert self.running.value(region, open_ones, import_id) == 0


def write_rows(folder: Path, slug: str, *, seed: int, objects: int = 5000) -> Path:
    """A file of one organization with everything in it, in ten batches."""
    file = folder / f"{slug}.json"
    write_export(file, objects=objects, seed=seed, organization_slug=slug)
    return file


def write_organizations(folder: Path, slug: str, count: int) -> Path:
    """A file of organizations alone, whose slugs begin with `slug`."""
    file = folder / f"{slug}.json"
    file.write_text(json.dumps([_organization(slug, number) for number in range(1, count + 1)]))
    return file


def _organization(slug: str, number: int) -> dict[str, Any]:
    fields = {
        "name": f"{slug} number {number}",
        "slug": f"{slug}-{number}",
        "status": 0,
        "date_added": "2024-02-03T04:05:06.789Z",
        "default_role": "member",
        "is_test": False,
        "flags": "1",
    }
    return {"model": "sentry.organization", "pk": number, "fields": fields}


def _without(slug: str, row: tuple[Any, ...]) -> str:
    return repr(row).replace(slug, "SLUG").replace(slug.replace("-", " ").title(), "Name")
