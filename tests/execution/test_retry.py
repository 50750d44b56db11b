import pytest

from mnedge.execution.retry import TRANSIENT, backoff_s, is_transient
from mnedge.model.body import BlobRef


@pytest.mark.parametrize("marker", TRANSIENT)
@pytest.mark.parametrize("key", ["error", "stdout", "stderr", "logs"])
def test_a_marker_anywhere_in_the_error_is_transient(marker, key):
    assert is_transient({"exit_code": 1, key: f"x {marker.upper()} y"})


def test_a_marker_inside_a_member_counts_too():
    assert is_transient({"error": "no", "beacon": {"message": "Connection refused"}})


def test_a_quiet_failure_is_not():
    assert not is_transient({"exit_code": 23, "stdout": "", "stderr": "no such thing"})


def test_a_name_is_no_failure():
    assert not is_transient(
        {"exit_code": 1, "sandbox_name": "unavailable", "remote_dir": "timed out"}
    )


def test_a_reference_in_an_error_is_looked_past():
    assert not is_transient({"stdout": BlobRef("sha256:0", 1)})


def test_each_wait_is_twice_the_one_before():
    assert [backoff_s(500, attempt) for attempt in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 4.0]
    assert backoff_s(0, 5) == 0
    assert backoff_s(1, 10_000) > 0
