"""Aligned Markdown tables of what was measured."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

from tests.benchmarks.peers import OURS

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Kind of text → peer → mode → figure."""

MODES = {
    "first": "first pass, lists",
    "new": "new text, lists",
    "warm": "warm, lists",
    "warm_segments": "warm, lists, by segments",
    "batch_first": "first pass, batch of lists",
    "batch_new": "new text, batch of lists",
    "batch": "warm, batch of lists",
    "batch_segments": "the same by segments",
    "arrays_first": "first pass, arrays",
    "arrays_new": "new text, arrays",
    "arrays": "warm, arrays",
    "arrays_segments": "warm, arrays, by segments",
    "lists_threads": "warm, lists, threads",
    "arrays_threads": "warm, arrays, threads",
    "count": "count",
    "offsets": "offsets",
    "decode": "decode, million ids/s",
}


AGAINST = {
    "warm_segments": ("warm",), "arrays_segments": ("arrays",), "batch_segments": ("batch", "warm"),
    "batch_first": ("batch_first", "first"), "batch_new": ("batch_new", "new"), "batch": ("batch", "warm"),
}  # fmt: skip
"""Modes of ours that are set beside other ones of the peers', the best of them: those in which whole texts are not
recalled, and batches, for which text by text may be faster."""

BELOW, SHORT = "✗", "·"
"""Marks of a cell below the best exact peer, and of one at its level that falls short of the goal."""

LEGEND = f"{BELOW} slower than the best exact peer; {SHORT} as fast, but short of the goal"


def width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with its columns aligned: the first to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(width(line[i]) for line in lines) for i in range(len(head))]

    def put(line: Sequence[str]) -> str:
        cells = [
            (c + " " * (w - width(c)), " " * (w - width(c)) + c)[i > 0]
            for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = "|".join("-" * (w + 1) + ("-" if i == 0 else ":") for i, w in enumerate(widths))
    return "\n".join([put(lines[0]), f"|{rule}|", *map(put, lines[1:])])


def number(value: float | None) -> str:
    """Two significant digits where small, whole numbers where large, a dash for none."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.95 else f"{value:.2f}"


def overview(figures: Figures, modes: Sequence[str] = ("first", "new", "warm")) -> str:
    """Every peer: first pass / new text / warm, in MB/s."""
    names = [n for n in _names(figures) if any(modes[0] in f.get(n, {}) for f in figures.values())]
    rows = []
    for name in names:
        cells = ["/".join(number(by_peer.get(name, {}).get(m)) for m in modes) for by_peer in figures.values()]
        rows.append([name, *cells])
    return markdown(["MB/s", *figures], rows)


def ratios(figures: Figures, goal: float = 1.0) -> str:
    """One row a mode: our figure, the ratio to the best peer and its name, and the ratio to mistral-common.

    Cells below the best peer, and those short of the goal, bear the marks of `LEGEND`.
    """
    if not any(OURS in by_peer for by_peer in figures.values()):
        return ""
    rows = []
    for mode, title in MODES.items():
        cells = []
        for by_peer in figures.values():
            ours = by_peer.get(OURS, {}).get(mode)
            theirs = AGAINST.get(mode, (mode,))
            others = {n: max(f.get(m, 0.0) for m in theirs) for n, f in by_peer.items() if n != OURS}
            others = {n: rate for n, rate in others.items() if rate}
            if ours is None:
                cells.append("–")
            elif not others:
                cells.append(number(ours))
            else:
                best = max(others, key=lambda n: others[n])
                common = f", {number(ours / others['mistral-common'])}× m-c" if "mistral-common" in others else ""
                ratio = ours / others[best]
                mark = f" {BELOW}" if ratio < 1 else f" {SHORT}" if ratio < goal else ""
                cells.append(f"{number(ours)} = {ratio:.2f}× {best}{mark}{common}")
        if any(c != "–" for c in cells):
            rows.append([title, *cells])
    return markdown([f"{OURS}, MB/s", *figures], rows)


def scaling(figures: Figures, threads: int) -> str:
    """How many times one thread's speed a batch reaches on several."""
    rows = []
    for name in _names(figures):
        found = [by_peer.get(name, {}) for by_peer in figures.values()]
        pairs = [(f.get("lists_threads"), f.get("scaling")) for f in found]
        if any(a and b for a, b in pairs):
            rows.append([name, *(f"{number(a)} ({b:.2f}×)" if a and b else "–" for a, b in pairs)])
    measured = [by_peer.get(OURS, {}).get("machine") for by_peer in figures.values()]
    if any(measured):
        rows.append(["this machine (zlib)", *(f"({m:.2f}×)" if m else "–" for m in measured)])
    return markdown([f"batch on {threads} threads, MB/s (times one)", *figures], rows)


def _names(figures: Figures) -> list[str]:
    return list(dict.fromkeys(name for by_peer in figures.values() for name in by_peer))
