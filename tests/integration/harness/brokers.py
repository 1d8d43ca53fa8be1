# SPDX-License-Identifier: Apache-2.0
"""@BOTH_BROKERS: the test's `gateway` is once on its embedded broker, once on the real one."""

import pytest

BOTH_BROKERS = pytest.mark.parametrize("gateway", ["embedded", "kafka"], indirect=True)
