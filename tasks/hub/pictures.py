"""Small pictures for reports, as SVG that needs nothing else: readable in print, in the dark, and by a screen reader.

Colours are the style sheet's variables; every picture has a title that says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from markupsafe import Markup

_WIDTH = 640
_LABEL_WIDTH = 190
_LABEL_LETTERS = 30  # that fit into it
_ROW = 25
_WIDEST_RATIO = 30.0
_RATIO_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
_APART = 12  # points of the score between texts that do not touch, even when printed large for small screens


@dataclass(frozen=True)
class Span:
    """A labelled estimate with its bounds; `tone` is a class of the style sheet, a `strong` label stands out.

    chance: what chance alone would stay below; drawn as a grey band.
    """

    label: str
    value: float
    low: float
    high: float
    tone: str = "neutral"
    strong: bool = False
    chance: float = 0.0


def gauge(score: float, needed: float, tone: str) -> Markup:
    """The score from 0 to 100 on a bar, with a mark at the score that is needed."""
    x, mark = _WIDTH * score / 100, _WIDTH * needed / 100
    ticks = "".join(
        f'<text class="axis" x="{_WIDTH * t / 100:.0f}" y="62" text-anchor="{_anchor(t)}">{t}</text>'
        for t in (0, 25, 50, 75)
        if abs(t - needed) > _APART
    )
    return _svg(
        70,
        f"Score {score:.1f} of 100; {needed:.0f} is needed",
        f'<rect class="track" x="0" y="18" width="{_WIDTH}" height="26" rx="4"/>'
        f'<rect class="{tone}" x="0" y="18" width="{x:.1f}" height="26" rx="4"/>'
        f'<line class="threshold" x1="{mark:.1f}" x2="{mark:.1f}" y1="10" y2="52"/>'
        f'<text class="axis strong" x="{mark:.1f}" y="62" text-anchor="{_anchor(needed)}">needed {needed:.0f}</text>'
        f"{ticks}",
    )


def spans(rows: Sequence[Span | str], *, threshold: float | None, title: str, most: float | None = None) -> Markup:
    """Estimates as dots on lines from bound to bound, one below the other on one axis from 0; texts are headings."""
    highs = [row.high for row in rows if isinstance(row, Span)]
    top = most or _nice_top(max(highs + ([threshold] if threshold else [])))
    scale = (_WIDTH - _LABEL_WIDTH - 20) / top
    height = _ROW * len(rows) + 30
    parts = [_axis(top, scale, height)]
    for number, row in enumerate(rows):
        y = _ROW * number + 13
        if isinstance(row, str):
            parts.append(f'<text class="label strong" x="0" y="{y + 6}">{escape(row)}</text>')
            continue
        x, low, high = (_LABEL_WIDTH + v * scale for v in (row.value, row.low, min(row.high, top)))
        parts.append(
            f'<text class="label{" strong" if row.strong else ""}" x="{_LABEL_WIDTH - 10}" y="{y + 4}" '
            f'text-anchor="end">{escape(_short(row.label, _LABEL_LETTERS))}</text>'
            f"{_band(row.chance * scale, y)}"
            f'<line class="bounds {row.tone}" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>'
            f'<circle class="{row.tone}" cx="{x:.1f}" cy="{y}" r="5"/>'
        )
    if threshold is not None:
        x = _LABEL_WIDTH + threshold * scale
        parts.append(f'<line class="threshold" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 26}"/>')
    return _svg(height, title, "".join(parts))


def ratios(rows: Sequence[tuple[str, Sequence[Span]] | str], title: str) -> Markup:
    """Ratios with their bounds on a logarithmic axis, those of one label below each other; texts are headings."""
    every = [span for row in rows if not isinstance(row, str) for span in row[1]]
    # Bounds beyond this factor are cut off, so that one uncertain ratio does not squeeze all others.
    reach = min(max(max(math.log(s.high), -math.log(s.low)) for s in every) * 1.05, math.log(_WIDEST_RATIO))
    middle = (_LABEL_WIDTH + _WIDTH - 20) / 2
    scale = (_WIDTH - _LABEL_WIDTH - 20) / 2 / reach

    def place(ratio: float) -> float:
        return middle + scale * min(max(math.log(ratio), -reach), reach)

    height = _ROW * len(rows) + 30
    parts = [_ratio_axis(place, reach, height)]
    for number, row in enumerate(rows):
        y = _ROW * number + 13
        if isinstance(row, str):
            parts.append(f'<text class="label strong" x="0" y="{y + 6}">{escape(row)}</text>')
            continue
        label, spans_of_label = row
        parts.append(
            f'<text class="label" x="{_LABEL_WIDTH - 10}" y="{y + 4}" text-anchor="end">'
            f"{escape(_short(label, _LABEL_LETTERS))}</text>"
        )
        for offset, span in zip((-4, 4), spans_of_label, strict=True):
            parts.append(
                f'<line class="bounds {span.tone}" x1="{place(span.low):.1f}" x2="{place(span.high):.1f}" '
                f'y1="{y + offset}" y2="{y + offset}"/>'
                f'<circle class="{span.tone}" cx="{place(span.value):.1f}" cy="{y + offset}" r="4"/>'
            )
    return _svg(height, title, "".join(parts))


def steps(
    times: Sequence[float], curves: Sequence[tuple[str, Sequence[float], Sequence[float], Sequence[float]]], title: str
) -> Markup:
    """Survival curves as steps with their bounds as bands: (class of the style sheet, survival, low, high) each.

    The axis begins at the quarter below all of them.
    """
    bottom = min(math.floor(4 * min(min(low) for _, _, low, _ in curves)) / 4, 0.75)
    left, top, width, height = 60, 10, _WIDTH - 90, 200

    def x_of(time: float) -> float:
        return left + width * time / times[-1]

    def y_of(share: float) -> float:
        return top + height * (1 - share) / (1 - bottom)

    def corners(values: Sequence[float]) -> list[str]:
        found = [f"{x_of(times[0]):.1f},{y_of(values[0]):.1f}"]
        for time, (before, after) in zip(times[1:], pairwise(values), strict=True):
            found += [f"{x_of(time):.1f},{y_of(before):.1f}", f"{x_of(time):.1f},{y_of(after):.1f}"]
        return found

    axis = "".join(
        f'<text class="axis" x="{left - 10}" y="{y_of(share) + 4:.1f}" text-anchor="end">{_percent(share)}</text>'
        f'<line class="grid" x1="{left}" x2="{left + width}" y1="{y_of(share):.1f}" y2="{y_of(share):.1f}"/>'
        for share in (bottom + (1 - bottom) * fifth / 5 for fifth in range(6))
    )
    axis += "".join(
        f'<text class="axis" x="{x_of(time):.1f}" y="230" text-anchor="middle">{time:,.4g}</text>'
        for time in (times[-1] * quarter / 4 for quarter in range(5))
    )
    drawn = "".join(
        f'<polygon class="band {tone}" points="{" ".join(corners(low) + corners(high)[::-1])}"/>'
        f'<polyline class="line {tone}" points="{" ".join(corners(survival))}"/>'
        for tone, survival, low, high in curves
    )
    return _svg(240, title, axis + drawn)


def _band(width: float, y: int) -> str:
    band = f'<rect class="track" x="{_LABEL_WIDTH}" y="{y - 9}" width="{width:.1f}" height="18"/>'
    return band if width > 0 else ""


def share_bars(labels: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], title: str) -> Markup:
    """Shares of labels as grouped bars, a class of the style sheet for each series."""
    top = max((max(values, default=0.0) for _, values in series), default=0.0) or 1.0
    width, label_width, bar = 310, 118, 7
    group = bar * len(series) + 8
    height = group * len(labels) + 6
    parts = []
    for row, label in enumerate(labels):
        y = row * group + 4
        middle = y + bar * len(series) / 2 + 4
        parts.append(
            f'<text class="label small" x="{label_width - 6}" y="{middle:.1f}" text-anchor="end">'
            f"{escape(_short(label))}</text>"
        )
        for number, (tone, values) in enumerate(series):
            length = (width - label_width - 34) * values[row] / top
            parts.append(
                f'<rect class="{tone}" x="{label_width}" y="{y + number * bar}" width="{length:.1f}" height="6"/>'
            )
        parts.append(
            f'<text class="axis" x="{width}" y="{middle:.1f}" text-anchor="end">{_percent(series[0][1][row])}</text>'
        )
    return _svg(height, title, "".join(parts), width)


def curve(points: Sequence[tuple[float, float]], fitted: Sequence[tuple[float, float]], title: str) -> Markup:
    """A measured curve as dots and its fit as a line; x from 0, y as given."""
    right = max(x for x, _ in [*points, *fitted])
    low, high = min(y for _, y in [*points, *fitted]), max(y for _, y in [*points, *fitted])
    pad = max((high - low) * 0.15, 0.005)
    low, high = low - pad, high + pad

    def place(x: float, y: float) -> tuple[float, float]:
        return 60 + (_WIDTH - 90) * x / right, 10 + 170 * (high - y) / (high - low)

    line = " ".join(f"{px:.1f},{py:.1f}" for px, py in (place(*p) for p in fitted))
    dots = "".join(
        f'<circle class="after" cx="{px:.1f}" cy="{py:.1f}" r="4"/>' for px, py in (place(*p) for p in points)
    )
    axis = "".join(
        f'<text class="axis" x="50" y="{place(0, y)[1] + 4:.1f}" text-anchor="end">{y:.2f}</text>'
        f'<line class="grid" x1="60" x2="{_WIDTH - 30}" y1="{place(0, y)[1]:.1f}" y2="{place(0, y)[1]:.1f}"/>'
        for y in (low + pad, (low + high) / 2, high - pad)
    )
    axis += "".join(
        f'<text class="axis" x="{place(x, low)[0]:.1f}" y="200" text-anchor="middle">{x:,.0f}</text>'
        for x in (0, right / 2, right)
    )
    return _svg(210, title, f'{axis}<polyline class="fit" points="{line}"/>{dots}')


def loss_bar(share: float) -> Markup:
    """A share in [0, 1] as a bar for a table cell."""
    return Markup(  # noqa: S704 - numbers only
        f'<svg class="cell" viewBox="0 0 100 10" role="img" aria-label="{_percent(share)}" preserveAspectRatio="none">'
        '<rect class="track" width="100" height="10"/>'
        f'<rect class="after" width="{100 * share:.1f}" height="10"/></svg>'
    )


def _svg(height: float, title: str, content: str, width: float = _WIDTH) -> Markup:
    # All text in `content` was escaped where it was made.
    return Markup(  # noqa: S704
        f'<svg class="picture" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{content}</svg>"
    )


def _axis(top: float, scale: float, height: float) -> str:
    steps = 5
    parts = []
    for number in range(steps + 1):
        value = top * number / steps
        x = _LABEL_WIDTH + value * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 26}"/>')
        parts.append(f'<text class="axis" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{_tick(value, top)}</text>')
    return "".join(parts)


def _ratio_axis(place: Callable[[float], float], reach: float, height: float) -> str:
    parts = []
    for ratio in _RATIO_TICKS:
        if abs(math.log(ratio)) <= reach:
            line = "threshold" if ratio == 1 else "grid"
            x = place(ratio)
            parts.append(f'<line class="{line}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 26}"/>')
            parts.append(f'<text class="axis" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{ratio:g}</text>')
    return "".join(parts)


def _tick(value: float, top: float) -> str:
    return f"{value:.2f}" if top <= 0.5 else f"{value:.1f}"


def _nice_top(value: float) -> float:
    if value <= 0:
        return 0.1
    scale = 10.0 ** math.floor(math.log10(value))
    return next(factor * scale for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if factor * scale >= value * 1.02)


def _anchor(position: float) -> str:
    return "start" if position < 5 else "end" if position > 95 else "middle"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.1f} %"


def _short(label: str, most: int = 19) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
