from collections.abc import Callable
from typing import Any

from mistral_tok.core.block import Small
from mistral_tok.core.encode import Encoder

class Batch:
    stop: int
    def __init__(
        self,
        encoder: Encoder,
        texts: list[str] | list[bytes],
        start: int,
        head: int,
        tail: int,
        strings: bool,
        lines: bool,
        form: int,
    ) -> None: ...
    def run(self, threads: int) -> None: ...
    def lists(self) -> list[list[int]]: ...
    def ids(self) -> tuple[Small | memoryview, bytearray]: ...
    def counts(self) -> list[int]: ...
    def end(self) -> None: ...

FORMS: dict[Callable[[Batch], Any], int]
