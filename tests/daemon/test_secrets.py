import pytest

from mnedge.config.settings import SecretRef
from mnedge.daemon.secrets import SecretAbsentError, SecretStoreUnknownError, resolver


def test_secrets_are_found_where_they_are_said_to_be(tmp_path):
    (tmp_path / "key").write_text("geheim\n")
    find = resolver({"K": "geheim", "CREDENTIALS_DIRECTORY": str(tmp_path)})
    for name, key in (("env", "K"), ("file", str(tmp_path / "key")), ("cred", "key")):
        assert find(SecretRef(name=name, key=key)) == "geheim"


@pytest.mark.parametrize(
    "name, key", [("env", "K"), ("file", "/nowhere"), ("cred", "key"), ("cred", "../key")]
)
def test_what_is_not_there_says_so(name, key):
    with pytest.raises(SecretAbsentError):
        resolver({})(SecretRef(name=name, key=key))


def test_an_empty_file_is_no_secret(tmp_path):
    (tmp_path / "key").write_text(" \n")
    with pytest.raises(SecretAbsentError, match="empty"):
        resolver({})(SecretRef(name="file", key=str(tmp_path / "key")))


def test_an_unknown_place_is_refused():
    with pytest.raises(SecretStoreUnknownError, match="vault"):
        resolver({})(SecretRef(name="vault", key="k"))
