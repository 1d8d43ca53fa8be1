# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests: an authority of its own, and what it signs for servers and clients. Made
anew for each test, by a library that is not the one under test.

    ca = Authority(folder)
    server = ca.server("localhost", "127.0.0.1")       # server.cert (chain), server.key: paths
    client = ca.client("staff-1")
    old = ca.server("localhost", days=-1)              # expired yesterday
"""

import datetime
import ipaddress
import pathlib
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
USAGE = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
         "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")


def new_key(kind="ec"):
    """"ec" (P-256), "rsa" (2048) or "ed25519"."""
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def public_pem(key):
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def named(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Certified:
    """A certificate (with what leads to its authority) and its key, as files and as objects."""

    def __init__(self, folder, stem, certificate, key, chain=()):
        self.certificate, self.private = certificate, key
        self.cert, self.key = pathlib.Path(folder, f"{stem}.pem"), pathlib.Path(folder, f"{stem}.key")
        # aside and renamed: a reader finds the old file or the new one
        replace(self.cert, b"".join(c.public_bytes(serialization.Encoding.PEM) for c in (certificate, *chain)))
        replace(self.key, private_pem(key))

    @property
    def fingerprint(self):
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def replace(path, content):
    aside = path.with_name(path.name + ".new")
    aside.write_bytes(content)
    aside.rename(path)


class Authority:
    """A root, or with `parent` an intermediate that goes into the chains of what it signs."""

    def __init__(self, folder, name="Test Authority", parent=None, stem=None, days=30):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.parent, self.name, self.private = parent, named(name), new_key()
        self.certificate = None
        self.certificate = self.issue(self.name, self.private, days=days, ca=True)
        stem = stem or name.lower().replace(" ", "-")
        made = Certified(self.folder, stem, self.certificate, self.private)
        self.cert, self.key = made.cert, made.key

    @property
    def chain(self):
        return (self.certificate, *self.parent.chain) if self.parent else ()

    def issue(self, subject, key, names=(), days=7, ca=False, usage=None, starts_days=None):
        """days < 0: it has expired; starts_days > 0: it is not valid yet."""
        signer = self.parent if ca and self.parent else self
        now = datetime.datetime.now(datetime.timezone.utc)
        begins = now + (DAY * starts_days if starts_days is not None else -DAY * (2 + max(0, -days)))
        allowed = {"key_cert_sign", "crl_sign"} if ca else {"digital_signature", "key_encipherment"}
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(signer.name)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(begins).not_valid_after(now + DAY * days)
                   .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
                   .add_extension(x509.KeyUsage(**{u: u in allowed for u in USAGE}), critical=True)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.private.public_key()),
                                  critical=False))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative(n) for n in names]), critical=False)
        if usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(signer.private, hashes.SHA256())

    def server(self, *names, key="ec", days=7, stem=None, **more):
        """For a server of these names and addresses; the same names again replace the files."""
        names = names or ("localhost", "127.0.0.1", "::1")
        private = new_key(key)
        certificate = self.issue(named(names[0]), private, names, days, usage=ExtendedKeyUsageOID.SERVER_AUTH, **more)
        return Certified(self.folder, stem or f"server-{names[0].replace('*', 'any').replace(':', '-')}", certificate, private, self.chain)

    def client(self, name, key="ec", days=7, stem=None, **more):
        private = new_key(key)
        certificate = self.issue(named(name), private, (), days, usage=ExtendedKeyUsageOID.CLIENT_AUTH, **more)
        return Certified(self.folder, stem or f"client-{name}", certificate, private, self.chain)

    def trusting(self, client=None):
        """A client's context that trusts this authority alone, with a client certificate if asked for."""
        context = ssl.create_default_context(cafile=str(self.cert))
        if client:
            context.load_cert_chain(client.cert, client.key)
        return context

    def serving(self, server):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.cert, server.key)
        return context
