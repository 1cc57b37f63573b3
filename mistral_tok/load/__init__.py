"""The only readers of files: vocabulary files → Vocabulary, recognised by content.

`read(path)` does it all. For a cache in between: `find` resolves a path without reading, `Located.read` reads it
into a `Source`, and `parse` turns that into a `Vocabulary`.
"""

from mistral_tok.load.bundled import bundled_names, bundled_path
from mistral_tok.load.reading import read, read_bytes
from mistral_tok.load.recognise import Located, find, parse
from mistral_tok.load.source import Source

__all__ = ["Located", "Source", "bundled_names", "bundled_path", "find", "parse", "read", "read_bytes"]
