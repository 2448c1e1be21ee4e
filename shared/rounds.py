"""How a runner in `work` goes on: round after round while there is work, with a pause where there is none.

Nothing that goes wrong in one round ends the loop: what cannot be reached for now is a warning, anything else an error
in the log, and the next round comes after the pause.
"""

import threading
from collections.abc import Callable

import structlog

from shared.errors import ServiceError

_log = structlog.get_logger("siloway.rounds")


def go_round(
    what: str,
    stop: threading.Event,
    once: Callable[[], bool],
    idle_s: Callable[[], float],
    wait: Callable[[float], object] | None = None,
) -> None:
    """Call `once` until `stop` is set; behind a round that did no work pause for `idle_s()`.

    `what` names the work in the log; `wait` may return early when there is work.
    """
    while not stop.is_set():
        try:
            worked = once()
        except ServiceError as error:
            _log.warning(f"{what}_wait", reason=error.reason)
            worked = False
        except Exception:  # noqa: BLE001 - the loop is the process's purpose
            _log.exception(f"{what}_failed")
            worked = False
        if not worked:
            (wait or stop.wait)(idle_s())
