"""What all message and request types share: keyword construction and the pydantic habits of mistral-common's users."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, ClassVar, Self

import msgspec

from mistral_tok.chat.strict import strictly


class Checked(msgspec.StructMeta):
    """Records whose constructors check what they are given; `cls.checked` is False for those that need none."""

    def __call__(self, /, *args: Any, **fields: Any) -> Any:
        if args or not self.checked:  # type: ignore[attr-defined]
            return super().__call__(*args, **fields)
        return self.from_fields(fields)  # type: ignore[attr-defined]


class Base(msgspec.Struct, kw_only=True, gc=False, metaclass=Checked):
    """A typed record that is built from keywords and compared by value.

    The garbage collector does not look for cycles through records, for requests have none; it would otherwise cost a
    short request half as much time again.
    """

    checked: ClassVar[bool] = True

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Self:
        """What the constructor does with its keywords: dicts become records, wrong types and unknown keys are refused.

        Raises:
            InvalidShapeException: the error names the path.

        """
        return strictly(fields, cls)

    @classmethod
    def model_validate(cls, data: Any) -> Self:
        """Build one from a mapping (or return an instance as it is); unknown keys are refused.

        Raises:
            InvalidShapeException: the data has another shape; the error names the path.

        """
        if isinstance(data, cls):
            return data
        return cls.from_fields(data) if isinstance(data, dict) else strictly(data, cls)

    def model_dump(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """The record as dicts and lists; bytes and images stay what they are."""
        data: dict[str, Any] = _dumped(self, exclude_none)
        return data

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray) -> Self:
        """Build one from JSON, as `model_validate` does from a mapping."""
        from mistral_tok.chat.openai import parse_json

        return cls.model_validate(parse_json(json_data))

    def model_dump_json(self, *, exclude_none: bool = False) -> str:
        """The record as JSON; an image must be text or bytes."""
        return msgspec.json.encode(self.model_dump(exclude_none=exclude_none)).decode()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields replaced; only with `deep` are its parts copies too."""
        return msgspec.structs.replace(deepcopy(self) if deep else self, **(update or {}))


class Wire(Base, kw_only=True):
    """A record that OpenAI's format has too."""

    @classmethod
    def from_openai(cls, data: Mapping[str, Any]) -> Self:
        """Build one from a dict in OpenAI's format; keys that are not read are dropped.

        Raises:
            InvalidShapeException: the data has another shape; the error names the path.

        """
        from mistral_tok.chat.openai import single

        return single(cls, data)


def _dumped(value: Any, exclude_none: bool) -> Any:
    if isinstance(value, list):
        return [_dumped(part, exclude_none) for part in value]
    if not isinstance(value, msgspec.Struct):
        return value
    config = value.__struct_config__
    fields = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
    found = {key: _dumped(getattr(value, name), exclude_none) for key, name in fields}
    tag = {config.tag_field: config.tag} if config.tag_field else {}
    left_out = (msgspec.UNSET, None) if exclude_none else (msgspec.UNSET,)
    return tag | {key: part for key, part in found.items() if not any(part is value for value in left_out)}
