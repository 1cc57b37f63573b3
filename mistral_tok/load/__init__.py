"""The only readers of files: vocabulary files → Vocabulary, recognised by content.

`read(path)` does it all. For a cache in between: `find` resolves a path without reading, `Located.read` reads it
into a `Source`, and `parse` turns that into a `Vocabulary`. The readers are imported when first needed: with cached
tables they never are.
"""

from typing import TYPE_CHECKING, Any

from mistral_tok.load.bundled import bundled_names, bundled_path
from mistral_tok.load.locate import Located, find
from mistral_tok.load.source import Source

if TYPE_CHECKING:
    from mistral_tok.load.reading import read, read_bytes
    from mistral_tok.load.recognise import parse

__all__ = ["Located", "Source", "bundled_names", "bundled_path", "find", "parse", "read", "read_bytes"]


def __getattr__(name: str) -> Any:
    if name in ("read", "read_bytes"):
        from mistral_tok.load import reading

        return getattr(reading, name)
    if name == "parse":
        from mistral_tok.load.recognise import parse

        return parse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
