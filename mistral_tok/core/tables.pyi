from collections.abc import Mapping
from typing import Any

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
    def set_window(self, symbols: int) -> None: ...
