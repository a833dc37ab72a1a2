"""What a gate and one bridge know each other by: a token, and a certificate for that bridge alone.

Made anew for each instance and kept nowhere but in its Secret and in the gate's memory.
"""

import datetime as dt
import secrets
import ssl

from msgspec import Struct

_DAYS = 3650
"""The certificate is pinned, and lives as long as its instance: no clock of a node shall end it."""


class InstanceCredentials(Struct, frozen=True):
    """A token of 256 bits, and certificate and key in PEM."""

    token: str
    certificate: str
    key: str

    def client_context(self) -> ssl.SSLContext:
        """TLS to whoever has the key of this certificate, and to nobody else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # there is one certificate that it trusts: this one
        context.load_verify_locations(cadata=self.certificate)
        return context


def make_credentials() -> InstanceCredentials:
    """New ones."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gatelodge instance")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return InstanceCredentials(
        token=secrets.token_urlsafe(32),
        certificate=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )
