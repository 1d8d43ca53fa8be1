# SPDX-License-Identifier: Apache-2.0
"""It starts only with what it needs, says where it listens, and stops in order."""

import json
import os
import signal
import subprocess

import pytest

from harness.gateway import Gateway, clean_env
from harness.tokens import SECRET
from harness.wait import until


def run(*args, **env):
    return subprocess.run([os.environ["BGW_BIN"], *args], env=clean_env(**env), capture_output=True, text=True, timeout=30)


def test_ready_file_holds_the_bound_addresses(gateway):
    assert gateway.info["event"] == "ready"
    assert gateway.info["pid"] == gateway.proc.pid
    for member in ("listen", "admin", "kafka"):
        host, port = gateway.info[member].rsplit(":", 1)
        assert host == "127.0.0.1" and int(port) > 0
    assert gateway.info["version"]


def test_health_pages_answer_as_the_estate_expects(gateway):
    status, _, body = gateway.http("/health")
    health = json.loads(body)
    assert status == 200 and health["ok"] is True and health["service"] == "Atlas.Realtime"
    assert health["timestamp"] and health["version"]
    assert gateway.http("/livez")[0] == 200
    assert gateway.http("/readyz")[0] == 200
    assert isinstance(json.loads(gateway.http("/readyz?verbose")[2]), dict)


def test_ws_info_names_endpoint_and_features(gateway):
    info = json.loads(gateway.http("/ws/info")[2])
    assert info["endpoint"] == "/ws" and info["protocols"] == ["websocket"]
    assert info["features"] == ["balance-updates", "real-time-notifications"]


def test_metrics_are_well_formed(gateway):
    text = gateway.http("/metrics", admin=True)[2]
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "bgw_records_consumed_total" in text


def test_sigterm_ends_it_with_zero(gateway):
    assert gateway.stop() == 0


def test_second_signal_ends_it_at_once():
    with Gateway(BGW_DRAIN_S=30) as g:
        g.proc.send_signal(signal.SIGTERM)
        until(lambda: '"draining"' in g.log_text(), 10, "the first signal to be heard")  # two that wait are one
        g.proc.send_signal(signal.SIGTERM)
        until(lambda: g.proc.poll() is not None, 15, "the second signal to end it")
        g.ended = True


@pytest.mark.parametrize("missing, words", [("KAFKA_BOOTSTRAP", "KAFKA_BOOTSTRAP"), ("BGW_JWT_SECRET", "BGW_JWT_SECRET")])
def test_missing_essentials_are_named_and_exit_3(missing, words):
    env = {"KAFKA_BOOTSTRAP": "embedded", "BGW_JWT_SECRET": SECRET, "BGW_LISTEN": "127.0.0.1:0",
           "BGW_ADMIN_LISTEN": "127.0.0.1:0"}
    del env[missing]
    done = run("serve", **env)
    assert done.returncode == 3 and words in done.stderr


def test_unknown_key_names_the_nearest():
    done = run("serve", KAFKA_BOOTSTRAP="embedded", BGW_JWT_SECRET=SECRET, BGW_LISEN="127.0.0.1:0")
    assert done.returncode == 3 and "BGW_LISTEN" in done.stderr


def test_unknown_flag_names_the_nearest():
    done = run("serve", "--liste", "x")
    assert done.returncode in (2, 3) and "--listen" in done.stderr


def test_short_secret_is_refused_by_name():
    done = run("serve", KAFKA_BOOTSTRAP="embedded", BGW_JWT_SECRET="short", BGW_LISTEN="127.0.0.1:0")
    assert done.returncode == 3 and "BGW_JWT_SECRET" in done.stderr


def test_demo_secret_works_nowhere_else():
    demo_secret = "balance-gateway-demo-secret-everybody-knows-it"
    done = run("serve", KAFKA_BOOTSTRAP="embedded", BGW_JWT_SECRET=demo_secret, BGW_LISTEN="127.0.0.1:0",
               BGW_ADMIN_LISTEN="127.0.0.1:0")
    assert done.returncode == 3 and "--demo" in done.stderr


def test_config_shows_values_and_hides_secrets():
    done = run("config", BGW_JWT_SECRET=SECRET, BGW_PING_S="7")
    assert done.returncode == 0
    assert SECRET not in done.stdout and "BGW_PING_S=7" in done.stdout.replace(" ", "")


def test_port_in_use_is_said_in_words(gateway):
    done = run("serve", KAFKA_BOOTSTRAP="embedded", BGW_JWT_SECRET=SECRET, BGW_LISTEN="127.0.0.1:0",
               BGW_ADMIN_LISTEN=gateway.info["admin"])
    assert done.returncode != 0 and gateway.info["admin"] in done.stderr


def test_without_its_broker_it_is_alive_but_not_ready():
    with Gateway(kafka="127.0.0.1:1", wait=False) as g:
        until(lambda: '"listen' in g.log_text() or g.ready_path.exists() or len(g.log_text()) > 200, 10, "its first words")
        assert not g.ready_path.exists()
        assert g.proc.poll() is None
        assert g.stop() == 0


def test_version_prints_one_line():
    done = run("version")
    assert done.returncode == 0 and done.stdout.strip() and len(done.stdout.splitlines()) == 1


def test_ready_file_never_takes_the_place_of_what_is_no_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = run("serve", KAFKA_BOOTSTRAP="embedded", BGW_JWT_SECRET=SECRET, BGW_LISTEN="127.0.0.1:0", BGW_ADMIN_LISTEN="127.0.0.1:0",
               BGW_READY_FILE=pipe)
    assert done.returncode == 3 and "BGW_READY_FILE" in done.stderr + done.stdout
    assert pipe.is_fifo()
