from typing import Any

from mistral_tok.core.tables import Tables

def spans(tables: Tables, text: str, ids: Any, prefixed: bool, every: int) -> bytearray: ...
