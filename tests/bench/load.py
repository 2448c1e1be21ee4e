"""Callers: processes with threads that send one prepared request again and again for a while, and count the answers.

Requests are bytes made beforehand and answers stay bytes, so that a caller costs the same with every method. As a
program it is one of the processes: it reads a Load as JSON from its standard input and prints the number of answers.
"""

import base64
import json
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc

PROCESSES = 2
_ROOT = Path(__file__).resolve().parents[2]
# In a request, stands for a request id of the caller's own: bytes of the same length as a UUID.
REQUEST_ID = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Load:
    """What every caller does: `requests` are taken in turn by the threads, one each, and repeated for `seconds`."""

    address: str
    method: str
    token: str
    requests: tuple[str, ...]
    threads: int
    seconds: float


def calls_per_second(
    address: str, method: str, requests: list[bytes], *, callers: int, seconds: float, token: str = ""
) -> float:
    """The rate that `callers` callers reach, in PROCESSES processes. Raises AssertionError when a call fails."""
    encoded = [base64.b64encode(request).decode() for request in requests]
    children = []
    for number in range(PROCESSES):
        load = Load(address, method, token, tuple(encoded[number::PROCESSES]), callers // PROCESSES, seconds)
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.load"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdin is not None
        child.stdin.write(json.dumps(asdict(load)) + "\n")
        child.stdin.flush()
    for child in children:  # all are connected and warm: begin
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n", "a caller could not call"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    rates = []
    for child in children:
        answer, _ = child.communicate(timeout=seconds + 60)
        assert child.returncode == 0, "a call failed"
        rates.append(float(answer))
    return sum(rates)


def main() -> None:
    """One process of callers."""
    load = Load(**json.loads(sys.stdin.readline()))
    requests = [base64.b64decode(request) for request in load.requests]
    metadata = (("authorization", f"Bearer {load.token}"),) if load.token else ()
    with grpc.insecure_channel(load.address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(load.method)
        for request in requests:
            call(_with_request_id(request), timeout=30, metadata=metadata)
        print("ready", flush=True)
        sys.stdin.readline()
        counts = [0] * load.threads
        failures: list[BaseException] = []
        ends_at = time.monotonic() + load.seconds

        def run(number: int) -> None:
            request = requests[number % len(requests)]
            try:
                while time.monotonic() < ends_at:
                    call(_with_request_id(request), timeout=30, metadata=metadata)
                    counts[number] += 1
            except grpc.RpcError as problem:
                failures.append(problem)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(load.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            sys.exit(str(failures[0]))
        print(sum(counts) / load.seconds)


def _with_request_id(request: bytes) -> bytes:
    mark = REQUEST_ID.encode()
    return request.replace(mark, str(uuid.uuid4()).encode()) if mark in request else request


if __name__ == "__main__":
    main()
