"""The certificate that the node makes for itself when it speaks TLS and was given none.

Nobody vouches for it: clients are given its fingerprint, or the file itself, by hand.
"""

import ipaddress
import socket
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from msgspec import Struct

from mnedge.identity.private_files import locked, private_folder, read_private, write_private
from mnedge.identity.refusals import KeyFileDamagedError

if TYPE_CHECKING:
    from cryptography import x509

LASTS_DAYS = 397
RENEWED_BEFORE_DAYS = 30
_LONGEST_NAME = 64
_DAY_S = 86_400


class OwnCertificate(Struct, frozen=True):
    """Where the two halves are."""

    certificate: Path
    key: Path


def own_certificate(
    data_dir: Path, node: str, now: float, names: list[str] | None = None
) -> OwnCertificate:
    """Return the node's own certificate; make one if there is none, or it soon ends.

    `names`: host names and addresses it is for, else those of this machine.
    Raises: KeyFileUnsafeError if others can read its key.
    """
    folder = private_folder(data_dir / "identity")
    own = OwnCertificate(folder / "tls.crt", folder / "tls.key")
    with locked(folder / "lock"):
        key = read_private(own.key)
        if key is not None and own.certificate.is_file() and not _ends_soon(own.certificate, now):
            return own
        certificate, key = _made(node, names_of_machine(node) if names is None else names, now)
        write_private(own.key, key)
        write_private(own.certificate, certificate)
    return own


def fingerprint_of(certificate: Path) -> str:
    """Return the SHA-256 fingerprint as people compare it: `AB:CD:…`."""
    from cryptography.hazmat.primitives.serialization import Encoding

    digest = sha256(_loaded(certificate).public_bytes(Encoding.DER)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def ends_at(certificate: Path) -> float:
    """Return when the certificate ends."""
    return _loaded(certificate).not_valid_after_utc.timestamp()


def names_of_machine(node: str) -> list[str]:
    """Return the names and addresses by which this machine may be called."""
    names = ["localhost", node, socket.gethostname(), socket.getfqdn()]
    for addresses in psutil.net_if_addrs().values():
        names += [
            one.address.partition("%")[0]
            for one in addresses
            if one.family in (socket.AF_INET, socket.AF_INET6)
        ]
    return list(dict.fromkeys(name for name in names if name))


def _made(node: str, names: list[str], now: float) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    begins = datetime.fromtimestamp(now, UTC) - timedelta(days=1)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node[:_LONGEST_NAME] or "mnedge")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=LASTS_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _general_names(names: list[str]) -> list["x509.GeneralName"]:
    from cryptography import x509

    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            if name.isascii():
                found.append(x509.DNSName(name))
    return found


def _ends_soon(certificate: Path, now: float) -> bool:
    return ends_at(certificate) - now < RENEWED_BEFORE_DAYS * _DAY_S


def _loaded(certificate: Path) -> "x509.Certificate":
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes())
    except ValueError as error:
        raise KeyFileDamagedError(
            f"{certificate} holds no certificate: {error}", hint="delete it: a new one is made"
        ) from None
