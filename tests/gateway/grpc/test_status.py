import json
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnedge.bundle.problem import Problem, Severity, invalid
from mnedge.errors import (
    ConflictError,
    CorruptError,
    MnedgeError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    UnavailableError,
    UsageError,
)
from mnedge.gateway.grpc.status import TEXT_BYTES, End, NotOfferedError, Status, end_of, refuse
from mnedge.gateway.grpc.transport import ReplyTooLargeError
from mnedge.identity.refusals import TokenMissingError
from mnedge.runtime.jobs import JobExistsError


@pytest.mark.parametrize(
    "error, status",
    [
        (UsageError("x"), Status.INVALID_ARGUMENT),
        (NotFoundError("x"), Status.NOT_FOUND),
        (NotAllowedError("x"), Status.PERMISSION_DENIED),
        (TokenMissingError("x"), Status.UNAUTHENTICATED),
        (ConflictError("x"), Status.FAILED_PRECONDITION),
        (JobExistsError("x"), Status.ALREADY_EXISTS),
        (OverloadedError("x", retry_after_s=1), Status.RESOURCE_EXHAUSTED),
        (ReplyTooLargeError("x"), Status.RESOURCE_EXHAUSTED),
        (UnavailableError("x"), Status.UNAVAILABLE),
        (CorruptError("x"), Status.DATA_LOSS),
        (NotOfferedError("x"), Status.UNIMPLEMENTED),
        (MnedgeError("x"), Status.INTERNAL),
    ],
)
def test_each_family_has_its_status(error, status):
    end = end_of(error)
    assert end.status is status
    assert dict(end.trailers())[b"grpc-status"] == str(int(status)).encode()
    assert dict(end.trailers())[b"mnedge-code"] == error.code.encode()


def test_the_hint_comes_along_and_overload_is_marked():
    assert end_of(NotFoundError("gone", hint="look elsewhere")).text == "gone; look elsewhere"
    text = end_of(OverloadedError("full", retry_after_s=1)).text
    assert text == "resource_overloaded: full"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_travels_as_ascii_and_comes_back(text):
    sent = dict(End(Status.INTERNAL, text).trailers())[b"grpc-message"]
    assert sent.isascii()
    assert not set(sent) & set(b"\r\n")
    assert len(sent) <= TEXT_BYTES + 20
    if len(sent) < TEXT_BYTES // 3:
        assert unquote(sent.decode()) == text


def test_a_long_text_is_cut_between_characters():
    sent = dict(End(Status.INTERNAL, "ä" * 5000).trailers())[b"grpc-message"]
    assert len(sent) <= TEXT_BYTES + 20
    assert set(unquote(sent.decode())) == {"ä", "…"}


def test_a_report_lists_as_many_problems_as_fit():
    problems = [
        Problem(
            rule="G-01",
            code="graph.odd",
            severity=Severity.ERROR if n % 2 else Severity.WARNING,
            message=f"agent {n} is ö%d",
            at=("nodes", n),
        )
        for n in range(300)
    ]
    end = end_of(invalid("x", problems))
    sent = dict(end.trailers())[b"grpc-message"]
    assert len(sent) <= TEXT_BYTES
    prefix, _, report = unquote(sent.decode()).partition(": ")
    assert prefix == "input_validation_failed"
    found = json.loads(report)
    assert (found["ok"], found["error_count"]) == (False, 150)
    assert 0 < len(found["issues"]) == len(found["errors"]) < 150
    assert found["errors"][0] == "nodes[1]: agent 1 is ö%d"


async def test_a_refusal_is_a_whole_answer():
    sent = []

    async def send(event):
        sent.append(event)

    await refuse(send, NotFoundError("gone"))
    assert [event["type"].rpartition(".")[2] for event in sent] == ["start", "body", "trailers"]
    assert sent[0]["trailers"] is True
    assert (b"grpc-status", b"5") in sent[2]["headers"]
