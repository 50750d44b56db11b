"""An installed node made of files."""

import pytest

from tests.updates.fake_root import FakeRoot


@pytest.fixture
def root(tmp_path):
    return FakeRoot(tmp_path / "root")
