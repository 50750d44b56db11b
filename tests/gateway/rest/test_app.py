from mnedge.gateway.rest.app import ROUTES, application
from tests.gateway.backends import a_backend


async def test_the_api_of_a_node_has_every_route(tmp_path, autojump_clock):
    async with a_backend(tmp_path) as (backend, _):
        assert application(backend).routes == ROUTES
