import pytest

from shared.redis import RedisLink, RedisUnavailableError
from tests.clock import FakeClock


def test_after_a_failure_redis_is_skipped_for_a_second_unless_somebody_insists() -> None:
    clock = FakeClock()
    link = RedisLink.open("redis://127.0.0.1:1", clock=clock)  # nobody listens there
    script = link.script("return 1")
    with pytest.raises(RedisUnavailableError, match=r"refused|Error"):
        script.call([])
    assert link.skipping
    with pytest.raises(RedisUnavailableError, match="skipped"):
        script.call([])
    with pytest.raises(RedisUnavailableError, match=r"refused|Error"):
        script.call([], insist=True)
    clock.advance(1)
    assert not link.skipping
    link.close()
