import pytest

from mnedge.hot import native


@pytest.fixture
def fresh():
    """Forget what was loaded, before and after."""
    native.library.cache_clear()
    yield
    native.library.cache_clear()


def test_compiled_code_is_there_or_it_says_why_not():
    present, why = native.available()
    assert present == (why == "")


def test_it_can_be_switched_off(fresh, monkeypatch):
    monkeypatch.setenv("MNEDGE_NATIVE", "0")
    assert native.available() == (False, "switched off by MNEDGE_NATIVE=0")
    assert native.library()[:2] == (None, None)


def test_a_missing_module_is_no_error(fresh, monkeypatch):
    def missing(name):
        raise ImportError(f"no {name}")

    monkeypatch.setattr("mnedge.hot.native.import_module", missing)
    present, why = native.available()
    assert not present
    assert why == "the compiled module is not installed: no mnedge.hot._native"
