"""Draws curves as an SVG picture, with logarithmic axes and no library."""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

_PANEL_WIDTH, _PANEL_HEIGHT, _MARGIN = 460, 320, 64
_COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad")

Curve = Sequence[tuple[float, float]]
"""Points (size, cost), both above 0."""


def picture(panels: Mapping[str, Mapping[str, Curve]]) -> str:
    """One panel below the other: its title, and the curves in it by name. The sizes are to the right."""
    parts = [
        _panel(title, curves, number * (_PANEL_HEIGHT + _MARGIN))
        for number, (title, curves) in enumerate(panels.items())
    ]
    height = len(panels) * (_PANEL_HEIGHT + _MARGIN) + _MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_PANEL_WIDTH + 4 * _MARGIN}" height="{height}"'
        ' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *parts, "</svg>\n"])


def _panel(title: str, curves: Mapping[str, Curve], top: float) -> str:
    points = [point for curve in curves.values() for point in curve]
    across, down = _Axis(x for x, _ in points), _Axis(y for _, y in points)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = _MARGIN + across.share(point[0]) * _PANEL_WIDTH
        return x, top + _MARGIN + (1 - down.share(point[1])) * (_PANEL_HEIGHT - _MARGIN)

    left, right, bottom = _MARGIN, _MARGIN + _PANEL_WIDTH, top + _PANEL_HEIGHT
    parts = [f'<text x="{left}" y="{top + _MARGIN - 20}" font-weight="bold">{escape(title)}</text>']
    for value in across.marks:
        x, _ = place((value, down.marks[0]))
        parts.append(f'<line x1="{x:.1f}" y1="{top + _MARGIN}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_number(value)}</text>')
    for value in down.marks:
        _, y = place((across.marks[0], value))
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [place(point) for point in curve]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        last_y = placed[-1][1] + 4
        parts.append(f'<text x="{right + 8}" y="{last_y:.1f}" fill="{colour}">{escape(name)}</text>')
    return "\n".join(parts)


class _Axis:
    """Powers of ten around all values, and where between them a value lies."""

    def __init__(self, values: Iterable[float]) -> None:
        logarithms = [math.log10(value) for value in values]
        self._low = math.floor(min(logarithms))
        self._high = max(math.ceil(max(logarithms)), self._low + 1)
        self.marks = [10.0**power for power in range(self._low, self._high + 1)]

    def share(self, value: float) -> float:
        return (math.log10(value) - self._low) / (self._high - self._low)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"
