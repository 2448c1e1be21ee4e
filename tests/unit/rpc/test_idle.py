"""Streams that fall silent are ended; those that speak, or are over, are not."""

import threading
import time

from shared.rpc.idle import IdleWatch


class Stream:
    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> bool:
        self.cancelled.set()
        return True


def test_a_silent_stream_is_cancelled_and_a_speaking_one_goes_on() -> None:
    watch = IdleWatch(0.2, look_every_s=0.01)
    silent, speaking = Stream(), Stream()
    with watch.watching(silent), watch.watching(speaking) as heard:  # type: ignore[arg-type]
        ends_at = time.monotonic() + 10
        while not silent.cancelled.is_set() and time.monotonic() < ends_at:
            heard()
            time.sleep(0.005)
        assert silent.cancelled.is_set()
        assert not speaking.cancelled.is_set()


def test_a_stream_whose_message_is_being_worked_on_is_not_silent() -> None:
    watch = IdleWatch(0.05, look_every_s=0.01)
    busy, silent = Stream(), Stream()
    with watch.watching(busy) as heard:  # type: ignore[arg-type]
        heard(busy=True)
        with watch.watching(silent):  # type: ignore[arg-type]
            assert silent.cancelled.wait(10)
        assert not busy.cancelled.is_set()
        heard()
        assert busy.cancelled.wait(10), "it is expected to speak again"


def test_a_stream_that_is_over_is_left_alone() -> None:
    watch = IdleWatch(0.01, look_every_s=0.01)
    over, witness = Stream(), Stream()
    with watch.watching(over):  # type: ignore[arg-type]
        pass
    over.cancelled.clear()
    with watch.watching(witness):  # type: ignore[arg-type]
        assert witness.cancelled.wait(10)
    assert not over.cancelled.is_set()
