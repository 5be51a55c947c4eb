"""Picture: figures as bars from their floor: to the right what costs more, to the left what costs less.

Those that something is asked of; the others stand in the table alone, so that a glance is enough.
"""

from collections.abc import Mapping, Sequence
from html import escape
from math import log2
from statistics import median
from typing import Any

from tests.bench.figures import Figure, Outcome, said

ROW, HEAD, LEFT, WIDE, RIGHT = 20, 64, 400, 520, 230
LEAST, MOST = -3.0, 4.0
"""The scale's ends, as powers of two: an eighth of the floor's cost, sixteen times it."""
_REACHED, _MISSED, _NOT_ASKED, _INK, _PALE = "#2a9d63", "#d1495b", "#7a8ca8", "#1f2933", "#8592a3"


def as_svg(outcomes: Sequence[Outcome], about: Mapping[str, Any]) -> str:
    figures = [one for one in outcomes if isinstance(one, Figure)]
    figures = [one for one in figures if one.target is not None] or figures
    groups = list(dict.fromkeys(one.group for one in figures))
    height = HEAD + ROW * (len(figures) + len(groups)) + 30
    asked = [one.reached for one in figures if one.reached is not None]
    busy = f", on a busy machine (load {about.get('load')})" if about.get("busy") else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDE + RIGHT}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="12.5">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="14" y="24" font-size="16" font-weight="600" fill="{_INK}">Blockwire beside what the '
        f"machine allows: {sum(asked)} of {len(asked)} targets reached</text>",
        f'<text x="14" y="42" fill="{_PALE}">{escape(str(about.get("taken", "")))}, '
        f"{about.get('cores')} cores{busy}. A bar to the right costs more than its floor, to the left less. "
        "Black mark: what is asked; green: reached; red: missed.</text>",
    ]
    parts += _scale(height)
    y = HEAD
    for group in groups:
        y += ROW
        parts.append(f'<text x="14" y="{y - 5}" font-weight="600" fill="{_INK}">{escape(group)}</text>')
        for figure in figures:
            if figure.group == group:
                parts += _bar(figure, y)
                y += ROW
    return "\n".join([*parts, "</svg>"]) + "\n"


def _at(cost: float) -> float:
    """Where a cost lies between the ends of the scale."""
    power = min(MOST, max(LEAST, log2(cost))) if cost > 0 else LEAST
    return LEFT + WIDE * (power - LEAST) / (MOST - LEAST)


def _scale(height: int) -> list[str]:
    parts = []
    for power in range(int(LEAST), int(MOST) + 1):
        x, cost = _at(2.0**power), 2.0**power
        word = "floor" if power == 0 else f"{cost:g} times" if power > 0 else f"1/{1 / cost:g}"
        stroke = f'stroke="{_INK}" stroke-width="1.4"' if power == 0 else 'stroke="#e3e8ee"'
        parts.append(f'<path d="M{x:.1f} {HEAD}V{height - 26}" {stroke}/>')
        parts += [
            f'<text x="{x:.1f}" y="{at}" text-anchor="middle" fill="{_PALE}">{word}</text>'
            for at in (HEAD - 5, height - 10)
        ]
    return parts


def _bar(figure: Figure, y: int) -> list[str]:
    colour = {True: _REACHED, False: _MISSED, None: _NOT_ASKED}[figure.reached]
    one, end = _at(1), _at(figure.cost)
    left, wide = min(one, end), max(2.0, abs(end - one))
    value = escape(said(median(figure.ours), figure.unit))
    floor = escape(said(median(figure.floor), figure.unit))
    parts = [
        f'<text x="{LEFT - 10}" y="{y + 13}" text-anchor="end" fill="{_INK}">{escape(figure.name)}</text>',
        f'<rect x="{left:.1f}" y="{y + 3}" width="{wide:.1f}" height="{ROW - 8}" fill="{colour}" rx="2"/>',
        f'<text x="{LEFT + WIDE + 12}" y="{y + 13}" fill="{_INK}"><tspan font-weight="600">'
        f'{figure.ratio:.2f}</tspan>  <tspan fill="{_PALE}">{value} : {floor}</tspan></text>',
        f"<title>{escape(f'{figure.name}: {value}; {figure.floor_is}: {floor}')}</title>",
    ]
    if figure.target is not None:
        at = _at(1 / figure.target if figure.more_is_better else figure.target)
        parts.append(f'<path d="M{at:.1f} {y}v{ROW - 2}" stroke="#000" stroke-width="2"/>')
    return parts
