"""Where a tokenizer comes from and where it goes: folders, files and the Hugging Face hub."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mistral_tok.hf_options import UNBOUNDED, refuse_unknown
from mistral_tok.load import find
from mistral_tok.load.chat_template import Named, files_of, holds_template, read_config
from mistral_tok.load.locate import GGUF_SUFFIX, choose

if TYPE_CHECKING:
    from mistral_tok.mistral import MistralTokenizer

_TOLERATED = frozenset(
    ("_from_auto", "trust_remote_code", "backend", "files_loaded", "_from_pipeline", "_commit_hash", "dtype",
     "use_fast", "legacy")
)  # fmt: skip
"""Arguments that transformers' Auto classes pass to whatever they open; they mean nothing here."""


class Files:
    """Opening and saving, for a class whose constructor takes the path of a vocabulary file."""

    tokenizer: MistralTokenizer
    _path: Path
    pad_token: str
    _own_template: Named | None
    _beside: Callable[[], Named | None]

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *init_inputs: Any,
        mode: Any = "test",
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        model_max_length: int = UNBOUNDED,
        padding_side: str = "left",
        truncation_side: str = "right",
        model_input_names: Sequence[str] | None = None,
        clean_up_tokenization_spaces: bool = False,
        chat_template: Any = None,
        pad_token: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Open a folder, a vocabulary file, or a repository of the Hugging Face hub.

        A chat template that lies beside the vocabulary becomes the attribute `chat_template`, to be read. It is in
        use only where `save_pretrained` wrote it for a tokenizer whose template had been set, or where it is passed.

        Raises:
            ValueError: there is no vocabulary, or an argument is not supported.

        """
        place = f"{cls.__name__}.from_pretrained"
        if init_inputs:
            raise ValueError(
                f"`{place}` does not support `init_inputs`; it was given {len(init_inputs)} more arguments."
            )
        unknown = {name: value for name, value in kwargs.items() if name not in _TOLERATED}
        hint = ' EOS goes behind texts with mode="finetuning".' if "add_eos_token" in unknown else ""
        refuse_unknown(place, unknown, hint)
        path = Path(pretrained_model_name_or_path)
        if not path.exists():
            from mistral_tok.load.hub import fetch

            path = fetch(
                str(pretrained_model_name_or_path), revision=None if revision == "main" else revision, token=token,
                cache_dir=cache_dir, force_download=force_download, local_files_only=local_files_only,
                beside=holds_template,
            )  # fmt: skip
        opened: Any = cls
        made: Self = opened(
            path, mode=mode, model_max_length=model_max_length, padding_side=padding_side,
            truncation_side=truncation_side, model_input_names=model_input_names,
            clean_up_tokenization_spaces=clean_up_tokenization_spaces, chat_template=chat_template,
        )  # fmt: skip
        made.name_or_path = str(pretrained_model_name_or_path)
        if pad_token is not None:
            made.pad_token = pad_token
        return made

    name_or_path: str = ""

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        push_to_hub: bool = False,
        token: str | bool | None = None,
        commit_message: str | None = None,
        repo_id: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> tuple[str, ...]:
        """Write the vocabulary file to a folder, made if need be, and return the paths of what was written.

        A chat template that was set or was found beside the vocabulary is written, too: as `chat_template.jinja`, or
        with `save_jinja_files=False` into `tokenizer_config.json`, which also says whether it is in use. A file
        appears whole or not at all; the folder may be the one that it was read from. `push_to_hub` uploads all, too,
        to `repo_id` or to a repository named like the folder.

        Raises:
            FileNotFoundError: the file that the tokenizer was read from is gone.
            ValueError: an argument is not supported.

        """
        jinja = kwargs.pop("save_jinja_files", True)
        for name in ("legacy_format", "filename_prefix"):  # about files that are not written
            kwargs.pop(name, None)
        place = f"{type(self).__name__}.save_pretrained"
        refuse_unknown(place, kwargs)
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        saved = tuple(str(_write(content, folder / name)) for name, content in self._files(folder, jinja).items())
        if push_to_hub:
            self.push_to_hub(
                repo_id or folder.resolve().name, token=token, commit_message=commit_message, private=private
            )
        return saved

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """The same as `save_pretrained`."""
        return self.save_pretrained(save_directory)

    def push_to_hub(
        self,
        repo_id: str,
        use_temp_dir: bool | None = None,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        max_shard_size: int | str | None = None,
        create_pr: bool = False,
        safe_serialization: bool = True,
        revision: str | None = None,
        commit_description: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Upload the files of `save_pretrained` to a repository of the hub, made if need be.

        Returns what the hub's library does. `use_temp_dir`, `max_shard_size` and `safe_serialization` have no effect:
        there is little to upload.
        """
        refuse_unknown(f"{type(self).__name__}.push_to_hub", kwargs)
        import huggingface_hub

        api = huggingface_hub.HfApi(token=token)
        repo = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if revision is not None and not revision.startswith("refs/pr"):
            api.create_branch(repo, branch=revision, exist_ok=True)
        return api.create_commit(
            repo,
            [huggingface_hub.CommitOperationAdd(name, content) for name, content in self._files().items()],
            commit_message=commit_message or "Upload tokenizer",
            commit_description=commit_description,
            create_pr=create_pr,
            revision=revision,
        )

    def _files(self, folder: Path | None = None, jinja: bool = True) -> dict[str, Path | bytes]:
        """What is saved: file name → a file to copy, or its content; `folder` is where it goes."""
        found = find(self._path)
        if not found.path.is_file():
            raise FileNotFoundError(f"{found.path}, which this tokenizer was read from, is gone; it cannot be saved.")
        name = found.path.name
        if choose([name]) is None and not name.endswith(GGUF_SUFFIX):
            name = _usual_name(self.tokenizer)
        files: dict[str, Path | bytes] = {name: found.path}
        config = {} if folder is None else read_config(folder)
        if found.beside is not None:
            files[found.beside.name] = found.beside
            config = read_config(found.beside.parent)
        template = self._own_template or self._beside()
        if template is not None:
            files |= files_of(template, config, used=self._own_template is not None, jinja=jinja)
        return files


def _usual_name(tokenizer: MistralTokenizer) -> str:
    """The name that a vocabulary file of this kind has in a repository."""
    core = tokenizer.tokenizer
    if core.config.get("format") == "tokenizer.json":
        return "tokenizer.json"
    return "tekken.json" if core.family != "sentencepiece" else f"tokenizer.model.{tokenizer.version}"


def _write(content: Path | bytes, target: Path) -> Path:
    """Write a file, or copy one, in one step, unless it is there already."""
    if isinstance(content, Path) and target.exists() and os.path.samefile(content, target):
        return target
    target.parent.mkdir(exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".saving-")
    try:
        with os.fdopen(handle, "wb") as out:
            if isinstance(content, bytes):
                out.write(content)
            else:
                with open(content, "rb") as data:
                    shutil.copyfileobj(data, out)
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    return target
