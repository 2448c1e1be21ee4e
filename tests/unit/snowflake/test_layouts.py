import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.snowflake import domain

OLD_EPOCH = int(datetime(1999, 12, 31, tzinfo=UTC).timestamp())
LAYOUTS = st.sampled_from([domain.LAYOUT_1, domain.LAYOUT_2])


@st.composite
def segments(draw: st.DrawFn) -> tuple[domain.Layout, int, int, int]:
    layout = draw(LAYOUTS)
    seconds = draw(st.integers(0, (1 << layout.time_bits) - 1))
    region = draw(st.integers(0, layout.regions - 1))
    return layout, seconds, region, draw(st.integers(0, layout.per_second - 1))


def test_case_01_seventeen_ids_of_the_old_epoch_are_those_of_the_original() -> None:
    layout = domain.compatible_layout(epoch_s=OLD_EPOCH)
    seconds = layout.seconds(datetime(2022, 7, 21, 6, tzinfo=UTC))
    sixteen = [layout.encode(seconds, 0, sequence) for sequence in range(16)]
    assert sixteen == list(range(4550247156023296, 4550247156023296 + 16))
    assert layout.encode(seconds - 1, 0, 0) == 4550247155957760


def test_case_02_first_id_of_2025_in_region_one_is_that_of_the_original_and_decodes() -> None:
    now = datetime(2025, 1, 1, tzinfo=UTC)
    snowflake = domain.LAYOUT_1.encode(domain.LAYOUT_1.seconds(now), 1, 0)
    assert snowflake == 4508565473591312
    parts = domain.describe(snowflake)
    assert (parts.layout, parts.time, parts.region, parts.sequence) == (1, now, 1, 0)


def test_epochs_are_utc_constants() -> None:
    assert domain.LAYOUT_1.epoch_s == 1659916800
    assert domain.LAYOUT_2.epoch_s == 1767225600


def test_layout_one_ends_where_the_original_ends() -> None:
    last = domain.LAYOUT_1.encode((1 << 32) - 1, 4095, 15)
    assert last == 4785074604081151
    assert domain.describe(last).time == datetime(2158, 9, 14, 6, 28, 15, tzinfo=UTC)


@given(segments())
def test_every_id_decodes_to_its_segments(drawn: tuple[domain.Layout, int, int, int]) -> None:
    layout, seconds, region, sequence = drawn
    parts = domain.describe(layout.encode(seconds, region, sequence))
    assert (parts.layout, parts.seconds, parts.region, parts.sequence) == (layout.number, seconds, region, sequence)
    assert parts.time == datetime.fromtimestamp(layout.epoch_s, UTC) + timedelta(seconds=seconds)


@given(segments())
def test_case_03_every_id_has_sixteen_digits_and_survives_json_and_a_double(
    drawn: tuple[domain.Layout, int, int, int],
) -> None:
    layout, seconds, region, sequence = drawn
    snowflake = layout.encode(seconds, region, sequence)
    assert 2**52 <= snowflake <= domain.ID_MAX == 9007199254740991
    assert len(str(snowflake)) == 16
    assert int(float(json.loads(json.dumps(snowflake)))) == snowflake


@given(version=st.integers(0, 31), region=st.integers(0, 4095), seconds=st.integers(0, (1 << 32) - 1))
def test_case_03_any_version_stays_below_two_to_the_53_and_survives_json_and_a_double(
    version: int, region: int, seconds: int
) -> None:
    snowflake = domain.compatible_layout(epoch_s=0, version=version).encode(seconds, region, 15)
    assert snowflake <= 9007199254740991
    assert int(float(json.loads(json.dumps(snowflake)))) == snowflake


def test_the_layouts_ranges_do_not_meet() -> None:
    assert domain.LAYOUT_1.encode((1 << 32) - 1, 4095, 15) < domain.LAYOUT_2.encode(0, 0, 0)


@pytest.mark.parametrize(
    ("layout", "seconds", "region", "sequence", "named"),
    [
        (domain.LAYOUT_1, 0, 4096, 0, "region"),
        (domain.LAYOUT_1, 0, -1, 0, "region"),
        (domain.LAYOUT_1, 0, 0, 16, "sequence"),
        (domain.LAYOUT_1, 0, 0, -1, "sequence"),
        (domain.LAYOUT_1, 1 << 32, 0, 0, "time"),
        (domain.LAYOUT_1, -1, 0, 0, "time"),
        (domain.LAYOUT_2, 0, 32, 0, "region"),
        (domain.LAYOUT_2, 0, 0, 1 << 15, "sequence"),
        (domain.LAYOUT_2, 1 << 31, 0, 0, "time"),
    ],
)
def test_case_04_a_segment_that_does_not_fit_is_refused_by_name(
    layout: domain.Layout, seconds: int, region: int, sequence: int, named: str
) -> None:
    with pytest.raises(domain.SegmentOutOfRangeError, match=named) as refused:
        layout.encode(seconds, region, sequence)
    assert refused.value.segment == named


@pytest.mark.parametrize("version", [32, -1])
def test_a_version_beyond_five_bits_is_refused(version: int) -> None:
    with pytest.raises(domain.SegmentOutOfRangeError, match="version"):
        domain.reversed_version(version)


@pytest.mark.parametrize("number", [-1, 0, 1, 4503599627370495, 4785074604081152, 6755399441055743, 2**53, 2**64])
def test_a_number_of_no_layout_is_refused(number: int) -> None:
    with pytest.raises(domain.NotASnowflakeError):
        domain.describe(number)


@given(layout=LAYOUTS, offset=st.integers(0, 2**20))
def test_positions_ascend_through_seconds(layout: domain.Layout, offset: int) -> None:
    assert layout.encode_position(offset, 3) < layout.encode_position(offset + 1, 3)
    parts = layout.decode(layout.encode_position(offset, 3))
    assert parts.seconds * layout.per_second + parts.sequence == offset
