# SPDX-License-Identifier: Apache-2.0
"""One SVG of a scenario: its name, what it asks, its plots below each other, and where it was measured."""

from xml.sax.saxutils import escape

from .svg import CARD, EDGE, INK, MUTED, element, text, wrap

WIDTH, MARGIN = 880, 28


def svg(name, asks, charts, origin):
    inner = WIDTH - 2 * MARGIN
    parts, y = [text(MARGIN, 42, name, 20, INK, font_weight="700")], 46
    for words in wrap(asks, inner, 12.5):
        y += 18
        parts.append(text(MARGIN, y, words, 12.5, MUTED))
    y += 26
    gutter = max((chart.gutter() for chart in charts), default=0)
    for chart in charts:
        drawn, height = chart.draw(inner, gutter)
        parts.append(element("g", drawn, transform=f"translate({MARGIN} {y:g})"))
        y += height + 16
    for words in wrap(origin, inner, 10.5):
        parts.append(text(MARGIN, y, words, 10.5, MUTED))
        y += 14
    y += 8
    card = element("rect", x=0.5, y=0.5, width=WIDTH - 1, height=float(y - 1), rx=10, fill=CARD, stroke=EDGE)
    said = f"{asks} {'; '.join(c.title for c in charts)}. {origin}"
    return ('<?xml version="1.0" encoding="UTF-8"?>\n<!-- SPDX-License-Identifier: Apache-2.0 -->\n'
            + element("svg", f"<title>{escape(name)}</title><desc>{escape(said)}</desc>", card, *parts, "\n",
                      xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {y:g}", width=WIDTH, height=float(y), role="img",
                      font_family="sans-serif") + "\n")
