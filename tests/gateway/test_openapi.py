import json

import pytest
from openapi_spec_validator import validate

from mnedge.gateway.openapi import document
from mnedge.gateway.rest.app import ROUTES

DOCUMENT = json.loads(json.dumps(document(ROUTES)))


def test_the_description_is_valid_openapi():
    validate(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_route_is_described_with_scope_parameters_and_all_it_answers():
    for route in ROUTES:
        told = DOCUMENT["paths"][route.full_path][route.method.lower()]
        assert told["x-mnedge-scope"] == (None if route.scope is None else str(route.scope))
        statuses = {*map(str, route.answers), *map(str, route.refuses), "500"}
        assert statuses <= told["responses"].keys(), route.name
        assert ("requestBody" in told) == (route.body is not None), route.name
        for part in route.full_path.split("/"):
            if part.startswith("{"):
                names = [one["name"] for one in told["parameters"] if one["in"] == "path"]
                assert part[1:-1] in names


def test_names_of_operations_are_all_different():
    names = [
        method["operationId"] for path in DOCUMENT["paths"].values() for method in path.values()
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["Problem", "JobRecord", "FromManifest", "Definition"])
def test_types_are_described_once_and_referred_to(name):
    assert DOCUMENT["components"]["schemas"][name]["type"] == "object"


def test_what_a_body_may_be_is_told_form_by_form():
    post = DOCUMENT["paths"]["/api/v1/jobs"]["post"]
    content = post["requestBody"]["content"]
    assert set(content) == {"application/json", "application/zip"}
    assert len(content["application/json"]["schema"]["anyOf"]) == 5
