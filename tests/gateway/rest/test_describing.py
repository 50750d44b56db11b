import pytest
from openapi_spec_validator import validate

from mnedge.gateway.rest.app import ROUTES


@pytest.mark.drives("GET /api/v1/openapi.json")
async def test_the_api_describes_every_route_it_has(node):
    told = await node.get("/openapi.json")
    validate(told)
    described = {
        f"{method.upper()} {path}"
        for path, methods in told["paths"].items()
        for method in methods
        if method != "head"
    }
    assert described == {route.name for route in ROUTES}
    assert await node.get("/openapi.json") == told
