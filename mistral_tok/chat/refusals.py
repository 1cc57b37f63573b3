"""Refusals of the conversation layer that belong to two families at once.

mistral-common raises pydantic errors, plain ValueErrors and KeyErrors beside its own exceptions. Whoever catches
those, or mistral-common's family, catches the types below.
"""

from __future__ import annotations

from mistral_tok.errors import (
    InvalidFunctionCallException,
    InvalidMessageStructureException,
    InvalidRequestException,
    MistralCommonException,
    TokenizerException,
    VocabularyError,
)


class InvalidShapeException(InvalidRequestException, ValueError):
    """A request has the wrong shape; `path` says where, as in `$.messages[2].content[0].text`."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{message} (at {path})" if path else message)
        self.path = path
        self.reason = message

    def __reduce__(self) -> tuple[type[InvalidShapeException], tuple[str, str]]:
        return type(self), (self.reason, self.path)


class MissingFieldException(InvalidShapeException, KeyError):
    """A request lacks a key that it needs."""

    def __str__(self) -> str:
        return self.message  # KeyError would print the repr


class ConflictingContentException(InvalidMessageStructureException, ValueError):
    """Two parts of a conversation cannot stand together in this tokenizer version."""


class UnreadableJsonException(InvalidFunctionCallException, ValueError):
    """Arguments or a result are JSON, but nested too deeply or with numbers too long to be read."""


class VocabularyFileException(TokenizerException, VocabularyError):
    """A vocabulary file is missing, damaged, or none that conversations can use."""


class UnknownTokenIdException(MistralCommonException, ValueError, IndexError, KeyError):
    """A token id lies outside the vocabulary."""

    def __str__(self) -> str:
        return self.message


class ForbiddenTextException(InvalidRequestException, ValueError):
    """A text contains a piece that the caller forbade, or cannot be encoded at all."""
