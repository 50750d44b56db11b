import pytest

from mnedge.gateway.llm.refusals import (
    BusyError,
    ModelUnknownError,
    UpstreamOpenError,
    UpstreamTimeoutError,
    error_body,
    error_headers,
)


@pytest.mark.parametrize(
    "error, status, kind",
    [
        (BusyError("busy", retry_after_s=0.2), 429, "rate_limit_error"),
        (ModelUnknownError("no", hint="there is x"), 404, "invalid_request_error"),
        (UpstreamTimeoutError("late"), 504, "api_error"),
    ],
)
def test_errors_have_the_shape_that_clients_read(error, status, kind):
    body = error_body(error)["error"]
    assert (error.http_status, body["type"], body["code"]) == (status, kind, error.code)
    assert error.message in body["message"]
    assert error.hint in body["message"]


def test_an_error_that_passes_says_when_to_come_back():
    assert error_headers(BusyError("busy", retry_after_s=0.2)) == {"retry-after": "1"}
    assert error_headers(UpstreamOpenError("open", retry_after_s=14.6)) == {"retry-after": "15"}
    assert error_headers(UpstreamTimeoutError("late")) == {}
