"""What `siloway import` and `siloway plan` do alike: open the file, send it in, wait, write down what was found."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer
from siloway.region.v1 import import_service_pb2 as import_pb

from siloway_client.client import RegionClient
from siloway_client.commands.imports import DecryptWith, WaitMax, upload_and_wait
from siloway_client.decryption import decrypted
from siloway_client.findings_file import FindingsFile, refusals_written, write_import
from siloway_client.options import Region, RequestId, request_id_of, session


@dataclass(frozen=True)
class Sending:
    """The options that both know."""

    region: Region = "us"
    wait_max: WaitMax = 3600
    request_id: RequestId = None
    decrypt_with: DecryptWith = None
    findings_file: FindingsFile = None

    @contextmanager
    def sent(
        self,
        context: typer.Context,
        source: Path,
        scope: import_pb.DataImport.Scope.ValueType,
        options: import_pb.ImportOptions,
        *,
        is_plan: bool = False,
        wait: bool = True,
    ) -> Iterator[tuple[RegionClient, import_pb.DataImport]]:
        """The client of the region, and the import or plan: as it rests, or as it is queued without `wait`.

        A refusal, here or inside, goes into the findings file too. Raises as `upload_and_wait`.
        """
        request_id = request_id_of(self.request_id)
        with (
            decrypted(source, self.decrypt_with) as plain,
            session(context).targets().region(self.region) as client,
            refusals_written(self.findings_file),
        ):
            found = upload_and_wait(
                client,
                plain,
                scope,
                request_id=request_id,
                wait_max_s=self.wait_max,
                options=options,
                wait=wait,
                is_plan=is_plan,
            )
            if self.findings_file is not None:
                write_import(self.findings_file, client, found)
            yield client, found
