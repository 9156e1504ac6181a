"""A plot of the single operations as SVG, written by hand: no library, and readable as text."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

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
    programs = list(dict.fromkeys(name for group in groups.values() for name in group))
    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(programs)}
    times = [1000 * value for group in groups.values() for value in group.values()]
    scale = _Scale(min(times), max(times))
    body, y = [_text(20, 28, title, size=17, weight="bold")], 48
    for name in programs:
        body.append(f'<rect x="20" y="{y}" width="12" height="12" fill="{colour[name]}"/>')
        body.append(_text(40, y + 11, name))
        y += 18
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
    lines = [
        f'<line x1="{scale.at(tick):.1f}" y1="{top - 6}" x2="{scale.at(tick):.1f}" y2="{y}" '
        'stroke="#dddddd"/>'
        for tick in scale.ticks()
    ]
    marks = [_text(scale.at(tick) - 8, y + 14, f"{tick:g}", size=10) for tick in scale.ticks()]
    foot = _text(20, y + 36, caption, size=11)
    height = y + 50
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            *lines,
            *body,
            *marks,
            foot,
            "</svg>\n",
        ]
    )


class _Scale:
    """A logarithmic scale, in whole decades."""

    def __init__(self, least: float, most: float) -> None:
        from math import ceil, floor, log10

        self._log10 = log10
        self.low, self.high = floor(log10(least)), ceil(log10(most))
        self.high = max(self.high, self.low + 1)

    def at(self, value: float) -> float:
        """Give where a value lies."""
        part = (self._log10(value) - self.low) / (self.high - self.low)
        return LABEL + part * (WIDTH - LABEL - 90)

    def ticks(self) -> list[float]:
        """Give the decades."""
        return [10.0**decade for decade in range(self.low, self.high + 1)]


def _text(x: float, y: float, text: str, *, size: int = 12, weight: str = "normal") -> str:
    style = f'font-size="{size}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y}" {style}>{escape(text)}</text>'
