# SPDX-License-Identifier: Apache-2.0
"""The suite `lint`: `python3 -m tests.lint` from the checkout. Every rule applied to every file is
one check; the last line counts them."""

import sys

from . import api, rooms, scripts, sources, tables
from .files import Files


def main():
    files = Files()
    passed, failures, remarks = 0, [], []
    for rule in (*rooms.RULES, *sources.RULES, *scripts.RULES, *tables.RULES, *api.RULES):
        for name, complaints in rule(files, remarks):
            if complaints:
                failures.append((rule.__name__, name, complaints))
            else:
                passed += 1
    for remark in remarks:
        print(f"remark: {remark}")
    for rule, name, complaints in failures:
        for complaint in complaints:
            print(f"{name}: {complaint} ({rule})")
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures or not passed else 0


sys.exit(main())
