"""Stop strings: nothing of one comes out, nothing else is held back, and splitting a text changes nothing."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from mistral_tok.pipelines.stopstrings import StopStrings

TEXT = st.text("abc", max_size=30)
STOPS = st.lists(st.text("abc", min_size=1, max_size=5), max_size=4)


def expected(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The rule as it is said: the string that is complete first, of those the longest."""
    for end in range(1, len(text) + 1):
        if complete := [stop for stop in stops if text[:end].endswith(stop)]:
            hit = max(complete, key=len)
            return text[: end - len(hit)], hit
    return text, None


@given(TEXT, STOPS, st.lists(st.integers(0, 30), max_size=6))
def test_any_split_gives_the_text_up_to_the_first_stop_string(text: str, stops: list[str], cuts: list[int]) -> None:
    found = StopStrings(stops)
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    said = "".join(found.feed(text[a:b]) for a, b in itertools.pairwise(edges)) + found.release()
    assert (said, found.hit) == expected(text, stops)


@given(TEXT, STOPS)
def test_what_is_held_back_is_the_longest_beginning_of_a_stop_string(text: str, stops: list[str]) -> None:
    found, said = StopStrings(stops), ""
    for i, character in enumerate(text, 1):
        said += found.feed(character)
        if found.hit is not None:
            return
        ends = [n for n in range(i + 1) if any(stop[:n] == text[i - n : i] for stop in stops)]
        assert said == text[: i - max(ends, default=0)]


def test_nothing_reaches_across_the_end_of_a_text() -> None:
    found = StopStrings(["ab"])
    assert [found.feed("xa"), found.release(), found.feed("b"), found.hit] == ["x", "a", "b", None]
    assert [found.feed("ab"), found.hit, found.feed("more"), found.release()] == ["", "ab", "", ""]


def test_a_long_stop_string_in_a_text_that_almost_has_it_takes_linear_time() -> None:
    stop = "a" * 2000 + "b"
    found = StopStrings([stop])
    steps = 0

    class Counted(str):
        def __getitem__(self, key: object) -> str:
            nonlocal steps
            steps += 1
            return super().__getitem__(key)  # type: ignore[index]

    found._strings = [(Counted(stop), found._strings[0][1])]
    assert len(found.feed("a" * 20_000)) == 18_000
    assert steps < 5 * 20_000
