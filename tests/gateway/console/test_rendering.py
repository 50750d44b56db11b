import pytest

from mnedge.gateway.console.rendering import build, environment, moved, own_path


@pytest.mark.parametrize(
    "wanted", ["//evil", "/\\evil", "https://evil", "javascript:x", "", "evil", "/a\\b", "/a\nb"]
)
def test_only_own_pages_are_gone_to(wanted):
    assert own_path(wanted) == "/"


def test_own_pages_keep_what_they_ask_for():
    assert own_path("/jobs?status=failed#x") == "/jobs?status=failed#x"


def test_what_was_done_is_carried_as_a_word_in_its_place():
    assert moved("/jobs", "cancel").headers["location"] == "/jobs?done=cancel"
    assert moved("/jobs?q=1#top", "cancel").headers["location"] == "/jobs?q=1&done=cancel#top"


def test_templates_escape_whatever_they_are_given():
    text = environment().from_string("{{ x }}").render(x="<b>&\"'")
    assert text == "&lt;b&gt;&amp;&#34;&#39;"


def test_a_build_has_one_name():
    assert build() == build()
    assert len(build()) == 12
