"""`tekken.json` → Vocabulary."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Sequence

import msgspec

from mistral_tok.errors import VocabularyError
from mistral_tok.load.source import MAX_PATTERN, Source, damaged, refused
from mistral_tok.load.tekken_sections import AudioSection, ImageSection, SettingsSection
from mistral_tok.load.typed_json import decode
from mistral_tok.vocab import MAX_PIECES, NEVER, VERSIONS, Kind, Vocabulary

LEGACY_SPECIALS = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"),
    *("[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]"),
    *("[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"),
)
"""Special tokens of a file up to v7 that does not list its own, in order of id."""


class _Entry(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    rank: int
    token_bytes: bytes
    token_str: msgspec.Raw
    """Never read: what a token looks like says nothing that its bytes do not."""


class _Special(msgspec.Struct, gc=False):
    rank: int
    token_str: str
    is_control: bool = True


class _Config(msgspec.Struct):
    pattern: str
    default_vocab_size: int
    default_num_special_tokens: int
    version: str


class _File(msgspec.Struct):
    config: _Config
    vocab: list[_Entry]
    special_tokens: list[_Special] | None = None
    image: ImageSection | None = None
    multimodal: msgspec.Raw = msgspec.Raw(b"null")
    """Old name of `image`; an empty one is as good as none."""
    audio: AudioSection | None = None
    model_settings_builder: SettingsSection | None = None


_DECODER = msgspec.json.Decoder(_File)
_MULTIMODAL = msgspec.json.Decoder(ImageSection)


def read(source: Source) -> Vocabulary:
    """Parse a Tekken file; VocabularyError if it is damaged or breaks a rule of the format."""
    name = source.name
    file = decode(_DECODER, source.data, name)
    config = file.config
    if config.version not in VERSIONS:
        problem = f"unknown version {config.version!r}"
        raise refused(name, "$.config.version", problem, f"Known are {', '.join(VERSIONS)}.")
    if len(config.pattern) > MAX_PATTERN:
        raise refused(name, "$.config.pattern", f"{len(config.pattern)} characters", f"At most {MAX_PATTERN} are read.")
    count = config.default_num_special_tokens
    size = config.default_vocab_size - count
    _check_sizes(file, name)
    specials = _special_names(file, name)
    roles = {special: i for i, special in enumerate(specials)}
    return Vocabulary(
        name=name,
        family="tekken",
        version=config.version,
        pieces=tuple([special.encode() for special in specials] + _byte_pieces(file.vocab, size, name)),
        kinds=bytes([Kind.CONTROL]) * count + bytes([Kind.BYTE]) * 256 + bytes([Kind.NORMAL]) * (size - 256),
        ranks=array("I", [NEVER]) * count + array("I", range(size)),
        pattern=config.pattern,
        bos_id=roles.get("<s>"),
        eos_id=roles.get("</s>"),
        unk_id=roles.get("<unk>"),
        pad_id=roles.get("<pad>"),
        config=_sections(file, specials, name),
    )


def _check_sizes(file: _File, name: str) -> None:
    total, count = file.config.default_vocab_size, file.config.default_num_special_tokens
    if not 0 <= count <= MAX_PIECES:
        raise damaged(name, "$.config.default_num_special_tokens", f"{count} is not between 0 and {MAX_PIECES}")
    if not count + 256 <= total <= MAX_PIECES:
        problem = f"{total} is not between {count + 256} ({count} special tokens and 256 bytes) and {MAX_PIECES}"
        raise damaged(name, "$.config.default_vocab_size", problem)
    if total > len(file.vocab) + count:
        problem = f"{total} tokens are promised, but {count} special ones and {len(file.vocab)} entries make fewer"
        raise damaged(name, "$.config.default_vocab_size", problem)


def _byte_pieces(vocab: Sequence[_Entry], size: int, name: str) -> list[bytes]:
    """The bytes of the first `size` entries, whose ranks must count up from 0 and begin with the 256 single bytes."""
    used = vocab[:size]
    ranks = [entry.rank for entry in used]
    if not all(map(operator.eq, ranks, range(size))):
        i = next(i for i, rank in enumerate(ranks) if rank != i)
        raise damaged(name, f"$.vocab[{i}].rank", f"{ranks[i]} instead of {i}")
    pieces = [entry.token_bytes for entry in used]
    for i, piece in enumerate(pieces[:256]):
        if piece != bytes([i]):
            raise damaged(name, f"$.vocab[{i}].token_bytes", f"{piece[:40]!r} instead of the single byte 0x{i:02X}")
    return pieces


def _special_names(file: _File, name: str) -> list[str]:
    """Names of the ids below N: as listed, filled up with `<SPECIAL_i>`."""
    count = file.config.default_num_special_tokens
    if file.special_tokens is not None:
        names = _listed_names(file.special_tokens, name)
    elif VERSIONS.index(file.config.version) <= VERSIONS.index("v7"):
        names = list(LEGACY_SPECIALS)
    else:
        problem = f"missing, which only versions up to v7 allow, not {file.config.version}"
        raise refused(name, "$.special_tokens", problem, "Use the file as published with the model.")
    if len(names) > count:
        problem = f"{len(names)} names for {count} special tokens"
        raise damaged(name, "$.special_tokens", problem)
    names += [f"<SPECIAL_{i}>" for i in range(len(names), count)]
    first: dict[str, int] = {}
    for i, special in enumerate(names):
        if first.setdefault(special, i) != i:
            raise damaged(
                name, f"$.special_tokens[{i}]", f"{special!r} is also the name of special token {first[special]}"
            )
    return names


def _listed_names(specials: Sequence[_Special], name: str) -> list[str]:
    """Names in the order of the list, which has to be the order of their ids: the two meanings must not differ."""
    for i, special in enumerate(specials):
        if special.rank != i:
            problem = f"rank {special.rank} at place {i}, so that encoding and decoding would disagree"
            raise refused(
                name, f"$.special_tokens[{i}].rank", problem, "Sort the special tokens by rank, without gaps."
            )
    return [special.token_str for special in specials]


def _sections(file: _File, specials: Sequence[str], name: str) -> dict[str, object]:
    """What the conversation layer reads: special tokens, image, audio and model settings."""
    version = VERSIONS.index(file.config.version)
    listed = file.special_tokens or []
    control = [special.is_control for special in listed] + [True] * (len(specials) - len(listed))
    config: dict[str, object] = {
        "special_tokens": [
            {"rank": i, "token_str": special, "is_control": control[i]} for i, special in enumerate(specials)
        ],
    }
    image = file.image
    legacy = bytes(file.multimodal).translate(None, b" \t\r\n") not in (b"null", b"{}")
    if legacy and version > VERSIONS.index("v11"):
        problem = f"the section is called `image` in version {file.config.version}"
        raise refused(name, "$.multimodal", problem, "Rename it.")
    if legacy:
        image = decode(_MULTIMODAL, file.multimodal, f"{name}: $.multimodal")
    oldest = {
        "image": (image, "v3"),
        "audio": (file.audio, "v7"),
        "model_settings_builder": (file.model_settings_builder, "v15"),
    }
    for key, (section, since) in oldest.items():
        if section is None:
            continue
        if version < VERSIONS.index(since):
            problem = f"needs version {since} or later, and this file is {file.config.version}"
            raise refused(name, f"$.{key}", problem, "Use the file as published with the model.")
        try:
            config[key] = section.checked()
        except VocabularyError as error:
            raise VocabularyError(f"{name}: $.{key}: {error}") from error
    return config
