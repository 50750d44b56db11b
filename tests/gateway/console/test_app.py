from mnedge.gateway.console.app import application


def test_pages_know_the_node_and_whom_they_ask():
    backend, api = object(), object()
    made = application(backend, api)
    assert made.state.backend is backend
    assert made.state.api is api
