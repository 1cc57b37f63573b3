"""What the encoder has to reach, checked against the figures of a run; each target is shown with its worst case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.benchmarks.peers import OURS, SPM, TEKKEN

Check = tuple[str, bool, str]
"""The target, whether it is reached, and the worst case."""


LISTS, ARRAYS = ("first", "new", "warm"), ("arrays_first", "arrays_new", "arrays")
GOALS = {SPM: 2.0, TEKKEN: 1.3}
"""How many times the speed of the best exact peer encoding should reach."""

DECODE = 1.3
"""The same of decoding."""


def check(results: dict[str, Any]) -> list[Check]:
    """Every target that the sections which were run can tell about."""
    sections = {
        "speed": _speed, "threads": _threads, "short": _short, "start": _start, "linear": _linear, "cli": _cli,
    }  # fmt: skip
    return [found for name, section in sections.items() for found in section(results.get(name, {}))]


def _worst(title: str, ratios: list[tuple[float, str]], goal: float) -> Iterator[Check]:
    if ratios:
        ratio, place = min(ratios)
        short = sum(found < goal for found, _ in ratios)
        yield title, ratio >= goal, f"{ratio:.2f}× ({place}); {short} of {len(ratios)} cells short"


def _ratios(cells: dict[str, Any], modes: tuple[str, ...], other: str | None = None) -> list[tuple[float, str]]:
    """Our speed to that of another, or of the best of all others, wherever both are known."""
    found = []
    for cell, by_kind in cells.items():
        for kind, by_peer in by_kind.items():
            for mode in modes:
                rates = {n: f[mode] for n, f in by_peer.items() if mode in f and n in (OURS, other or n)}
                ours = rates.pop(OURS, None)
                if ours is not None and rates:
                    best = max(rates, key=rates.__getitem__)
                    found.append((ours / rates[best], f"{cell}, {kind}, {mode}, {best}"))
    return found


def _own(cells: dict[str, Any], mode: str, other: str) -> list[tuple[float, str]]:
    """One of our speeds to another."""
    return [
        (by_peer[OURS][mode] / by_peer[OURS][other], f"{cell}, {kind}")
        for cell, by_kind in cells.items()
        for kind, by_peer in by_kind.items()
        if mode in by_peer.get(OURS, {}) and other in by_peer.get(OURS, {})
    ]


def _speed(cells: dict[str, Any]) -> Iterator[Check]:
    for modes, shape in ((LISTS, "lists"), (ARRAYS, "arrays")):
        yield from _worst(f"the best exact peer, {shape}", _ratios(cells, modes), 1)
        for vocab, goal in GOALS.items():
            some = {cell: by_kind for cell, by_kind in cells.items() if cell.split("/")[0] == vocab}
            yield from _worst(f"{goal:g} times it, {vocab}, {shape}", _ratios(some, modes), goal)
    yield from _worst("15 times mistral-common (lists, warm)", _ratios(cells, ("warm",), "mistral-common"), 15)
    yield from _worst("decoding: 1.3 times the best exact peer", _ratios(cells, ("decode",)), DECODE)
    if times := _own(cells, "arrays_each", "offsets"):
        longest, place = max(times)
        short = sum(time > 1.5 for time, _ in times)
        shown = f"{longest:.2f}× ({place}); {short} of {len(times)} cells short"
        yield "offsets in at most 1.5 times the time of encode_array", longest <= 1.5, shown
    yield from _worst("count faster than encode", _own(cells, "count", "warm_segments"), 1)


def _threads(cells: dict[str, Any]) -> Iterator[Check]:
    scaling = [
        (by_peer[OURS]["scaling"], f"{cell}, {kind}")
        for cell, by_kind in cells.items()
        for kind, by_peer in by_kind.items()
        if "scaling" in by_peer.get(OURS, {})
    ]
    yield from _worst("two threads: 1.8 times one (lists)", scaling, 1.8)
    yield from _worst("the best exact peer on two threads", _ratios(cells, ("lists_threads", "arrays_threads")), 1)


def _short(cells: dict[str, Any]) -> Iterator[Check]:
    found = [(by_peer[OURS], cell) for cell, by_peer in cells.items() if OURS in by_peer]
    if found:
        seconds, cell = max(found)
        yield "a text of 20 characters under 1 µs to a list", seconds < 1e-6, f"{seconds * 1e6:.2f} µs ({cell})"


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
    for place, found in rows.items():
        growth += [(0.0, f"{place}: {found}")] if isinstance(found, str) else [
            (1 / times, f"{place}: {times:.1f} times as long") for times in found
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
