from mnedge.gateway.console.routes import routes


def test_every_path_takes_one_method_once():
    seen = [(route.path, method) for route in routes() for method in route.methods - {"HEAD"}]
    assert len(seen) == len(set(seen))


def test_pages_are_read_and_forms_are_sent():
    methods = {frozenset(route.methods) for route in routes()}
    assert methods == {frozenset({"GET", "HEAD"}), frozenset({"POST"})}


def test_no_page_lies_where_programs_ask():
    assert not [route.path for route in routes() if route.path.startswith(("/api", "/v1", "/llm"))]
