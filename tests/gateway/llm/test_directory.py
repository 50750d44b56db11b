import pytest

from mnedge.config.settings import Adapter, Route
from mnedge.gateway.llm.directory import AdaptersInvalidError, Directory, upstream_url
from mnedge.gateway.llm.refusals import ModelUnknownError, RouteUnknownError

CHAT = "/v1/chat/completions"


def adapter(name, **more):
    return Adapter(name=name, base_url=f"https://{name}.example", **more)


def test_a_path_is_served_at_the_root_and_below_the_name_of_the_adapter():
    directory = Directory([adapter("openai")])
    assert directory.find(CHAT, "any").adapter.name == "openai"
    found = directory.find(f"/llm/openai{CHAT}", None)
    assert (found.adapter.name, found.path) == ("openai", CHAT)


def test_adapters_that_name_their_models_share_a_path():
    directory = Directory(
        [adapter("a", models={"big": "b-1"}), adapter("b", models={"small": "s"})]
    )
    assert directory.find(CHAT, "small").adapter.name == "b"
    assert directory.find(CHAT, "big").adapter.name == "a"
    with pytest.raises(ModelUnknownError, match="'huge'") as unknown:
        directory.find(CHAT, "huge")
    assert unknown.value.details["models"] == ["big", "small"]


def test_an_adapter_for_any_model_takes_what_nobody_else_names():
    directory = Directory([adapter("a", models={"big": "b"}), adapter("rest")])
    assert directory.find(CHAT, "other").adapter.name == "rest"
    assert directory.find(CHAT, "big").adapter.name == "a"


@pytest.mark.parametrize(
    "adapters, problem",
    [
        ([adapter("a"), adapter("b")], "both claim /v1/chat/completions"),
        ([adapter("a", models={"m": "x"}), adapter("b", models={"m": "y"})], "for 'm'"),
        ([adapter("a"), adapter("a")], "one name"),
        ([adapter("a", fallback=("c",))], "fallback 'c' is no adapter"),
    ],
)
def test_adapters_that_contradict_each_other_are_refused(adapters, problem):
    with pytest.raises(AdaptersInvalidError, match=problem):
        Directory(adapters)


def test_a_fallback_claims_no_path_of_its_own():
    directory = Directory([adapter("a", fallback=("b",)), adapter("b")])
    found = directory.find(CHAT, "m")
    assert found.adapter.name == "a"
    assert [other.adapter.name for other in directory.others(found)] == ["b"]
    assert directory.find(f"/llm/b{CHAT}", "m").adapter.name == "b"


def test_a_star_serves_all_that_begins_so():
    directory = Directory([adapter("vllm", routes=(Route(match="/gen*", max_body=7),))])
    assert directory.find("/generate", None).route.match == "/gen*"
    assert directory.most_body("/generate", "POST") == 7
    with pytest.raises(RouteUnknownError):
        directory.find("/other", None)
    with pytest.raises(RouteUnknownError):
        directory.most_body("/generate", "DELETE")


@pytest.mark.parametrize(
    "base, url",
    [
        ("https://h", f"https://h{CHAT}"),
        ("https://h/v1", f"https://h{CHAT}"),
        ("https://h/v1/", f"https://h{CHAT}"),
        ("https://h/api", f"https://h/api{CHAT}"),
        ("https://h/v", f"https://h/v{CHAT}"),
    ],
)
def test_a_shared_beginning_of_address_and_path_stands_once(base, url):
    assert upstream_url(Adapter(name="x", base_url=base), CHAT) == url
