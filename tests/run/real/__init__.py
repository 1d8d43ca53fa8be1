# SPDX-License-Identifier: Apache-2.0
"""`./dev up --real`: the demonstration on a real Kafka, Redis and PostgreSQL, with two replicas, a projector and a
ledger that moves money. The servers are those of the integration tests (tests/integration/harness)."""
