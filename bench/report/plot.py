# SPDX-License-Identifier: Apache-2.0
"""Two kinds of plot. Bars: medians, one a row, with the least and the most as whiskers and marks for what they are held
against. Lines: values over a rate, the name of each at its end. Each draws itself into a width and says how high it became."""

import dataclasses

from .scale import label as tick_label
from .scale import scale_for
from .svg import COLOURS, GRID, INK, MUTED, SHAPES, TARGET, element, line, shape, text, width_of, wrap
from .table import number

ROW, BAR, LABEL_MAX = 30, 15, 270
HEIGHT = 270


@dataclasses.dataclass
class Bar:
    label: str
    median: float
    low: float = None
    high: float = None
    colour: int = 0

    @staticmethod
    def of(label, summary, colour=0):
        return Bar(label, summary["median"], summary["min"], summary["max"], colour)

    @property
    def values(self):
        return [v for v in (self.median, self.low, self.high) if v is not None]

    def said(self, unit):
        words = number(self.median) + (f" {unit}" if unit else "")
        if self.low is not None and self.low != self.high:
            words += f"  ({number(self.low)}–{number(self.high)})"
        return words


@dataclasses.dataclass
class Line:
    label: str
    points: list  # (x, y), in the order of x


def heading(title, unit):
    return text(0, 14, title + (f" ({unit})" if unit else ""), 13, INK, font_weight="600")


def colour_of_mark(words):
    """What was promised stands out from what is only compared with."""
    return TARGET if words.startswith("target") else MUTED


class Bars:
    def __init__(self, title, unit, bars, marks=(), log=False):
        self.title, self.unit, self.bars, self.marks, self.log = title, unit, list(bars), list(marks), log

    def gutter(self):
        """What the labels need; the plots of a page share the most of it."""
        widest = max((width_of(words) for b in self.bars for words in wrap(b.label, LABEL_MAX)), default=0)
        return widest + 12

    def draw(self, width, gutter):
        scale = scale_for([v for b in self.bars for v in b.values] + [m[0] for m in self.marks], self.log)
        right = max((width_of(b.said(self.unit)) for b in self.bars), default=0) + 14
        span = width - gutter - right

        def x(value):
            return gutter + scale.at(value) * span
        marks, depth = self.place_marks(x, width)
        top = 30 + depth * 15
        bottom = top + len(self.bars) * ROW
        parts = [heading(self.title, self.unit)]
        for tick in scale.ticks:
            parts += [line(x(tick), top, x(tick), bottom, GRID), text(x(tick), bottom + 16, tick_label(tick), 11, MUTED, "middle")]
        for i, bar in enumerate(self.bars):
            parts += self.row(bar, x, top + i * ROW + ROW / 2, scale, gutter, width)
        for value, words, left, level in marks:
            parts += [line(x(value), top - 4 - level * 15, x(value), bottom, colour_of_mark(words), 1.4, stroke_dasharray="4 3"),
                      text(left, top - 8 - level * 15, words, 11, colour_of_mark(words), "middle")]
        return "".join(parts), bottom + 26

    def row(self, bar, x, middle, scale, gutter, width):
        colour, zero = COLOURS[bar.colour % len(COLOURS)], max(scale.low, 0)
        left, right = sorted((x(zero), x(bar.median)))
        lines = wrap(bar.label, LABEL_MAX)
        first = middle + 4 - (len(lines) - 1) * 6.5
        parts = [text(gutter - 10, first + 13 * i, words, 12, INK, "end") for i, words in enumerate(lines)]
        parts.append(element("rect", x=float(left), y=middle - BAR / 2, width=float(max(right - left, 1)), height=BAR, rx=2, fill=colour))
        if bar.low is not None and bar.low != bar.high:
            parts.append(line(x(bar.low), middle, x(bar.high), middle, INK, 1.4))
            parts += [line(x(v), middle - 4.5, x(v), middle + 4.5, INK, 1.4) for v in (bar.low, bar.high)]
        parts.append(text(width, middle + 4, bar.said(self.unit), 12, INK, "end"))
        return parts

    def place_marks(self, x, width):
        """Words above their lines, on a level of their own where they would touch: (value, words, their middle, level)."""
        placed, taken = [], []
        for value, words in sorted(self.marks):
            room = width_of(words, 11)
            left = min(max(x(value) - room / 2, 0), width - room)
            level = 0
            while any(lv == level and left < end + 8 and begin - 8 < left + room for begin, end, lv in taken):
                level += 1
            taken.append((left, left + room, level))
            placed.append((value, words, left + room / 2, level))
        return placed, max((p[3] for p in placed), default=-1) + 1


class Lines:
    def __init__(self, title, x_label, unit, lines, x_log=False, y_log=False, marks=()):
        self.title, self.x_label, self.unit, self.lines, self.marks = title, x_label, unit, list(lines), list(marks)
        self.x_log, self.y_log = x_log, y_log

    def gutter(self):
        return 0

    def draw(self, width, _gutter):
        points = [p for one in self.lines for p in one.points]
        xs = scale_for([p[0] for p in points], self.x_log)
        ys = scale_for([p[1] for p in points] + [m[0] for m in self.marks], self.y_log)
        left = max(width_of(tick_label(t), 11) for t in ys.ticks) + 12
        right = max([width_of(one.label) for one in self.lines] + [width_of(m[1], 11) for m in self.marks] + [20]) + 18
        top, bottom = 34, 34 + HEIGHT

        def x(value):
            return left + xs.at(value) * (width - left - right)

        def y(value):
            return bottom - ys.at(value) * HEIGHT
        parts = [heading(self.title, self.unit)]
        for tick in ys.ticks:
            parts += [line(left, y(tick), width - right, y(tick), GRID), text(left - 8, y(tick) + 4, tick_label(tick), 11, MUTED, "end")]
        shown = -1e9
        for tick in xs.ticks:
            half = width_of(tick_label(tick), 11) / 2
            if x(tick) - half > shown + 6:
                parts += [line(x(tick), bottom, x(tick), bottom + 4, MUTED), text(x(tick), bottom + 17, tick_label(tick), 11, MUTED, "middle")]
                shown = x(tick) + half
        parts += [line(left, bottom, width - right, bottom, MUTED), text((left + width - right) / 2, bottom + 35, self.x_label, 12, MUTED, "middle")]
        for i, one in enumerate(self.lines):
            parts += self.line(one, i, x, y)
        ends = [(y(one.points[-1][1]), one.label, COLOURS[i % len(COLOURS)]) for i, one in enumerate(self.lines) if one.points]
        for value, words in self.marks:
            colour = colour_of_mark(words)
            parts.append(line(left, y(value), width - right, y(value), colour, 1.4, stroke_dasharray="4 3"))
            ends.append((y(value), words, colour))
        parts += self.end_labels(ends, width - right + 10, top)
        return "".join(parts), bottom + 46

    @staticmethod
    def line(one, i, x, y):
        colour, kind = COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)]
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in one.points)
        return [element("polyline", points=path, fill="none", stroke=colour, stroke_width=2.0, stroke_linejoin="round"),
                *(shape(kind, x(a), y(b), colour) for a, b in one.points)]

    @staticmethod
    def end_labels(ends, at, top):
        """To the right of the ends, pushed apart where they would touch."""
        parts, below = [], top - 20.0
        for place, words, colour in sorted(ends):
            below = max(place, below + 14)
            name = colour in COLOURS
            parts.append(text(at, below + 4, words, 12 if name else 11, colour, font_weight="600" if name else None))
        return parts
