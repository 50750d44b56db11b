import pytest

from mnedge.model.tracing import parsed
from mnedge.observe.traces import Span, Spans, intent


def span(n, trace="a" * 32):
    return Span(trace_id=trace, span_id=f"{n:016x}", name=str(n), started_at=-n, ended_at=n)


def test_the_newest_are_kept_and_everybody_who_listens_hears():
    spans, heard = Spans(3), []
    spans.listeners.append(heard.append)
    for n in range(1, 6):
        spans.add(span(n))
    assert [s.name for s in spans.newest(2)] == ["5", "4"]
    assert [s.name for s in spans.of_trace("a" * 32)] == ["5", "4", "3"], "as they began"
    assert len(heard) == 5
    assert spans.of_trace("b" * 32) == []


def test_a_request_is_a_span_in_its_callers_trace():
    spans, dates = Spans(), iter([10.0, 12.5])
    asked = f"00-{'c' * 32}-{'d' * 16}-00"
    with intent(spans, "POST /api/v1/jobs", asked, lambda: next(dates)) as request:
        request.attributes["http.status"] = 201
        context = request.context
    (told,) = spans.newest()
    assert (told.trace_id, told.parent_id, told.sampled) == ("c" * 32, "d" * 16, False)
    assert told.span_id == context.span_id != "d" * 16
    assert parsed(str(context)) == context
    assert (told.started_at, told.ended_at, told.status) == (10.0, 12.5, "ok")
    assert told.attributes == {"http.status": 201}


def test_a_request_without_a_caller_begins_a_trace_and_one_that_raises_is_an_error():
    spans = Spans()
    with pytest.raises(KeyError), intent(spans, "x", "nonsense", lambda: 1.0) as request:
        raise KeyError
    (told,) = spans.newest()
    assert told.status == "error"
    assert told.parent_id == ""
    assert parsed(str(request.context)).trace_id == told.trace_id
