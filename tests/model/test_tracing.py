import pytest

from mnedge.model import tracing
from mnedge.model.tracing import TraceParent, job_context, launch_context, parsed, parsed_state

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_a_traceparent_is_read_and_written_alike():
    text = f"00-{TRACE}-{SPAN}-01"
    assert parsed(text) == TraceParent(TRACE, SPAN, 1)
    assert str(parsed(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-1",
    ],
)
def test_what_is_none_is_nothing(text):
    assert parsed(text) is None


def test_a_later_version_is_read_as_far_as_it_is_known():
    assert parsed(f"cc-{TRACE}-{SPAN}-01-what-comes") == TraceParent(TRACE, SPAN, 1)
    assert parsed(f"00-{TRACE}-{SPAN}-fe") == TraceParent(TRACE, SPAN, 0)


def test_a_job_joins_the_trace_of_its_request():
    context = job_context("job-1", f"00-{TRACE}-{SPAN}-00")
    assert context.trace_id == TRACE
    assert context.flags == 0, "who asked decides whether it is sampled"
    assert context.span_id not in (SPAN, "0" * 16)
    assert tracing.trace_id_of("job-1", f"00-{TRACE}-{SPAN}-00") == TRACE


def test_a_job_of_its_own_has_its_own_trace_the_same_after_every_restart():
    assert job_context("job-1") == job_context("job-1", "garbage")
    assert job_context("job-1").trace_id != job_context("job-2").trace_id
    assert parsed(str(job_context("job-1"))) == job_context("job-1")


def test_a_relaunch_is_another_span_of_the_same_trace():
    first = launch_context("job-1", "a:1", 1)
    second = launch_context("job-1", "a:1", 2)
    assert first.trace_id == second.trace_id == job_context("job-1").trace_id
    spans = {first.span_id, second.span_id, tracing.job_span_id("job-1"),
             tracing.step_span_id("job-1", "a:1")}  # fmt: skip
    assert len(spans) == 4


def test_a_tracestate_is_passed_on_or_dropped_whole():
    assert parsed_state("rojo=00f067, congo=t61rcWkgMzE") == "rojo=00f067,congo=t61rcWkgMzE"
    assert parsed_state("tenant@vendor=x") == "tenant@vendor=x"
    assert parsed_state("") == ""
    assert parsed_state("a=1,a=2") == ""
    assert parsed_state("bad key=1") == ""
    assert parsed_state("a=1\nb=2") == ""
    assert parsed_state(",".join(f"k{n}=1" for n in range(33))) == ""
    assert parsed_state(",".join(f"k{n}={'x' * 200}" for n in range(3))) == ""
