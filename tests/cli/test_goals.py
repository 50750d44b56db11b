def test_a_time_that_is_none_is_told(mnedge):
    told = mnedge("alert", "silence", "a", "--for", "soon", code=2)
    assert "soon" in told.err
    assert "30m" in told.err
