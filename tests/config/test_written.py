import pytest

from mnedge.config.written import as_duration, as_size, seconds, size_bytes


@pytest.mark.parametrize(
    "text, found",
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172800),
        ("1.5", 1.5),
        ("0", 0),
    ],
)
def test_durations_are_written_with_a_unit_or_in_seconds(text, found):
    assert seconds(text) == pytest.approx(found)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1w", "1h30m", "1,5s"])
def test_what_is_no_duration_is_none(text):
    assert seconds(text) is None


@pytest.mark.parametrize(
    "text, found",
    [("16Ki", 16384), ("10Mi", 10 << 20), ("1Gi", 1 << 30), ("1K", 1000), ("7", 7), ("2KiB", 2048)],
)
def test_sizes_are_written_with_a_unit_or_in_bytes(text, found):
    assert size_bytes(text) == found


@pytest.mark.parametrize("text", ["", "Ki", "-1", "1X", "1 2"])
def test_what_is_no_size_is_none(text):
    assert size_bytes(text) is None


@pytest.mark.parametrize("value", [0.25, 1.0, 90.0, 3600.0, 86400.0, 0.0])
def test_a_duration_reads_back(value):
    assert seconds(as_duration(value)) == pytest.approx(value)


@pytest.mark.parametrize("value", [0, 1, 1024, 1 << 20, 3 << 30, 1000])
def test_a_size_reads_back(value):
    assert size_bytes(as_size(value)) == value
