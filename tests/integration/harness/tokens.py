# SPDX-License-Identifier: Apache-2.0
"""Compact tokens that are not made by the code under test: HS256 by the standard library, the others
by `cryptography`. `Key` is one signing key of an issuer; `key_set` what its JWKS says of several."""

import base64
import hashlib
import hmac
import json
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .certs import public_pem

SECRET = "integration-secret-0123456789abcdef-0123456789"
ALGS = ("RS256", "PS256", "ES256", "EdDSA")


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def compact(header, payload, make_signature):
    head = b64(json.dumps(header).encode())
    body = b64(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return f"{head}.{body}.{b64(make_signature(f'{head}.{body}'.encode()))}"


def sign(payload, secret=SECRET, header=None):
    secret = secret if isinstance(secret, bytes) else secret.encode()
    return compact(header or {"alg": "HS256", "typ": "JWT"}, payload,
                   lambda data: hmac.new(secret, data, hashlib.sha256).digest())


def claims_of(accounts=(), *, everything=False, sub="user-1", ttl=600.0, tenant=None, **more):
    claims = {"sub": sub, "exp": int(time.time() + ttl), "scope": "accounts.read", "accounts": accounts and list(accounts)}
    if everything:
        claims["scope"] = "accounts.read accounts.read.all"
    if tenant:
        claims["tenant"] = tenant
    claims.update(more)
    return {k: v for k, v in claims.items() if v is not None}


def token(accounts=(), **claims):
    return sign(claims_of(accounts, **claims))


class Key:
    """One key of an issuer, bound to one of ALGS."""

    def __init__(self, alg="ES256", kid=None, bits=2048):
        self.alg, self.kid = alg, kid
        if alg in ("RS256", "PS256"):
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        elif alg == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
        else:
            assert alg == "EdDSA", alg
            self.private = ed25519.Ed25519PrivateKey.generate()

    @property
    def pem(self):
        """Of the public key, text."""
        return public_pem(self.private).decode()

    def jwk(self, **more):
        """more: members to add, or with None to leave out."""
        number = self.private.public_key()
        if self.alg == "EdDSA":
            members = {"kty": "OKP", "crv": "Ed25519", "x": b64(number.public_bytes_raw())}
        elif self.alg == "ES256":
            at = number.public_numbers()
            members = {"kty": "EC", "crv": "P-256", "x": b64(at.x.to_bytes(32, "big")), "y": b64(at.y.to_bytes(32, "big"))}
        else:
            at = number.public_numbers()
            members = {"kty": "RSA", "n": b64(at.n.to_bytes((at.n.bit_length() + 7) // 8, "big")), "e": b64(at.e.to_bytes(3, "big"))}
        members |= {"alg": self.alg, "use": "sig", "kid": self.kid, **more}
        return {k: v for k, v in members.items() if v is not None}

    def signature(self, data, alg=None):
        alg = alg or self.alg
        if alg == "EdDSA":
            return self.private.sign(data)
        if alg == "ES256":
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        pad = padding.PKCS1v15() if alg == "RS256" else padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        return self.private.sign(data, pad, hashes.SHA256())

    def sign(self, payload, alg=None, header=None):
        """alg: how it is signed and what the header says, where that is not the key's own."""
        if header is None:
            header = {"alg": alg or self.alg, "typ": "JWT"} | ({"kid": self.kid} if self.kid else {})
        return compact(header, payload, lambda data: self.signature(data, alg))

    def token(self, accounts=(), alg=None, header=None, **claims):
        return self.sign(claims_of(accounts, **claims), alg, header)


def key_set(*keys):
    """A JWKS document of Keys or ready-made members, bytes."""
    return json.dumps({"keys": [k.jwk() if isinstance(k, Key) else k for k in keys]}).encode()
