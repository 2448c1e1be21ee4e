"""Starts local servers, writes their pids to a file, then waits to be killed."""

import json
import signal
import sys
import threading
from pathlib import Path

from shared.embedded.servers import LocalServers


def main(folder: Path, answer: Path) -> None:
    started: list[LocalServers] = []
    # From a thread that ends at once: the servers follow the process, not the thread that asked for them.
    starter = threading.Thread(target=lambda: started.append(LocalServers.start(folder, durable=False)))
    starter.start()
    starter.join()
    fresh = answer.with_suffix(".new")
    fresh.write_text(json.dumps([started[0].postgres.pid, started[0].redis.pid, started[0].postgres.url("postgres")]))
    fresh.rename(answer)
    signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
