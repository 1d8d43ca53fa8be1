# SPDX-License-Identifier: Apache-2.0
"""A table of figures: aligned for a terminal, or Markdown."""

import math


def number(x):
    """Three digits that mean something: 0.934, 12.3, 1,234."""
    if x is None or (isinstance(x, float) and not math.isfinite(x)):
        return "-"
    if x == 0:
        return "0"
    if abs(x) >= 100 or x == int(x):
        return f"{x:,.0f}"
    return f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}" if abs(x) >= 0.1 else f"{x:.3g}"


class Table:
    """Cells are text; the first column says what a row is, the others stand to the right."""

    def __init__(self, head, rows):
        self.head, self.rows = [str(c) for c in head], [[str(c) for c in row] for row in rows]
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(f"{len(row)} cells under {len(self.head)} heads: {row}")

    def text(self, indent="  "):
        all_rows = [self.head, *self.rows]
        widths = [max(len(row[i]) for row in all_rows) for i in range(len(self.head))]
        lines = [indent + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip()
                 for row in all_rows]
        return "\n".join([lines[0], indent + "-" * (sum(widths) + 2 * (len(widths) - 1)), *lines[1:]]) + "\n"

    def markdown(self):
        def line(cells):
            return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"
        rule = "| --- |" + " ---: |" * (len(self.head) - 1)
        return "\n".join([line(self.head), rule, *map(line, self.rows)]) + "\n"
