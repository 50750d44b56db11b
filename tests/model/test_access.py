import pytest

from mnedge.model.access import Principal, Scope


@pytest.mark.parametrize(
    "has, may", [("read", "read"), ("operate", "read operate"), ("admin", "read operate admin")]
)
def test_a_scope_includes_the_ones_before_it(has, may):
    caller = Principal(name="user:ada", scope=Scope(has), kind="token")
    assert [scope.value for scope in Scope if caller.may(scope)] == may.split()
