# SPDX-License-Identifier: Apache-2.0
"""Words of SVG: elements, texts whose width is guessed, colours that the colour-blind tell apart. Everything is drawn on a
light card of its own, so that it reads on a dark page too."""

from xml.sax.saxutils import escape, quoteattr

INK, MUTED, GRID, CARD, EDGE, TARGET = "#1f2328", "#59636e", "#e3e7ec", "#ffffff", "#d1d9e0", "#b3261e"
# Okabe and Ito's, the yellow left out; the last is for what others are compared with
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#5b3f8c", "#8c959f")
SHAPES = ("circle", "square", "triangle", "diamond")


def element(name, *inner, **attributes):
    """Attributes: `_` stands for `-`, and one at the end is dropped."""
    words = "".join(f" {k.rstrip('_').replace('_', '-')}={quoteattr(number(v))}" for k, v in attributes.items() if v is not None)
    return f"<{name}{words}>{''.join(inner)}</{name}>" if inner else f"<{name}{words}/>"


def number(x):
    return f"{x:.2f}".rstrip("0").rstrip(".") if isinstance(x, float) else str(x)


def text(x, y, words, size=12, fill=INK, anchor="start", **more):
    return element("text", escape(words), x=float(x), y=float(y), font_size=size, fill=fill,
                   text_anchor=None if anchor == "start" else anchor, **more)


def line(x1, y1, x2, y2, stroke, width=1.0, **more):
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), stroke=stroke, stroke_width=float(width), **more)


def shape(kind, x, y, fill, r=4.0):
    outline = {"fill": fill, "stroke": CARD, "stroke_width": 1.0}
    if kind == "circle":
        return element("circle", cx=float(x), cy=float(y), r=r, **outline)
    if kind == "square":
        return element("rect", x=x - r * 0.9, y=y - r * 0.9, width=r * 1.8, height=r * 1.8, **outline)
    points = [(x, y - r * 1.2), (x + r * 1.1, y + r * 0.9), (x - r * 1.1, y + r * 0.9)]
    if kind == "diamond":
        points = [(x, y - r * 1.3), (x + r * 1.3, y), (x, y + r * 1.3), (x - r * 1.3, y)]
    return element("polygon", points=" ".join(f"{number(float(a))},{number(float(b))}" for a, b in points), **outline)


def width_of(words, size=12):
    """On the wide side, for a sans-serif that is not known."""
    total = 0.0
    for c in words:
        total += 0.36 if c in "iljtfrI.,:;|'()[]/ " else 0.96 if c in "mwMW@%" else 0.73 if c.isupper() else 0.63
    return total * size


def wrap(words, width, size=12):
    """Lines that fit; a word that is longer than a line stays whole."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and width_of(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
