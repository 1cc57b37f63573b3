"""Stop strings in a text that arrives in parts."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Cuts a text at the first stop string that is complete; no character of one ever comes out.

    Held back is the longest end of the text with which a stop string begins, and nothing else. However the text is
    split, the result is the same; of strings that end at one place the longest counts. Time: linear in the text, times
    the number of strings.

    >>> stops = StopStrings(["END"])
    >>> [stops.feed("the E"), stops.feed("EN"), stops.feed("D of it"), stops.hit]
    ['the ', 'E', '', 'END']
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = [(string, _borders(string)) for string in strings]
        self._matched = [0] * len(strings)  # for each string, how much of it the text ends with
        self._held = ""
        self.hit: str | None = None
        """The string that was found; everything after it is dropped."""

    def feed(self, text: str) -> str:
        """What can be said now that the text goes on like this."""
        if self.hit is not None:
            return ""
        if not self._strings:
            return text
        seen = len(self._held)
        text = self._held + text
        for stop in range(seen + 1, len(text) + 1):
            if found := self._step(text[stop - 1]):
                self.hit, self._held = found, ""
                return text[: stop - len(found)]
        sure = len(text) - max(self._matched)
        self._held = text[sure:]
        return text[:sure]

    def release(self) -> str:
        """What was held back, now that the text ends; no string reaches across this place."""
        held, self._held = self._held, ""
        self._matched = [0] * len(self._strings)
        return held

    def _step(self, character: str) -> str:
        """Take one character; the longest string that is complete with it, or the empty one."""
        found = ""
        for i, (string, borders) in enumerate(self._strings):
            matched = self._matched[i]
            while matched and string[matched] != character:
                matched = borders[matched - 1]
            matched += string[matched] == character
            self._matched[i] = matched
            if matched == len(string) > len(found):
                found = string
        return found


def _borders(string: str) -> list[int]:
    """For each prefix, the length of the longest shorter one that it ends with (Knuth, Morris and Pratt)."""
    borders = [0] * len(string)
    length = 0
    for i in range(1, len(string)):
        while length and string[length] != string[i]:
            length = borders[length - 1]
        length += string[length] == string[i]
        borders[i] = length
    return borders
