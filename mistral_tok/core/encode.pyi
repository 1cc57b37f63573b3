from collections.abc import Sequence
from typing import Protocol

from mistral_tok.core.block import Small
from mistral_tok.core.image import Image
from mistral_tok.core.spans import Spans
from mistral_tok.core.split import Splitter

COMPILED: bool

class Part(Protocol):
    ids: list[int] | None
    text: str

class Encoder:
    def __init__(
        self,
        image: Image,
        scanner: int,
        prefix: int,
        splitter: Splitter | None,
        every: bool,
        table_bytes: int,
    ) -> None: ...
    def encode(self, text: str, head: int = -1, tail: int = -1) -> list[int]: ...
    def array(self, text: str, head: int = -1, tail: int = -1) -> bytearray | Small | memoryview: ...
    def with_spans(self, text: str, head: int, tail: int, spans: Spans) -> tuple[list[int], Small | memoryview]: ...
    def count(self, text: str) -> int: ...
    def rows(self, rows: Sequence[tuple[int | str | Part, ...]], head: int, ends: list[int]) -> list[int]: ...
