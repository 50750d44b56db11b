import pytest

from tests.execution.node import Bench


@pytest.fixture
def bench(tmp_path):
    """Return a maker of benches; without runners it has the real one."""

    def make(*runners, environ=None, **settings):
        return Bench(tmp_path / "node", list(runners) or None, environ, **settings)

    return make
