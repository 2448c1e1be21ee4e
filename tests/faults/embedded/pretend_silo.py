"""A program that the local stack takes for a silo's: it is ready on its admin address, and ends when asked to.

It imports little, because a test starts many of them.
"""

import os
import signal
import socket
import sys
from pathlib import Path


def main(silo: str, verb: str) -> None:
    prefix = "SILOWAY_CONTROL" if silo == "control" else f"SILOWAY_REGION_{silo.upper()}"
    trace = Path(os.environ["PRETEND_FOLDER"]) / f"{silo}-{verb}"
    database_url = os.environ[f"{prefix}_DATABASE_URL"]
    if verb == "migrate":
        if silo == "control":
            Path(os.environ["SILOWAY_BOOTSTRAP_TOKEN_FILE"]).write_text("pretend-token\n")
        trace.write_text(database_url)
        sys.exit(3 if os.environ.get("PRETEND_MIGRATE_FAILS") == silo else 0)
    host, port = os.environ[f"{prefix}_{verb.upper()}_ADMIN_ADDRESS"].split(":")
    listener = socket.create_server((host, int(port)))
    fresh = trace.with_suffix(".new")
    fresh.write_text(str(os.getpid()))
    fresh.rename(trace)
    if os.environ.get("PRETEND_DEAF") == f"{silo}-{verb}":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        while True:
            line, _ = listener.accept()
            with line:
                line.recv(4096)
                line.sendall(f"HTTP/1.0 200 OK\r\nX-Siloway-Process: {os.getpid()}\r\n\r\n".encode())
    finally:
        # The servers outlive the silos: at a silo's end its database still listens.
        socket.create_connection(
            ("127.0.0.1", int(database_url.rpartition(":")[2].partition("/")[0])), timeout=5
        ).close()
        trace.with_suffix(".ended").touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
