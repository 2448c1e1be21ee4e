"""What ended is started again: at once the first time, ever later when it keeps ending."""

from shared.embedded.failures import StartFailed
from shared.embedded.supervision import STEADY_AFTER_S, Supervisor


class _Subject:
    name = "us work"

    def __init__(self) -> None:
        self.running = True
        self.starts = 0
        self.refuses = False

    def is_running(self) -> bool:
        return self.running

    def start(self) -> None:
        if self.refuses:
            raise StartFailed("no memory")
        self.starts += 1
        self.running = True

    def ending(self) -> str:
        return "with exit code 1"


def _waits(supervisor: Supervisor, subject: _Subject, now: float, times: int) -> tuple[list[float], float]:
    """How long each of `times` ends waited for its start."""
    waits = []
    for _ in range(times):
        subject.running = False
        supervisor.tick(now)
        ended_at, starts = now, subject.starts
        while subject.starts == starts:
            now += 0.25
            supervisor.tick(now)
        waits.append(now - ended_at)
    return waits, now


def test_waits_double_up_to_half_a_minute() -> None:
    subject, said = _Subject(), list[str]()
    supervisor = Supervisor([subject], said.append)
    waits, _ = _waits(supervisor, subject, 1e9, 9)
    # The first end comes after a long quiet time (1e9 s), so the story begins with the shortest wait.
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert said[:2] == ["us work ended (with exit code 1); it starts again in 0.5 s", "us work was started again"]


def test_a_steady_run_forgives() -> None:
    subject = _Subject()
    supervisor = Supervisor([subject], lambda line: None)
    _, now = _waits(supervisor, subject, 1e9, 5)
    supervisor.tick(now + STEADY_AFTER_S)
    waits, _ = _waits(supervisor, subject, now + STEADY_AFTER_S, 1)
    assert waits == [0.5]


def test_a_start_that_fails_is_tried_again_later() -> None:
    subject, said = _Subject(), list[str]()
    supervisor = Supervisor([subject], said.append)
    subject.running, subject.refuses = False, True
    supervisor.tick(1e9)
    supervisor.tick(1e9 + 0.5)
    assert said[-1] == "us work: no memory; next attempt in 1 s"
    subject.refuses = False
    supervisor.tick(1e9 + 1.25)
    assert subject.starts == 0
    supervisor.tick(1e9 + 1.5)
    assert subject.starts == 1


def test_no_wait_is_longer_than_the_longest() -> None:
    subject = _Subject()
    supervisor = Supervisor([subject], lambda line: None, 1.0)
    waits, _ = _waits(supervisor, subject, 1e9, 4)
    assert waits == [0.5, 1.0, 1.0, 1.0]


def test_what_runs_is_left_alone() -> None:
    subject = _Subject()
    Supervisor([subject], lambda line: None).tick(0.0)
    assert subject.starts == 0
