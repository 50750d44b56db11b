"""Ids follow from what they name."""

import re
from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest

from mnedge.model.ids import derived_id, is_run_id, job_id_for, plain_id


def test_a_derived_id_is_the_start_of_a_hash():
    digest = sha256(b"job:seed:agent:0").digest()
    assert derived_id("job:seed:agent:0") == urlsafe_b64encode(digest).decode().rstrip("=")
    assert derived_id("x", size_bytes=10) == derived_id("x", size_bytes=10)
    assert len(derived_id("x", size_bytes=10)) == 14
    assert len(derived_id("x")) == 43


@pytest.mark.parametrize("text", ["a", "A_b-C.d~0", "x" * 100])
def test_a_plain_id_stays_itself(text):
    assert plain_id(text) == text


@pytest.mark.parametrize("text", ["", "a/b", "a:b", "a\0b", "\n", "é", "x" * 101, "a b"])
def test_what_could_harm_a_path_or_an_environment_is_derived_from(text):
    assert plain_id(text) == derived_id(text, size_bytes=10)


@pytest.mark.parametrize("text", ["a", "a-1", "A.b_c:d-1", "0" * 200])
def test_a_run_id_may_name_a_folder(text):
    assert is_run_id(text)


@pytest.mark.parametrize("text", ["", ".", "..", ".hidden", "a/b", "a b", "-a", "é", "0" * 201])
def test_what_could_leave_its_parent_is_no_run_id(text):
    assert not is_run_id(text)


@pytest.mark.parametrize(
    "graph_id", ["plain", "with spaces", "../../etc", "", "ünïcode", "x" * 500]
)
def test_a_job_id_is_always_a_run_id(graph_id):
    job_id = job_id_for(graph_id, 1_700_000_000_000, "0123456789ab")
    assert is_run_id(job_id)
    assert re.search(r"-1700000000000-0123456789ab$", job_id)
