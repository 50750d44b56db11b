"""Words in double braces."""

import pytest

from mnedge.bundle.source.placeholders import (
    filled_in,
    job_name_of,
    title,
    words_of_source,
    words_of_step,
)


def test_known_words_are_filled_in_wherever_they_stand_and_others_stay():
    words = {"id": "x", "label": "An X"}
    given = {"{{id}}": ["{{ id }}-{{label}}", {"deep": "{{other}} {{id}}"}, 3, None, "{id}"]}
    assert filled_in(given, words) == {
        "{{id}}": ["x-An X", {"deep": "{{other}} x"}, 3, None, "{id}"]
    }


@pytest.mark.parametrize(
    "name, words",
    [("read_gauge", "Read Gauge"), ("a-b c", "A B C"), ("iPhone", "IPhone"), ("", "")],
)
def test_a_title_is_made_of_words(name, words):
    assert title(name) == words


def test_the_words_of_a_manifest():
    assert words_of_source({"identity": {"id": "night_watch", "name": "The watch"}}) == {
        "id": "night_watch",
        "blueprint_id": "night_watch",
        "name": "The watch",
        "job_name": "night-watch",
        "id_title": "Night Watch",
        "label": "The watch",
    }


def test_the_words_of_a_step():
    words = words_of_step({"id": "read_it", "label": "Do {{id_title}}", "kind": "sink"}, "watch")
    assert words == {
        "id": "read_it",
        "step_id": "read_it",
        "id_title": "Read It",
        "label": "Do Read It",
        "kind": "sink",
        "blueprint_id": "watch",
    }
    assert words_of_step({"id": "read_it"}, "watch")["label"] == "Read It"


def test_a_declared_job_name_counts():
    assert job_name_of({"id": "a_b", "job_name": "other"}) == "other"
    assert job_name_of({"id": "a_b"}) == "a-b"
