"""Drawings of a report as inline SVG: curves by second, and a camera path from above. Colours are classes of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from dreamx.geometry.camera import Camera, relative_to

_WIDTH, _HEIGHT = 460, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 30
_ARROWS = 6


def curve_chart(lines: Mapping[str, Sequence[float | None]], what: str) -> str:
    """One line a name, one value a second or None; names keep their colour from chart to chart by their order."""
    values = [v for line in lines.values() for v in line if v is not None]
    if not values:
        return ""
    low, high = min(values), max(values)
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    marks = axis_ticks(low, high)
    low, high = min(low, marks[0]), max(high, marks[-1])
    low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
    seconds = max(map(len, lines.values()))

    def x(second: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * second / seconds

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    parts: list[str] = []
    for value in marks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    every = max(1, -(-seconds // 10))
    for second in range(0, seconds + 1, every):
        parts.append(f'<text x="{x(second):.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{second}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 1}" text-anchor="end">seconds</text>')
    for number, (name, line) in enumerate(lines.items()):
        known = [(x(i + 0.5), y(v)) for i, v in enumerate(line) if v is not None]
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in known)
        parts.append(f'<polyline class="line c{number}" points="{points}"><title>{escape(name)}</title></polyline>')
        parts += [f'<circle class="dot c{number}" cx="{a:.1f}" cy="{b:.1f}" r="2"/>' for a, b in known]
    label = escape(what)
    return f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label} by second">{"".join(parts)}</svg>'


def path_plan(path: Camera) -> str:
    """The path ``[F]`` from above, its start looking up the page; ticks show where the camera looks."""
    path = relative_to(path, path[0])
    across, ahead = path.pose[:, 0, 3], -path.pose[:, 2, 3]
    x0, x1, y0, y1 = (float(v) for v in (across.min(), across.max(), ahead.min(), ahead.max()))
    size = max(x1 - x0, y1 - y0, 1.0) * 1.35
    left, top = (x0 + x1 - size) / 2, (y0 + y1 - size) / 2
    thick = size / 60
    points = " ".join(f"{float(x):.3f},{float(y):.3f}" for x, y in zip(across, ahead, strict=True))
    parts = [f'<polyline class="path" stroke-width="{thick:.3f}" points="{points}"/>']
    for i in sorted({round(n * (len(path) - 1) / (_ARROWS - 1)) for n in range(_ARROWS)}):
        x, y = float(across[i]), float(ahead[i])
        dx, dy = (float(v) * size / 9 for v in (path.pose[i, 0, 2], -path.pose[i, 2, 2]))
        parts.append(
            f'<line class="look" stroke-width="{thick:.3f}" x1="{x:.3f}" y1="{y:.3f}" x2="{x + dx:.3f}" y2="{y + dy:.3f}"/>'
        )
    parts.sort()
    parts.append(f'<circle class="start" cx="{float(across[0]):.3f}" cy="{float(ahead[0]):.3f}" r="{size / 40:.3f}"/>')
    box = f"{left:.3f} {top:.3f} {size:.3f} {size:.3f}"
    return f'<svg class="plan" viewBox="{box}" role="img" aria-label="the path from above">{"".join(parts)}</svg>'


def axis_ticks(low: float, high: float) -> list[float]:
    """Round numbers from ``low`` to ``high`` (greater), 2 to 6 of them: steps of 1, 2 or 5 with noughts."""
    rough = (high - low) / 5
    power = floor(log10(rough))
    step, digits = next((m * 10.0**power, -power) for m in (1, 2, 5, 10) if m * 10.0**power >= rough)
    return [
        round(n * step, max(0, digits)) + 0.0 for n in range(ceil(low / step), floor(high / step) + 1)
    ]  # no minus before a nought
