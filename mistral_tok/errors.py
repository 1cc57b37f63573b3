"""Every error that this package raises on purpose, under one base class.

Names and families follow mistral-common, so that `except` clauses written for it keep working. A message says
what was wrong, where, and what to do.
"""


class MistralTokError(Exception):
    """Base of all errors of this package."""


class VocabularyError(MistralTokError, ValueError):
    """A vocabulary file is missing, malformed, or of a kind that cannot be read exactly."""


class TextFileError(MistralTokError, ValueError):
    """A file that should be text is not UTF-8."""


class MistralCommonException(MistralTokError):
    """Base of the errors of the conversation layer; `message` holds the text."""

    def __init__(self, message: str = "Internal server error") -> None:
        super().__init__(message)
        self.message = message


class TokenizerException(MistralCommonException):
    """The request is valid, but this tokenizer version cannot express it."""


class UnsupportedTokenizerFeatureException(MistralCommonException):
    """The vocabulary lacks what the request needs (audio, a control token …)."""


class InvalidRequestException(MistralCommonException):
    """The request as a whole is not valid."""


class InvalidMessageStructureException(MistralCommonException):
    """The order or the number of messages is not valid."""


class InvalidSystemPromptException(MistralCommonException):
    """A system message is not valid."""


class InvalidUserMessageException(MistralCommonException):
    """A user message is not valid."""


class InvalidAssistantMessageException(MistralCommonException):
    """An assistant message is not valid."""


class InvalidToolMessageException(MistralCommonException):
    """A tool message is not valid."""


class InvalidFunctionCallException(MistralCommonException):
    """A tool call inside an assistant message is not valid."""


class InvalidToolException(MistralCommonException):
    """A tool definition is not valid."""


class InvalidToolSchemaException(MistralCommonException):
    """The parameters of a tool are not a valid JSON schema."""


class InvalidMediaException(InvalidRequestException, ValueError):
    """An image or a recording cannot be had: not readable, too large, of the wrong kind, or not allowed."""


class ImageDecodeException(InvalidMediaException):
    """The bytes of an image cannot be decoded."""
