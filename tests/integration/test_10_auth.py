# SPDX-License-Identifier: Apache-2.0
"""Who may see what, from every place a token can stand in."""

import asyncio
import json
import time

import pytest
import websockets

from harness.native import Closed, Native
from harness.tokens import sign, token


def run(coroutine):
    return asyncio.run(coroutine)


async def refused_status(gateway, url=None, headers=None, protocols=("bgw.v1",)):
    with pytest.raises(websockets.InvalidStatus) as refusal:
        await websockets.connect(url or gateway.ws, subprotocols=list(protocols) or None, additional_headers=headers, proxy=None)
    response = refusal.value.response
    return response.status_code, response.headers, json.loads(response.body or b"{}")


def test_token_in_header_gets_hello_at_once(gateway):
    async def go():
        async with Native(gateway, token(["A"])) as c:
            hello = await c.expect("hello")
            assert hello["ping_s"] == 20 and hello["epoch"] and hello["conn"]
    run(go())


def test_token_in_query_gets_hello_at_once(gateway):
    async def go():
        async with Native(f"{gateway.ws}?access_token={token(['A'])}") as c:
            await c.expect("hello")
    run(go())


def test_token_in_first_message_gets_hello(gateway):
    async def go():
        async with Native(gateway, token(["A"]), header=False) as c:
            await c.expect("hello")
    run(go())


@pytest.mark.parametrize("bad", ["nonsense", token(ttl=-10), token(["A"])[:-2] + "xx",
                                 sign({"sub": "x", "exp": 9999999999, "scope": "accounts.read"}, header={"alg": "none"})])
def test_bad_token_in_header_or_query_is_401_before_the_upgrade(gateway, bad):
    async def go():
        for args in ({"headers": {"Authorization": f"Bearer {bad}"}}, {"url": f"{gateway.ws}?access_token={bad}"}):
            status, headers, body = await refused_status(gateway, **args)
            assert status == 401 and body["code"] and "WWW-Authenticate" in headers
    run(go())


def test_without_token_only_the_native_dialect_is_upgraded(gateway):
    async def go():
        status, _, _ = await refused_status(gateway, protocols=())
        assert status == 401
    run(go())


def test_bad_token_in_hello_ends_with_3500(gateway):
    async def go():
        async with Native(gateway, "nonsense", header=False) as c:
            with pytest.raises(Closed) as closed:
                await c.drain(10)
            assert closed.value.code == 3500 and c.bye["code"] == 3500
    run(go())


def test_silence_instead_of_hello_is_cut(feed, gateway):
    async def go():
        began = time.monotonic()
        async with Native(gateway) as c:
            with pytest.raises(Closed) as closed:
                await c.drain(20)
            assert closed.value.code == 3500 and 4 < time.monotonic() - began < 14
    run(go())


def test_denied_keys_are_named_and_the_rest_is_live(gateway, feed):
    async def go():
        feed.put("A", 100)
        feed.put("B", 200)
        feed.flush()
        async with Native(gateway, token(["A"])) as c:
            reply = await c.sub("A", "B", "bad key")
            assert reply["ok"] == ["A"]
            assert {(d["key"], d["code"]) for d in reply["denied"]} == {("B", "no_grant"), ("bad key", "bad_id")}
            feed.put("B", 999)
            feed.put("A", 101)
            feed.flush()
            await c.until(lambda: c.balance("A") == 101)
            assert c.balance("B") is None
            c.check()
    run(go())


def test_rich_authorization_details_grant_their_identifiers(gateway, feed):
    async def go():
        feed.put("A", 1)
        feed.flush()
        details = [{"type": "account_balance", "actions": ["read"], "identifiers": ["A"]},
                   {"type": "account_balance", "actions": ["write"], "identifiers": ["B"]}]
        async with Native(gateway, token(None, scope=None, authorization_details=details)) as c:
            reply = await c.sub("A", "B")
            assert reply["ok"] == ["A"] and [d["key"] for d in reply["denied"]] == ["B"]
    run(go())


def test_staff_see_every_account_of_their_tenant_alone(gateway, feed):
    async def go():
        feed.put("A", 1, tenant="t1", key="A|t1|NGN")
        feed.put("A", 2, tenant="t2", key="A|t2|NGN")
        feed.flush()
        for tenant, amount in (("t1", 1), ("t2", 2)):
            async with Native(gateway, token(everything=True, tenant=tenant)) as c:
                await c.sub("A")
                assert c.balance("A") == amount
    run(go())


def test_expiry_ends_the_stream_at_delivery(gateway, feed):
    async def go():
        feed.put("A", 1)
        feed.flush()
        expires = int(time.time()) + 8
        async with Native(gateway, token(["A"], exp=expires)) as c:
            await c.sub("A")
            try:
                while True:
                    feed.put("A", int(time.time()))  # the balance says when it was put, however late it is read here
                    await c.receive()
                    assert c.balance("A") <= expires
            except Closed as closed:
                assert closed.code == 3005
            assert c.bye["code"] == 3005
    run(go())


def test_refresh_keeps_the_stream_and_moves_the_grants(gateway, feed):
    async def go():
        for account in "AB":
            feed.put(account, 1)
        feed.flush()
        expires = int(time.time()) + 8
        async with Native(gateway, token(["A", "B"], exp=expires)) as c:
            await c.sub("A", "B")
            ident = await c.command("auth", token=token(["A", "C"]))
            await c.expect("ok", id=ident)
            await c.until(lambda: c.revoked == ["B"], what="revoked B")
            feed.put("B", 2)
            feed.put("A", 2)
            feed.flush()
            await c.until(lambda: c.balance("A") == 2)
            assert c.balance("B") == 1
            assert (await c.sub("C"))["ok"] == ["C"]
            await c.drain(expires + 1 - time.time())  # past the first token's expiry
            feed.put("A", 3)
            feed.flush()
            await c.until(lambda: c.balance("A") == 3)
            c.hashes.pop(("B", "NGN"))
    run(go())


def test_refresh_to_another_subject_is_refused(gateway):
    async def go():
        async with Native(gateway, token(["A"], sub="one")) as c:
            ident = await c.command("auth", token=token(["A"], sub="two"))
            assert (await c.expect("err", id=ident))["code"] == "other_subject"
    run(go())
