"""`Tokenizer`: text to ids and back, one class for every vocabulary file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, cast

from mistral_tok.absent import Encodes, WithoutAbsent
from mistral_tok.core.decode import Decoder
from mistral_tok.core.encode import Encoder
from mistral_tok.core.image import TEKKEN_PATTERN, Image, make_image
from mistral_tok.core.spans import Spans
from mistral_tok.ids import as_ids, check_id
from mistral_tok.load import Source, bundled_names, bundled_path, find
from mistral_tok.load.cache import open_or_make
from mistral_tok.parallel import check_threads, counts, lists, ragged
from mistral_tok.stream import StreamDecoder
from mistral_tok.text import Errors, check_rows, check_text, is_strict, mend, mend_unicode, surrogate_positions
from mistral_tok.vocab import SPACE, Kind, Vocabulary

if TYPE_CHECKING:
    import numpy as np

    from mistral_tok.cuts import Cut

T = TypeVar("T")
Special = Literal["ignore", "keep", "raise"]
_SPECIAL = {"ignore": 0, "keep": 1, "raise": 2}
_STRICT = {"strict": True, "replace": False}
_PREFIX = {"never": 0, "always": 1, "unless-space": 2}

TABLE_BYTES = 32 << 20
"""Default bound, in bytes, of the tables in which one thread remembers what segments and whole texts encode to."""

_NO_ENDS = (-1, -1)
_new_tuple = tuple.__new__  # half the time of a NamedTuple's own

MAX_TABLE_BYTES = 1 << 36
"""Largest bound of these tables that is accepted."""


@cache
def _arrays() -> tuple[Callable[..., np.ndarray], np.dtype, np.dtype]:
    """Return what arrays of ids and of pairs are made with: importing numpy takes as long as making one."""
    import numpy as np

    return np.frombuffer, np.dtype(np.int32), np.dtype((np.int32, (2,)))


class Encoding(NamedTuple):
    """Ids and, for each, the half-open span of characters in the text that it stands for."""

    ids: list[int]
    offsets: np.ndarray
    """int32, shape (len(ids), 2)."""


class Tokenizer:
    """A vocabulary ready for use. Made by `from_file`, `bundled` or `from_vocabulary`; immutable; safe in any number
    of threads.

    >>> tokenizer = Tokenizer.bundled("v3-tekken")
    >>> tokenizer.encode("Hello, world")
    [22177, 1044, 4304]
    >>> tokenizer.decode([22177, 1044, 4304])
    'Hello, world'
    """

    def __init__(self, image: Image, *, table_bytes: int = TABLE_BYTES) -> None:
        if not isinstance(table_bytes, int) or not 0 <= table_bytes <= MAX_TABLE_BYTES:
            raise ValueError(f"table_bytes is {table_bytes!r}; expected a number from 0 to {MAX_TABLE_BYTES}.")
        meta = image.meta
        self._image = image
        self._table_bytes = table_bytes
        self.name: str = meta["name"]
        self.family: str = meta["family"]
        self.version: str = meta["version"]
        self.config: dict[str, object] = meta["config"]
        self.bos_id: int | None
        self.eos_id: int | None
        self.unk_id: int | None
        self.pad_id: int | None
        self.bos_id, self.eos_id, self.unk_id, self.pad_id = meta["ids"]
        self.vocab_size: int = image.n_ids
        foreign = self.config.get("format") in ("tokenizer.json", "gguf")
        self._decoder = Decoder(
            image,
            0 if meta["prefix"] == "never" else 2 if foreign else 1,
            foreign,
            foreign,
            str(self.config.get("unk_surface", " \u2047 ")),
        )
        controls = [m.start() for m in re.finditer(bytes([Kind.CONTROL]), image.sections["kinds"])]
        self.special_ids = frozenset(controls)
        self.special_names = {self.piece(i): i for i in controls}
        self._by_name: dict[str, int] | None = None
        self._drops = meta["pattern"] is not None and self.config.get("unmatched") == "drop"
        """Whether text that the pattern does not match is left out."""
        self._spans: Spans | None = None
        self._whole = self._make_encoder()
        self._encoder: Encodes = self._whole
        self._absent: WithoutAbsent | None = None
        if image.n_ids < image.n_pieces:
            self._encoder = self._absent = WithoutAbsent(self._whole, image.n_ids)

    @property
    def chat_template(self) -> str | None:
        """The Jinja chat template inside the vocabulary file; None where there is none. GGUF files may carry one."""
        template = self.config.get("chat_template")
        return template if isinstance(template, str) else None

    def _make_encoder(self) -> Encoder:
        meta = self._image.meta
        scanner, splitter = 0, None
        if self.family != "sentencepiece":
            scanner = 1 if meta["pattern"] == TEKKEN_PATTERN and "unmatched" not in self.config else 2
        if scanner == 2:
            from mistral_tok.core.split import make_splitter

            splitter = make_splitter(self.name, meta["pattern"], self._user_defined(), self._drops)
        self._splits_strings = scanner == 2
        every = self.config.get("prefix_scope") == "segment"
        return Encoder(self._image, scanner, _PREFIX[meta["prefix"]], splitter, every, self._table_bytes)

    def _user_defined(self) -> dict[str, int]:
        defined = memoryview(self._image.sections["user_defined"]).cast("B").cast("I")
        return {self._decoder.surface(i)[1].decode(): i for i in defined}

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, table_bytes: int = TABLE_BYTES) -> Tokenizer:
        """Open a vocabulary file, or a folder as published on the hub; the format is told by the contents.

        SentencePiece `.model` (BPE with byte fallback), `tekken.json`, Hugging Face's `tokenizer.json`, and the
        vocabulary inside a GGUF file, whose weights are not read. Raises `VocabularyError` that names file, place and
        remedy. Tables are kept in the cache folder (`MISTRAL_TOK_CACHE=off|path`) for the next time. `table_bytes`
        bounds, for each thread, the memory in which encoded segments and texts are remembered.
        """
        return cls(open_or_make(find(path), _make), table_bytes=table_bytes)

    @classmethod
    def bundled(cls, name: str, *, table_bytes: int = TABLE_BYTES) -> Tokenizer:
        """Open an official vocabulary by its name, one of `bundled_names()`; `VocabularyError` for another."""
        tokenizer = cls.from_file(bundled_path(name), table_bytes=table_bytes)
        tokenizer.name = name
        return tokenizer

    @staticmethod
    def bundled_names() -> tuple[str, ...]:
        """Return the names of the official vocabularies on board.

        >>> Tokenizer.bundled_names()
        ('v1', 'v2', 'v3', 'v3-tekken', 'v3-tekken-mm', 'v7', 'v7-mm')
        """
        return bundled_names()

    @classmethod
    def from_vocabulary(cls, vocabulary: Vocabulary, *, table_bytes: int = TABLE_BYTES) -> Tokenizer:
        """Build a tokenizer from plain data, without a file and without the cache."""
        return cls(Image(make_image(vocabulary)), table_bytes=table_bytes)

    def __reduce__(self) -> tuple[object, ...]:
        image = self._image
        return _restore, (bytes(image.data), self.name, self._table_bytes)

    def __copy__(self) -> Tokenizer:
        return self

    def __deepcopy__(self, memo: object) -> Tokenizer:
        return self

    def __repr__(self) -> str:
        return (
            f"Tokenizer({self.name!r}, family={self.family!r}, version={self.version!r}, vocab_size={self.vocab_size})"
        )

    def encode(self, text: str, *, bos: bool = False, eos: bool = False, errors: Errors = "strict") -> list[int]:
        """Return the ids of a text, with BOS before and EOS after it if asked for.

        Control tokens never come from text: `<s>` in it is ordinary characters. (SentencePiece's user-defined pieces,
        such as `[REF]` in v7, are matched in text, as the reference does.) With `errors="strict"` a surrogate is a
        ValueError that names its index; with `"replace"` lone ones are encoded as U+FFFD and pairs are joined.

        The garbage collector does not visit the list, for ints refer to nothing: keeping many costs no time. (So it
        does not free a list that you make part of a cycle, nor name it among the referrers of an object.)
        """
        try:
            if not bos and not eos:  # a short text takes less time than working out its ends
                return self._encoder.encode(text)
            return self._encoder.encode(text, *self._ends(bos, eos))
        except (UnicodeEncodeError, TypeError) as error:
            return self._encoder.encode(mend(text, errors, error), *self._ends(bos, eos))

    def encode_array(self, text: str, *, bos: bool = False, eos: bool = False, errors: Errors = "strict") -> np.ndarray:
        """Return the ids of a text as an int32 array of shape (n,); no list is made on the way."""
        head, tail = self._ends(bos, eos) if bos or eos else _NO_ENDS
        try:
            data = self._encoder.array(text, head, tail)
        except (UnicodeEncodeError, TypeError) as error:
            data = self._encoder.array(mend(text, errors, error), head, tail)
        make, int32, _ = _arrays()
        return make(data, int32)

    def encode_with_offsets(
        self, text: str, *, bos: bool = False, eos: bool = False, errors: Errors = "strict"
    ) -> Encoding:
        """Return ids and offsets: for each id the half-open span of characters of `text` that it stands for.

        Spans cover the text in order. Bytes of one character that fall in several tokens share its span; the dummy
        prefix, BOS and EOS have empty ones.

        >>> Tokenizer.bundled("v3").encode_with_offsets("Hi you").offsets.tolist()
        [[0, 2], [2, 6]]
        """
        if self._spans is None:
            self._spans = self._make_spans()
        fixed = text
        head, tail = self._ends(bos, eos) if bos or eos else _NO_ENDS
        try:
            ids, pairs = self._whole.with_spans(text, head, tail, self._spans)
        except (UnicodeEncodeError, TypeError) as error:
            fixed = mend(text, errors, error)
            ids, pairs = self._whole.with_spans(fixed, head, tail, self._spans)
        make, _, pair = _arrays()
        found = make(pairs, pair)
        if self._drops:
            found = self._over_gaps(found, fixed, bos, eos)
        if self._absent is not None:
            present = [i for i, token in enumerate(ids) if token < self.vocab_size]
            ids, found = [ids[i] for i in present], found[present]
        if fixed is not text:
            import numpy as np

            found = np.array(surrogate_positions(text), np.int32)[found]
        return _new_tuple(Encoding, (ids, found))

    def _make_spans(self) -> Spans:
        every = self.config.get("prefix_scope") == "segment"
        return Spans(self._image.tables, _PREFIX[self._image.meta["prefix"]], every)

    def _over_gaps(self, found: np.ndarray, text: str, bos: bool, eos: bool) -> np.ndarray:
        """Return spans in the text as it is for those in what the pattern keeps of it."""
        import numpy as np

        from mistral_tok.core.split import make_kept

        places = np.array(make_kept(self.name, self._image.meta["pattern"], self._user_defined())(text), np.int32)
        inner = found[int(bos) : len(found) - int(eos)]
        inner[:] = np.stack([places[inner[:, 0]], places[inner[:, 1] - 1] + 1], axis=1)
        found[len(found) - int(eos) :] = len(text)
        return found

    def encode_batch(
        self,
        texts: Sequence[str],
        *,
        bos: bool = False,
        eos: bool = False,
        errors: Errors = "strict",
        threads: int | None = None,
    ) -> list[list[int]]:
        """Return the ids of each text. `threads`: None takes what the machine has where the batch is large enough."""
        ends = self._ends(bos, eos)
        rows = self._together(texts, errors, threads, lambda batch, n: lists(self._whole, batch, n, *ends))
        return rows if self._absent is None else [self._absent.kept(row) for row in rows]

    def encode_ragged(
        self,
        texts: Sequence[str],
        *,
        bos: bool = False,
        eos: bool = False,
        errors: Errors = "strict",
        threads: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids of all texts in one array, and where each text's begin: (int32 (total,), int64 (len(texts) +
        1,)).

        The ids of text `i` are `ids[row_splits[i] : row_splits[i + 1]]`.
        """
        import numpy as np

        ends = self._ends(bos, eos)
        if self._absent is not None:
            rows = self.encode_batch(texts, bos=bos, eos=eos, errors=errors, threads=threads)
            whole = [np.array([i for row in rows for i in row], np.int32)]
            splits = [np.cumsum([0, *map(len, rows)], dtype=np.int64)]
        else:
            found = self._together(texts, errors, threads, lambda batch, n: list(ragged(self._whole, batch, n, *ends)))
            make, int32, _ = _arrays()
            whole = [make(ids, int32) for ids, _ in found]
            splits = [np.frombuffer(ends, np.int64) for _, ends in found]
        if len(whole) == 1:
            return whole[0], splits[0]
        base = np.cumsum([0, *(ids.size for ids in whole)], dtype=np.int64)
        later = [ends[1:] + start for ends, start in zip(splits, base, strict=False)]
        return np.concatenate(whole), np.concatenate([base[:1], *later])

    def count(self, text: str, *, errors: Errors = "strict") -> int:
        """Return the number of ids of a text without making them."""
        try:
            return self._encoder.count(text)
        except (UnicodeEncodeError, TypeError) as error:
            return self._encoder.count(mend(text, errors, error))

    def count_batch(self, texts: Sequence[str], *, errors: Errors = "strict", threads: int | None = None) -> list[int]:
        """Return the number of ids of each text."""
        if self._absent is not None:
            return [len(row) for row in self.encode_batch(texts, errors=errors, threads=threads)]
        return self._together(texts, errors, threads, lambda batch, n: counts(self._whole, batch, n))

    def decode(self, ids: object, *, special: Special = "ignore", errors: Errors = "replace") -> str:
        """Return the text of ids: an int, a list, tuple, range, or an integer array or tensor of one dimension.

        Control ids are left out, named in place (`"keep"`) or refused with ValueError (`"raise"`). Bytes that are no
        UTF-8 become U+FFFD as in the reference, or with `errors="strict"` a ValueError. In SentencePiece vocabularies
        a `▁` in text comes back as a space.
        """
        try:  # calls would take longer than a text of some words
            policy, strict = _SPECIAL[special], _STRICT[errors]
        except (KeyError, TypeError):
            policy, strict = _policy(special), is_strict(errors)
        return self._decoder.text(ids if type(ids) is list else as_ids(ids), policy, strict)

    def decode_bytes(self, ids: object, *, special: Special = "ignore") -> bytes:
        """Return the bytes of ids, complete characters or not."""
        return self._decoder.bytes(as_ids(ids), _policy(special))

    def decode_batch(
        self, rows: Iterable[object], *, special: Special = "ignore", errors: Errors = "replace"
    ) -> list[str]:
        """Return the text of each row of ids."""
        policy, strict = _policy(special), is_strict(errors)
        texts: list[str] = []
        for row in check_rows(rows, "rows"):
            try:
                texts.append(self._decoder.text(row if type(row) is list else as_ids(row), policy, strict))
            except (TypeError, ValueError) as error:
                error.add_note(f"This was in rows[{len(texts)}].")
                raise
        return texts

    def stream(self, *, special: Special = "ignore", errors: Errors = "replace") -> StreamDecoder:
        """Begin decoding ids that arrive one by one."""
        return StreamDecoder(self._decoder, _policy(special), is_strict(errors))

    def piece(self, id: int) -> str:
        """Return the piece of an id: with `▁` and `<0x41>` in SentencePiece, U+FFFD for incomplete bytes elsewhere."""
        kind, surface = self._decoder.surface(check_id(id, self.vocab_size))
        if self.family != "sentencepiece":
            return surface.decode("utf-8", "replace")
        if kind == Kind.BYTE:
            return f"<0x{surface[0]:02X}>"
        if kind == Kind.UNKNOWN:
            return cast(str, self._image.meta["unknown_name"])
        return surface.decode().replace(" ", SPACE) if kind != Kind.CONTROL else surface.decode()

    def piece_bytes(self, id: int) -> bytes:
        """Return the bytes that an id stands for in text; those of a control id are its name's."""
        return self._decoder.surface(check_id(id, self.vocab_size))[1]

    def id(self, piece: str) -> int:
        """Return the id of a piece, written as `piece` gives it; KeyError if there is none."""
        check_text(piece, "piece")
        if piece in self.special_names:
            return self.special_names[piece]
        surface = piece.encode("utf-8", "surrogatepass")
        if self.family == "sentencepiece":
            if piece == self._image.meta["unknown_name"] and self.unk_id is not None:
                return self.unk_id
            found = self._names().get(piece, -1)
        else:
            found = self._decoder.find(surface)
            if found < 0:
                found = self._names().get(piece, -1)
        if found < 0:
            raise KeyError(f"{piece[:60]!r} is no piece of {self.name}.")
        return found

    def encode_utf8(
        self, texts: list[bytes], *, bos: bool, eos: bool, threads: int | None, lines: bool = False
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Encode texts of checked UTF-8, for `files.encode_files`: parts of `encode_ragged`, with the ends in each.

        With `lines` every line of a text is one of its own.
        """
        import numpy as np

        check_threads(threads)
        ends = self._ends(bos, eos)
        found: Iterable[tuple[Any, Any]]
        if self._absent is None and not self._splits_strings:
            found = ragged(self._whole, texts, threads, *ends, strings=False, lines=lines)
        else:
            strings = [line.decode() for text in texts for line in (text.split(b"\n") if lines else (text,))]
            if self._absent is None:
                found = ragged(self._whole, strings, 1, *ends)
            else:
                rows = self.encode_batch(strings, bos=bos, eos=eos, threads=threads)
                ids = np.array([i for row in rows for i in row], np.int32)
                return [(ids, np.cumsum([len(row) for row in rows], dtype=np.int64))]
        make, int32, _ = _arrays()
        return [(make(ids, int32), np.frombuffer(ends, np.int64)[1:]) for ids, ends in found]

    def safe_cut(self) -> Cut | None:
        """Return what tells where a long text can be cut without changing an id, for `files.encode_files`."""
        from mistral_tok.cuts import make_cut

        return make_cut(self._image)

    def _names(self) -> dict[str, int]:
        """Return the ids of pieces by name, of those only that the core does not find; made when first asked for."""
        if self._by_name is None:
            found = () if self.family == "sentencepiece" else (Kind.NORMAL, Kind.BYTE)
            self._by_name = {
                self.piece(i): i for i, kind in enumerate(bytes(self._image.sections["kinds"])) if kind not in found
            }
        return self._by_name

    def _ends(self, bos: bool, eos: bool) -> tuple[int, int]:
        if (bos and self.bos_id is None) or (eos and self.eos_id is None):
            raise ValueError(f"{self.name} has no {'bos' if bos and self.bos_id is None else 'eos'} token.")
        return cast(int, self.bos_id) if bos else -1, cast(int, self.eos_id) if eos else -1

    def _together(
        self, texts: Sequence[str], errors: str, threads: int | None, work: Callable[[list[str], int | None], T]
    ) -> T:
        """Do `work` on a batch, or on a mended one where half a surrogate pair is in the way."""
        check_threads(threads)
        batch = list(check_rows(texts, "texts"))
        threads = 1 if self._splits_strings else threads
        try:
            return work(batch, threads)
        except UnicodeEncodeError:
            mended = [mend_unicode(text, errors, f"texts[{i}]") for i, text in enumerate(batch)]
        return work(mended, threads)


def _policy(special: str) -> int:
    try:
        return _SPECIAL[special]
    except (KeyError, TypeError):
        raise ValueError(f"special is {special!r}; expected 'ignore', 'keep' or 'raise'.") from None


def _make(source: Source) -> bytes:
    from mistral_tok.load import parse

    return make_image(parse(source))


def _restore(data: bytes, name: str, table_bytes: int) -> Tokenizer:
    tokenizer = Tokenizer(Image(data), table_bytes=table_bytes)
    tokenizer.name = name
    return tokenizer
