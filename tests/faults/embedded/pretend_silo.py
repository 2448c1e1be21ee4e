"""A program that the local stack takes for a silo's: it is ready on its admin address, and ends when asked to."""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psycopg


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        return


def main(silo: str, verb: str) -> None:
    prefix = "SILOWAY_CONTROL" if silo == "control" else f"SILOWAY_REGION_{silo.upper()}"
    trace = Path(os.environ["PRETEND_FOLDER"]) / f"{silo}-{verb}"
    if verb == "migrate":
        if silo == "control":
            Path(os.environ["SILOWAY_BOOTSTRAP_TOKEN_FILE"]).write_text("pretend-token\n")
        trace.write_text(os.environ[f"{prefix}_DATABASE_URL"])
        sys.exit(3 if os.environ.get("PRETEND_MIGRATE_FAILS") == silo else 0)
    host, port = os.environ[f"{prefix}_{verb.upper()}_ADMIN_ADDRESS"].split(":")
    server = HTTPServer((host, int(port)), _Ready)
    if os.environ.get("PRETEND_DEAF") == f"{silo}-{verb}":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    trace.write_text(str(os.getpid()))
    server.serve_forever()
    # The servers outlive the silos: at a silo's end its database still answers.
    with psycopg.connect(os.environ[f"{prefix}_DATABASE_URL"], connect_timeout=5):
        trace.with_suffix(".ended").touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
