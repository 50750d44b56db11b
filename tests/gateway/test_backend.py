from mnedge.gateway.backend import Backend
from tests.gateway.backends import a_backend


async def test_the_configuration_is_the_one_that_holds_now(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, rig):
        assert isinstance(backend, Backend)
        assert backend.config is rig.config
