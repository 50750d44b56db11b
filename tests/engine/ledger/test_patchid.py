"""When two patches are one."""

from mnedge.engine.ledger.patchid import canonical, digest
from mnedge.model.body import BlobRef


def test_the_order_of_keys_does_not_count():
    assert canonical({"b": 1, "a": [{"d": 1, "c": 2}]}) == b'{"a":[{"c":2,"d":1}],"b":1}'
    one = digest("r", [{"op": "add_step", "id": "a"}])
    assert one == digest("r", [{"id": "a", "op": "add_step"}])
    assert len(one) == len("sha256:") + 64


def test_the_order_of_operations_counts_and_the_region_does():
    ops = [{"op": "add_step", "id": "a"}, {"op": "add_step", "id": "b"}]
    assert digest("r", ops) != digest("r", ops[::-1])
    assert digest("r", ops) != digest("s", ops)


def test_large_values_count_by_what_they_are():
    one, other = BlobRef("sha256:aa", 100_000), BlobRef("sha256:bb", 100_000)
    assert canonical({"x": one}) == canonical({"x": BlobRef("sha256:aa", 100_000)})
    assert canonical({"x": one}) != canonical({"x": other})
