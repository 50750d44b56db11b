"""How it is seen that a suite notices something."""

import pytest


@pytest.fixture
def notices():
    async def notices(test, *subjects):
        try:
            await test(*subjects)
        except (Exception, pytest.fail.Exception):
            return True
        return False

    return notices
