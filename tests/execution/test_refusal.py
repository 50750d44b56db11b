from mnedge.execution.refusal import RefusedError


def test_a_refusal_carries_its_text_and_whatever_else_it_knows():
    refused = RefusedError("no room", pool="gpu")
    assert str(refused) == "no room"
    assert refused.error == {"error": "no room", "pool": "gpu"}
