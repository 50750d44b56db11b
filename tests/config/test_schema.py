from mnedge.config.fitting import CHART_KEYS
from mnedge.config.schema import schema
from mnedge.config.settings import FileSettings


def test_the_schema_knows_every_key_and_refuses_others():
    found = schema()
    top = found["$defs"]["FileSettings"]
    assert set(top["properties"]) == set(FileSettings.__struct_encode_fields__)
    assert top["additionalProperties"] is False
    assert found["$ref"] == "#/$defs/FileSettings"


def test_durations_and_sizes_may_be_texts():
    limits = schema()["$defs"]["GatewayLimits"]["properties"]
    assert limits["maxBody"]["type"] == ["integer", "string"]
    assert limits["requestTimeout"]["type"] == ["number", "string"]
    assert limits["maxStreams"]["type"] == "integer"


def test_keys_of_the_chart_are_known():
    for section in ("Relay", "Soul", "Trace"):
        assert set(CHART_KEYS) < set(schema()["$defs"][section]["properties"])
