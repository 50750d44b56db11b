"""Options that hold JSON."""

import pytest

from mnedge.cli.options import OptionInvalidError, given, given_value


def test_a_value_may_be_anything_and_stand_in_a_file(tmp_path):
    assert given_value("--value", "[1, null]") == [1, None]
    (tmp_path / "v.json").write_text('{"a": 1}')
    assert given("--x", f"@{tmp_path}/v.json") == {"a": 1}


@pytest.mark.parametrize(
    "text,says",
    [("{", "is not JSON"), ("@/nowhere/x.json", "cannot be read"), ("[1]", "not a list")],
)
def test_what_cannot_be_used_is_refused(text, says):
    with pytest.raises(OptionInvalidError, match=says):
        given("--x", text)
