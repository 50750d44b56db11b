from pathlib import Path

import msgspec
import pytest

from mnedge.config.settings import Config, Listen, Relay, Soul


def test_sections_are_spelled_in_camel_case():
    given = {"listen": {"http": "127.0.0.1:8080", "allowPlain": True}}
    assert msgspec.convert(given, Relay).listen == Listen(http="127.0.0.1:8080", allow_plain=True)
    assert msgspec.to_builtins(Soul())["policies"] == {"tokenTTL": 3600.0}


def test_an_unknown_key_is_an_error():
    with pytest.raises(msgspec.ValidationError, match="lisen"):
        msgspec.convert({"lisen": {}}, Relay)


def test_the_socket_lies_in_the_data_directory_unless_it_is_named():
    config = Config(data_dir=Path("/d"), runs_root=Path("/r"), home=Path("/h"), environ={})
    assert config.socket == Path("/d/mnedge.sock")
    named = msgspec.structs.replace(config, relay=Relay(listen=Listen(socket="/run/x.sock")))
    assert named.socket == Path("/run/x.sock")
