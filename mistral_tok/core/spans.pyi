import numpy as np

from mistral_tok.core.tables import Tables

class Spans:
    def __init__(self, tables: Tables, prefix: int, every: bool) -> None: ...
    def pairs(self, text: str, data: bytearray, out: np.ndarray, head: bool, tail: bool) -> None: ...
