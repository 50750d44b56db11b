import pytest

from mnedge.config.current import HOT, Current, is_hot
from mnedge.config.read import load_config
from mnedge.config.shown import leaves, shown


@pytest.fixture
def load(tmp_path):
    def loaded(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return load_config({"HOME": "/h", "MNEDGE_CONFIG": str(path)})

    return loaded


def test_hot_settings_are_the_new_ones_and_others_stay(load):
    current = Current(load("node: a\nrelay: {rateLimit: {burst: 5}}\n"))
    changes = current.replace(
        load("node: b\nrelay: {rateLimit: {burst: 7}, listen: {http: '127.0.0.1:0'}}\n")
    )
    assert {(change.path, change.hot) for change in changes} == {
        ("node", False),
        ("relay.rateLimit.burst", True),
        ("relay.listen.http", False),
    }
    assert current().relay.rate_limit.burst == 7
    assert current().relay.listen.http is None
    assert current().node == "a"
    assert current.loaded.config is current()


def test_what_waits_for_a_restart_is_told_each_time(load):
    current = Current(load("node: a\n"))
    assert [change.path for change in current.replace(load("node: b\n"))] == ["node"]
    assert [change.path for change in current.replace(load("node: b\n"))] == ["node"]
    assert current.replace(load("node: a\n")) == []


def test_changes_show_values_as_the_file_has_them(load):
    current = Current(load("daemon: {grace: 10s}\n"))
    [change] = current.replace(load("daemon: {grace: 60}\n"))
    assert (change.before, change.after, change.hot) == ("10s", "1m", True)
    [change] = current.replace(load("daemon: {grace: 60}\ntrace: {otel: {headers: {a: geheim}}}\n"))
    assert "geheim" not in str(change)


def test_whose_releases_are_taken_waits_for_no_restart(load):
    current = Current(load("updates: {settle: 10s}\n"))
    changes = current.replace(load("updates: {settle: 4s, healthTimeout: 8s}\n"))
    assert [(change.path, change.hot) for change in changes] == [
        ("updates.healthTimeout", True),
        ("updates.settle", True),
    ]
    assert current().updates.settle == 4.0


def test_every_hot_path_is_a_setting(load):
    known = [path for path, _ in leaves(shown(load("").config))]
    for hot in HOT:
        assert any(path == hot or path.startswith(f"{hot}.") for path in known), hot
    assert is_hot("relay.limits.maxBody")
    assert is_hot("trace.slos[0].name")
    assert not is_hot("relay.limitsOther")
