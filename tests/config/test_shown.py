import json

from mnedge.config.read import load_config
from mnedge.config.shown import document, leaves, shown, shown_value


def loaded(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return load_config({"HOME": "/h", "MNEDGE_CONFIG": str(path)})


def test_values_are_written_as_in_the_file(tmp_path):
    tree = shown(loaded(tmp_path, "daemon: {grace: 90}\n").config)
    assert tree["relay"]["limits"]["maxBody"] == "64Mi"
    assert tree["soul"]["policies"] == {"tokenTTL": "1h"}
    assert tree["daemon"]["grace"] == "90s"
    assert tree["data_dir"] == "/h/.mn/mnedge"


def test_what_is_shown_loads_again(tmp_path):
    before = loaded(tmp_path, "node: a\nrelay: {adapters: [{name: x, mock: true}]}\n")
    after = loaded(tmp_path, json.dumps(shown(before.config)))
    assert shown(after.config) == shown(before.config)


def test_secrets_are_hidden(tmp_path):
    text = """
trace:
  otel: {headers: {authorization: Bearer geheim, tenant: {name: env, key: T}}}
  notify:
    - name: n
      skill: webhook
      settings: {url: 'https://hooks.example/geheim/x', token: geheim, deep: [{password: geheim}]}
"""
    told = document(loaded(tmp_path, text))
    assert "geheim" not in json.dumps(told)
    assert told["config"]["trace"]["otel"]["headers"]["tenant"] == {"name": "env", "key": "T"}


def test_a_document_has_an_origin_for_every_value(tmp_path):
    told = document(loaded(tmp_path, "node: a\nrelay: {listen: {http: '127.0.0.1:0'}}\n"))
    assert set(told["origins"]) == {path for path, _ in leaves(told["config"])}
    assert told["origins"]["relay.listen.http"]["source"] == "file"
    assert told["origins"]["relay.listen.grpc"]["source"] == "default"


def test_one_value_is_shown_as_among_all():
    assert shown_value("relay.limits.maxBody", 1 << 20) == "1Mi"
    assert shown_value("daemon.grace", 5.0) == "5s"
    assert shown_value("trace.otel.headers", {"a": "geheim"}) == {"a": "[REDACTED]"}
    assert shown_value("relay.listen.tls.certFile", "/c") == "/c"
