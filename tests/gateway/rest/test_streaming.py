from mnedge.gateway.rest.streaming import frame, told_frame
from mnedge.store.runs.places import Head, Mark, Place, Told


def test_an_event_is_framed_with_its_id_and_type():
    assert frame(b"{}", event="tick", mark="1") == b"id: 1\nevent: tick\ndata: {}\n\n"
    assert frame(b"{}") == b"data: {}\n\n"


def test_a_type_that_a_worker_chose_cannot_begin_another_line():
    assert frame(b"{}", event="a\ndata: b\r\n") == b"event: a_data: b__\ndata: {}\n\n"


def test_a_record_is_framed_once_for_all_its_readers():
    told = Told(mark=Mark(7, 2), head=Head(type="t"), line=b'{"a":1}', end=Place(1, 8))
    first = told_frame(told)
    assert first == b'id: 7.2\nevent: t\ndata: {"a":1}\n\n'
    assert told_frame(told) is first
    assert told_frame(told, "job:7").startswith(b"id: job:7\n")
