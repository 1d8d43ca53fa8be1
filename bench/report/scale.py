# SPDX-License-Identifier: Apache-2.0
"""From a value to a place on an axis, and which values are written beside it. An axis reaches beyond all that it is given."""

import math


def label(x):
    """Short, and exact: 0.25, 5, 12,500, 2M."""
    if x and abs(x) >= 1e6 and float(x / 1e6).is_integer():
        return f"{x / 1e6:,.0f}M"
    return f"{x:,.10f}".rstrip("0").rstrip(".")


class Linear:
    """From zero, or from below the least value if that is negative, to a round number."""

    def __init__(self, values, ticks=6):
        low, high = min([0.0, *values]), max([0.0, *values])
        if high == low:
            high = low + 1.0
        rough = (high - low) / ticks
        power = 10 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
        self.low, self.high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
        self.ticks = [round(self.low + i * step, 12) for i in range(round((self.high - self.low) / step) + 1)]

    def at(self, value):
        return (value - self.low) / (self.high - self.low)


class Logarithmic:
    """Whole steps of 1, 2, 5. What is not above zero stands at the low end."""

    def __init__(self, values):
        above = [v for v in values if v > 0] or [1.0]
        self.steps = self.between(min(above), max(above))
        self.low, self.high = self.steps[0], self.steps[-1]
        decades = math.log10(self.high / self.low)
        wanted = (1, 2, 5) if decades <= 3 else (1,)
        self.ticks = [t for t in self.steps if round(t / 10 ** math.floor(math.log10(t) + 1e-9)) in wanted]

    @staticmethod
    def between(low, high):
        first = math.floor(math.log10(low)) - 1
        steps = [float(f"{m}e{p}") for p in range(first, math.ceil(math.log10(high)) + 2) for m in (1, 2, 5)]
        start = max(i for i, s in enumerate(steps) if s <= low)
        end = min(i for i, s in enumerate(steps) if s >= high)
        return steps[start:max(end, start + 1) + 1]

    def at(self, value):
        return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)


def scale_for(values, log):
    return Logarithmic(values) if log and any(v > 0 for v in values) else Linear(values)
