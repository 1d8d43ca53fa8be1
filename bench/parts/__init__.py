# SPDX-License-Identifier: Apache-2.0
"""What the scenarios of the bench are made of: child processes that are always ended, the servers that
are measured, the load client, and arithmetic. A scenario uses them in `with`; nothing outlives the run."""

from .children import SECRET, Certificate, Server, clean_env, tool
from .figures import micros, percent, ratios, slope_a_minute, summary
from .measure import (cpu_s, gauge, memory_kib, metric_quantile, metrics, read_load, rss_kib, sample_every, start_swarm, swarm,
                      threads_of, user_system)
from .servers import (SOCKETS_MAX, X25519, Fleet, Triggers, baseline, baselines, broker, free_port, gateway, gateways, kafka,
                      on_broker, processes_for, token)
from .sources import Origin, Redis, ledger_that_says_so, reader_env, switch, wait_channel

__all__ = ["SECRET", "SOCKETS_MAX", "X25519", "Certificate", "Fleet", "Origin", "Redis", "Server", "Triggers", "baseline", "baselines",
           "broker", "clean_env", "cpu_s", "free_port", "gateway", "gateways", "gauge", "kafka", "ledger_that_says_so", "memory_kib",
           "metric_quantile", "metrics", "micros", "on_broker", "percent", "processes_for", "ratios", "read_load", "reader_env", "rss_kib",
           "sample_every", "slope_a_minute", "start_swarm", "summary", "swarm", "switch", "threads_of", "token", "tool",
           "user_system", "wait_channel"]
