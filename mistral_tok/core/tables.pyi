from collections.abc import Mapping
from typing import Any

def simd_levels() -> range: ...

class Tables:
    def __init__(
        self,
        sections: Mapping[str, Any],
        n_pieces: int,
        n_symbols: int,
        longest: int,
        marked: bool,
        ties: bool,
        split_spaces: bool,
    ) -> None: ...
    def finish(self) -> None: ...
    def set_simd(self, level: int) -> None: ...
    def set_spelling(self, on: bool) -> None: ...
    def set_window(self, symbols: int) -> None: ...
