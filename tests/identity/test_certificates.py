"""The node's own certificate: for its names, kept, renewed in time, its key for nobody else."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mnedge.identity.certificates import (
    ends_at,
    fingerprint_of,
    names_of_machine,
    own_certificate,
)
from mnedge.identity.refusals import KeyFileDamagedError, KeyFileUnsafeError

START = 1_800_000_000.0
DAY = 86_400.0
NAMES = ["localhost", "edge", "127.0.0.1", "::1"]


def test_it_is_for_the_machine_s_names_and_addresses(tmp_path):
    own = own_certificate(tmp_path, "edge", START, NAMES)
    loaded = x509.load_pem_x509_certificate(own.certificate.read_bytes())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "edge"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    key = loaded.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert own.key.stat().st_mode & 0o777 == 0o600
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(own.certificate, own.key)


def test_it_stays_until_it_soon_ends(tmp_path):
    first = fingerprint_of(own_certificate(tmp_path, "edge", START, NAMES).certificate)
    later = own_certificate(tmp_path, "edge", START + 360 * DAY, NAMES)
    assert fingerprint_of(later.certificate) == first
    renewed = own_certificate(tmp_path, "edge", START + 370 * DAY, NAMES)
    assert fingerprint_of(renewed.certificate) != first
    assert ends_at(renewed.certificate) > START + 700 * DAY


def test_a_key_that_others_can_read_is_not_used(tmp_path):
    own = own_certificate(tmp_path, "edge", START, NAMES)
    own.key.chmod(0o644)
    with pytest.raises(KeyFileUnsafeError):
        own_certificate(tmp_path, "edge", START, NAMES)


def test_a_damaged_certificate_is_named(tmp_path):
    own = own_certificate(tmp_path, "edge", START, NAMES)
    own.certificate.write_text("nothing")
    with pytest.raises(KeyFileDamagedError):
        fingerprint_of(own.certificate)


def test_a_fingerprint_reads_as_people_compare_it(tmp_path):
    told = fingerprint_of(own_certificate(Path(tmp_path), "edge", START, NAMES).certificate)
    assert len(told.split(":")) == 32


def test_the_machine_knows_its_names():
    names = names_of_machine("edge")
    assert names[:2] == ["localhost", "edge"]
    assert "127.0.0.1" in names
