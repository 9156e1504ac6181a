"""Plots as SVG, written by hand: no library, and readable as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle, pairwise
from math import ceil, floor, log10

WIDTH, LABEL, BAR, GAP = 860, 250, 14, 26
#: Colours that are told apart with any kind of sight (after Okabe and Ito), ours the strongest.
COLOURS = ("#999999", "#D55E00", "#0072B2", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442")


def bars(title: str, groups: Mapping[str, Mapping[str, float]], caption: str) -> str:
    """Draw groups of bars, on a logarithmic scale of milliseconds.

    Args:
        title: above the plot.
        groups: for each operation, the seconds of each program.
        caption: below it.

    Returns:
        An SVG document.
    """
    colour = _colours(groups)
    times = [1000 * value for group in groups.values() for value in group.values()]
    scale = Scale.over(times, start=LABEL, end=WIDTH - 90)
    body, y = _head(title, colour)
    top = y = y + 14
    for operation, group in groups.items():
        body.append(_text(20, y + 11, operation, weight="bold"))
        for name, seconds in group.items():
            end = scale.at(1000 * seconds)
            size = f'x="{LABEL}" y="{y}" width="{end - LABEL:.1f}" height="{BAR - 2}"'
            body.append(f'<rect {size} fill="{colour[name]}"/>')
            body.append(_text(end + 5, y + 10, f"{1000 * seconds:.3g} ms", size=10))
            y += BAR
        y += GAP - BAR
    grid = [
        _stroke((scale.at(tick), top - 6), (scale.at(tick), y), "#dddddd") for tick in scale.ticks()
    ]
    marks = [_text(scale.at(tick) - 8, y + 14, f"{tick:g}", size=10) for tick in scale.ticks()]
    foot = _text(20, y + 36, caption, size=11)
    return _document([*grid, *body, *marks, foot], y + 50)


#: The size of one panel of ``lines``, and the room to its left and below it.
PANEL, LEFT, BELOW = 190, 78, 60
#: A line: the points (x, y), both above 0.
Line = Sequence[tuple[float, float]]


def lines(title: str, panels: Mapping[str, Mapping[str, Line]], caption: str) -> str:
    """Draw lines in panels side by side, on logarithmic scales: x is a count, y milliseconds.

    Args:
        title: above the plot.
        panels: for each panel, by what it shows, the line of each program, in seconds.
        caption: below it.

    Returns:
        An SVG document.
    """
    colour = _colours(panels)
    body, y = _head(title, colour)
    top = y + 34
    for place, (what, panel) in enumerate(panels.items()):
        left = LEFT + place * (PANEL + LEFT)
        body.append(_text(left, top - 14, what, weight="bold"))
        body += _panel(panel, colour, left, top)
    body.append(_text(20, top + PANEL + BELOW - 14, caption, size=11))
    return _document(body, top + PANEL + BELOW)


def _colours(shown: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return each program that is shown somewhere its colour."""
    programs = dict.fromkeys(name for one in shown.values() for name in one)
    return dict(zip(programs, cycle(COLOURS), strict=False))


def _head(title: str, colour: Mapping[str, str]) -> tuple[list[str], int]:
    """Draw the title, and which colour is which program; give how far down that goes, too."""
    drawn, y = [_text(20, 28, title, size=17, weight="bold")], 48
    for name, its in colour.items():
        drawn.append(f'<rect x="20" y="{y}" width="12" height="12" fill="{its}"/>')
        drawn.append(_text(40, y + 11, name))
        y += 18
    return drawn, y


def _panel(panel: Mapping[str, Line], colour: Mapping[str, str], left: int, top: int) -> list[str]:
    points = [point for line in panel.values() for point in line]
    across = Scale.over([x for x, _ in points], start=left, end=left + PANEL)
    up = Scale.over([1000 * y for _, y in points], start=top + PANEL, end=top)
    drawn = []
    for tick in across.ticks():
        x = across.at(tick)
        drawn.append(_stroke((x, top), (x, top + PANEL), "#dddddd"))
        drawn.append(_text(x, top + PANEL + 14, _short(tick), size=10, anchor="middle"))
    for tick in up.ticks():
        y = up.at(tick)
        drawn.append(_stroke((left, y), (left + PANEL, y), "#dddddd"))
        drawn.append(_text(left - 6, y + 4, f"{tick:g} ms", size=10, anchor="end"))
    for name, line in panel.items():
        placed = [(across.at(x), up.at(1000 * y)) for x, y in line]
        drawn += [_stroke(one, other, colour[name], width=2) for one, other in pairwise(placed)]
        drawn += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour[name]}"/>' for x, y in placed
        ]
    return drawn


def _short(count: float) -> str:
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:g}{name}"
    return f"{count:g}"


@dataclass(frozen=True)
class Scale:
    """A logarithmic scale in whole decades, from ``low`` at ``start`` to ``high`` at ``end``."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], *, start: float, end: float) -> Scale:
        """Make the one that holds some values, all above 0."""
        low, high = floor(log10(min(values))), ceil(log10(max(values)))
        return cls(low, max(high, low + 1), start, end)

    def at(self, value: float) -> float:
        """Return where a value lies."""
        part = (log10(value) - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return the decades, every third of them where there are many."""
        step = 3 if self.high - self.low > 6 else 1
        return [10.0**decade for decade in range(self.low, self.high + 1, step)]


def _document(body: Sequence[str], height: float) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
            f'width="{WIDTH}" height="{height:g}" font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{height:g}" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


def _stroke(
    one: tuple[float, float], other: tuple[float, float], colour: str, width: float = 1
) -> str:
    ends = f'x1="{one[0]:.1f}" y1="{one[1]:.1f}" x2="{other[0]:.1f}" y2="{other[1]:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 12,
    weight: str = "normal",
    anchor: str = "start",
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
