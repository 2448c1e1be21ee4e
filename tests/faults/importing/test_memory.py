"""What an upload may cost in memory, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.faults

_GROWTH_KIB_MAX = 20 * 1024
_ROOT = Path(__file__).parents[3]
_BEGIN = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from shared.errors import LimitExceeded
from shared.importing.registry import models
from shared.importing.rows import RowDecoder
from shared.importing.spool import Spool
from shared.importing.upload import Upload, UploadedFile

def kib(name):  # not ru_maxrss: a child begins with its parent's
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])

def growth_kib():  # from what is in use when idle to the highest ever: never less than the true growth
    return kib("VmHWM") - idle

models()
RowDecoder("sentry.team", datetime.now(UTC)).decode([])
spool = Spool(Path(sys.argv[1]), 8 << 30)
chunk = bytes(65_536)
idle = kib("VmRSS")
"""
_REFUSED = """
sent = 0
with Upload(spool, "1") as upload:
    try:
        for chunk in chunks():
            sent += len(chunk)
            upload.write(chunk)
    except LimitExceeded as error:
        print(error.metadata["limit"], sent, growth_kib())
assert not list(Path(sys.argv[1]).iterdir())
"""
_LONG_STRING = """
def chunks():
    yield b'[{"model": "sentry.user", "pk": 1, "fields": {"name": "'
    for _ in range(2 << 14):
        yield b"x" * 65_536
"""
_DEEP = """
def chunks():
    yield b'[{"model": "sentry.user", "pk": 1, "fields": {"name": '
    for _ in range(1000):
        yield b"[" * 100
"""
_LONG_OBJECT = """
def chunks():
    yield b'[{"model": "sentry.user", "pk": 1, "fields": {"name": ["'
    for _ in range(2 << 14):
        yield b'x", "' * 13_000
"""
_MANY_ROWS = """
size = 0
with Upload(spool, "1") as upload:
    upload.write(b"[")
    for start in range(1, 100_001, 100):
        upload.write(b"".join(
            b'%s{"model": "sentry.%s", "pk": %d, "fields": {"project": %d, "team": %d}}'
            % (b"" if pk == 1 else b", ", (b"projectteam", b"other")[pk % 2], pk, pk, pk)
            for pk in range(start, start + 100)
        ))
    upload.write(b"]")
    length = upload.finish().length
good = 0
decoder = RowDecoder("sentry.projectteam", datetime.now(UTC))
with UploadedFile(spool, "1", length) as file:
    for first in range(1, 50_001, 5_000):
        for run in file.rows("sentry.projectteam", first, 5_000):
            good += len(decoder.decode(run).rows)
print("rows", good, growth_kib())
"""


def measure(code: str, folder: Path) -> tuple[str, int, int]:
    """Run it in a child: (what it says, a number, growth of its peak memory in KiB)."""
    command = [sys.executable, "-c", _BEGIN + code, str(folder)]
    child = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert child.returncode == 0, child.stderr
    word, number, growth = child.stdout.split()
    return word, int(number), int(growth)


@pytest.mark.parametrize(
    ("chunks", "limit", "sent_max"),
    [(_LONG_STRING, "string_bytes", 2 << 20), (_DEEP, "depth", 1000), (_LONG_OBJECT, "object_bytes", 5 << 20)],
    ids=["string of 2 GB", "nesting 100,000 deep", "object of 2 GB"],
)
def test_a_monstrous_upload_is_refused_early_and_costs_little_memory(
    tmp_path: Path, chunks: str, limit: str, sent_max: int
) -> None:
    refused, sent, growth_kib = measure(chunks + _REFUSED, tmp_path)
    assert refused == limit
    assert sent <= sent_max
    assert growth_kib < _GROWTH_KIB_MAX


def test_a_hundred_thousand_rows_are_received_and_decoded_in_little_memory(tmp_path: Path) -> None:
    _, rows, growth_kib = measure(_MANY_ROWS, tmp_path)
    assert rows == 50_000
    assert growth_kib < _GROWTH_KIB_MAX
