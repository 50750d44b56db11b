from mnedge.cli.models import _row, _used


def texts(cells):
    return [cell.text for cell in cells]


def adapter(**more):
    plain = {"name": "a", "base_url": "https://x", "mock": False, "models": {}, "fallback": []}
    return {**plain, "busy": 0, "state": "closed", **more}


def test_an_adapter_says_whether_it_is_asked_and_for_what():
    assert texts(_row(adapter())) == ["a", "asked", "0", "https://x", "any"]
    failing = adapter(state="open", fallback=["b", "c"], models={"m": "x"})
    assert texts(_row(failing))[1::3] == ["left alone", "m; else b, c"]
    assert texts(_row(adapter(mock=True)))[1] == "mock"


def test_an_account_says_whether_it_was_guessed():
    account = {"day": "2026-11-26", "adapter": "a", "model": "m", "caller": "ada", "requests": 2}
    account |= {"prompt_tokens": 5, "completion_tokens": 7, "estimated_tokens": 12}
    assert texts(_used(account)) == ["2026-11-26", "a", "m", "ada", "2", "5", "7", "partly a guess"]
