"""What the encoder has to reach, checked against the figures of a run; each target is shown with its worst case."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.benchmarks.peers import OURS

Check = tuple[str, bool, str]
"""The target, whether it is reached, and the worst case."""


def check(results: dict[str, Any]) -> list[Check]:
    """Every target that the sections which were run can tell about."""
    return [*_speed(results.get("speed", {})), *_threads(results.get("threads", {})), *_start(results.get("start", {})),
            *_linear(results.get("linear", {})), *_cli(results.get("cli", {}))]  # fmt: skip


def _worst(title: str, ratios: list[tuple[float, str]], goal: float) -> Iterator[Check]:
    if ratios:
        ratio, place = min(ratios)
        yield title, ratio >= goal, f"{ratio:.2f}× ({place})"


def _ratios(cells: dict[str, Any], other: str, modes: tuple[str, ...]) -> list[tuple[float, str]]:
    return [
        (by_peer[OURS][mode] / by_peer[other][mode], f"{cell}, {kind}, {mode}")
        for cell, by_kind in cells.items()
        for kind, by_peer in by_kind.items()
        for mode in modes
        if mode in by_peer.get(OURS, {}) and mode in by_peer.get(other, {})
    ]


def _speed(cells: dict[str, Any]) -> Iterator[Check]:
    lists = ("first", "new", "warm")
    yield from _worst("10 times mistral-common (lists, warm)", _ratios(cells, "mistral-common", ("warm",)), 10)
    yield from _worst("faster than kitoken (lists)", _ratios(cells, "kitoken", lists), 1)
    yield from _worst("faster than tiktoken (lists)", _ratios(cells, "tiktoken", lists), 1)
    yield from _worst("decoding as fast as tiktoken", _ratios(cells, "tiktoken", ("decode",)), 1)


def _threads(cells: dict[str, Any]) -> Iterator[Check]:
    found = [
        (by_peer[OURS]["lists_threads"] / by_peer[OURS]["lists_one"], f"{cell}, {kind}")
        for cell, by_kind in cells.items()
        for kind, by_peer in by_kind.items()
        if "lists_one" in by_peer.get(OURS, {})
    ]
    yield from _worst("two threads: 1.7 times one", found, 1.7)


def _start(rows: dict[str, Any]) -> Iterator[Check]:
    limits = {
        f"v3-tekken/{OURS}": [("load", 0.02, "ms", 1000), ("rss", 60, "MB", 1)],
        f"v3-tekken/{OURS}, no cache": [("load", 0.4, "ms", 1000)],
    }
    for row, goals in limits.items():
        for what, goal, unit, factor in goals:
            if row in rows:
                title = f"{row}: {what} under {goal * factor:.0f} {unit}"
                yield title, rows[row][what] < goal, f"{rows[row][what] * factor:.1f} {unit}"


def _linear(rows: dict[str, Any]) -> Iterator[Check]:
    growth = []
    for place, seconds in rows.items():
        bad = [s for s in seconds if isinstance(s, str)]
        growth += [(0.0, f"{place}: {bad[0]}")] if bad else [
            (a / b, f"{place}: {b / a:.1f} times as long") for a, b in pairwise(seconds)
        ]  # fmt: skip
    if growth:
        ratio, place = min(growth)
        yield "linear: ten times the input at most 12 times as long", ratio >= 1 / 12, place


def _cli(rows: dict[str, float]) -> Iterator[Check]:
    bare, common = rows.get("python -c pass"), rows.get("the same with mistral-common")
    ours, imported = rows.get('mistral-tok encode "Hello, world"'), rows.get("import mistral_tok")
    if ours and common:
        yield "a cold shell in a fifth of mistral-common's time", ours < common / 5, f"{ours * 1000:.0f} ms"
    if bare and imported:
        yield "import under 60 ms above bare Python", imported - bare < 0.06, f"{(imported - bare) * 1000:.0f} ms"
