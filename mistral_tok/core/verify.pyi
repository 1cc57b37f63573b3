from collections.abc import Mapping
from typing import Any

from mistral_tok.core.tables import Tables

def verify(tables: Tables, sections: Mapping[str, Any]) -> None: ...
