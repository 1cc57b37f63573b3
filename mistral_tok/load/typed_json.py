"""JSON → typed structs, with every way to fail turned into a VocabularyError that names the place."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from mistral_tok.errors import VocabularyError
from mistral_tok.load.source import damaged

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw, name: str) -> T:
    """Decode `data`; a VocabularyError carries msgspec's path (`$.vocab[3].rank`) or byte position."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at ")
        raise damaged(name, place.strip("`") or "$", problem) from error
    except msgspec.DecodeError as error:
        raise damaged(name, "JSON", str(error).rstrip(".")) from error
    except UnicodeDecodeError as error:
        raise damaged(name, f"JSON, byte {error.start}", "a string is not UTF-8") from error
    except RecursionError as error:
        raise VocabularyError(
            f"{name}: JSON: nested too deeply. No vocabulary file is; the file is damaged."
        ) from error
