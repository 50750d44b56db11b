import inspect

import msgspec

from mnedge.gateway.rest import shapes

KINDS = [
    kind
    for _, kind in inspect.getmembers(shapes, inspect.isclass)
    if issubclass(kind, shapes.Shape) and kind is not shapes.Shape
]


def test_every_shape_can_be_described_and_says_what_it_is():
    described, components = msgspec.json.schema_components(KINDS, ref_template="#/{name}")
    assert len(described) == len(KINDS)
    for kind in KINDS:
        assert components[kind.__name__]["description"] == kind.__doc__


def test_a_list_always_says_whether_there_is_more():
    assert msgspec.json.encode(shapes.Listed(data=[])) == b'{"data":[],"next":null}'
