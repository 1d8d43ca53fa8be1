# SPDX-License-Identifier: Apache-2.0
"""Compact HS256 tokens, made by the standard library alone: not by the code under test."""

import base64
import hashlib
import hmac
import json
import time

SECRET = "integration-secret-0123456789abcdef-0123456789"


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(payload, secret=SECRET, header=None):
    head = b64(json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode())
    body = b64(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    mac = hmac.new(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{b64(mac)}"


def token(accounts=(), *, everything=False, sub="user-1", ttl=600.0, tenant=None, **more):
    claims = {"sub": sub, "exp": int(time.time() + ttl), "scope": "accounts.read", "accounts": accounts and list(accounts)}
    if everything:
        claims["scope"] = "accounts.read accounts.read.all"
    if tenant:
        claims["tenant"] = tenant
    claims.update(more)
    return sign({k: v for k, v in claims.items() if v is not None})
