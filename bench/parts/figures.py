# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of figures. A figure that is published is a median with the least and the most beside it."""

import re
import statistics


def summary(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values), "n": len(values)}


def ratios(over, under):
    """Pair by pair, never median by median: what drifts, drifts in both halves of a pair."""
    if len(over) != len(under):
        raise ValueError(f"{len(over)} against {len(under)} values are not pairs")
    return summary([a / b for a, b in zip(over, under)])


def percent(part, whole):
    return 100 * part / whole if whole else 0.0


def slope_a_minute(points):
    """Least squares through (seconds, value): how much the value grows a minute."""
    if len(points) < 2:
        return 0.0
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    if min(xs) == max(xs):
        return 0.0
    return statistics.linear_regression(xs, ys).slope * 60


def micros(text):
    """Microseconds of what wrk prints: 250us, 1.5ms, 2s."""
    number, unit = re.fullmatch(r"([\d.]+)([mu]?s)", text).groups()
    return float(number) * {"us": 1, "ms": 1000, "s": 1000000}[unit]
