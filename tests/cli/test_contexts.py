"""Names of nodes, kept for one user."""

import pytest

from mnedge.cli import contexts
from mnedge.cli.contexts import Context, Contexts


@pytest.fixture
def environ(tmp_path):
    return {"MN_HOME": str(tmp_path)}


def test_what_is_written_is_read_again_and_nobody_else_may(environ):
    kept = Contexts(current="a", contexts={"a": Context(url="https://a", fingerprint="ab")})
    contexts.write(environ, kept)
    assert contexts.read(environ) == kept
    assert contexts.current(environ) == "a"
    assert contexts.place(environ).stat().st_mode & 0o777 == 0o600
    assert [one.name for one in contexts.place(environ).parent.iterdir()] == ["contexts.yaml"]


def test_nothing_is_kept_at_first(environ):
    assert contexts.read(environ) == Contexts()
    assert contexts.current(environ) == ""


def test_a_file_that_is_not_ours_is_refused(environ):
    contexts.write(environ, Contexts())
    contexts.place(environ).write_text("contexts: [1]")
    with pytest.raises(contexts.ContextsUnreadableError, match="contexts"):
        contexts.read(environ)


@pytest.mark.parametrize(
    "name, more",
    [
        ("a b", {}),
        ("here", {}),
        ("a", {"url": "ftp://x"}),
        ("a", {"url": "https://x/path"}),
        ("a", {"fingerprint": "12"}),
        ("a", {"ca": "/no/such/file"}),
    ],
)
def test_what_cannot_be_used_is_refused(name, more):
    with pytest.raises(contexts.ContextInvalidError):
        contexts.checked(name, Context(**({"url": "https://x"} | more)))


def test_an_address_needs_no_name_and_a_misspelt_name_is_offered(environ):
    assert contexts.found("http://x:1/", environ).url == "http://x:1"
    contexts.write(environ, Contexts(contexts={"edge": Context(url="https://edge")}))
    assert contexts.found("edge", environ).url == "https://edge"
    with pytest.raises(contexts.ContextNotFoundError) as caught:
        contexts.found("edgy", environ)
    assert "edge" in caught.value.hint


def test_the_token_is_that_of_the_option_the_environment_or_the_context(tmp_path):
    for name in ("own", "other"):
        (tmp_path / name).write_text(f"{name}\n")
    context = Context(url="https://x", token_file=str(tmp_path / "own"))
    assert contexts.token_of(context, None, {}) == "own"
    assert contexts.token_of(context, None, {"MNEDGE_TOKEN": " env "}) == "env"
    assert contexts.token_of(context, str(tmp_path / "other"), {"MNEDGE_TOKEN": "env"}) == "other"
    assert contexts.token_of(Context(url="https://x"), None, {}) == ""
    with pytest.raises(contexts.TokenUnreadableError):
        contexts.token_of(context, str(tmp_path / "gone"), {})
