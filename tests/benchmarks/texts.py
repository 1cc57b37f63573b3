"""Seven kinds of text by the megabyte, the same for the same seed, and the adversarial inputs.

Prose is sampled: words by their frequency in the language (package `wordfreq`, 200,000 to 700,000 words each), with
sentences, paragraphs, capitals, punctuation, numbers, and a share of words that no list has. So segments are
distributed as in running text, with a long tail, and another seed gives new text in the sense that matters here:
frequent words again, rare words mostly not seen before. What it lacks: phrases, markup, and the repetitions within one
document; `--corpus FOLDER` measures real text (`en.txt`, `de.txt` …) instead. Python code is the standard library.
"""

from __future__ import annotations

import random
import sysconfig
from bisect import bisect
from functools import cache
from itertools import accumulate
from pathlib import Path

KINDS = ("en", "de", "ru", "zh", "ja", "python", "mix")
"""The kinds measured by default (`mix` changes between the others all the time); there are also `fr` and `random`."""

PROSE = ("en", "de", "fr", "ru", "zh", "ja")
UNSPACED = {"zh": ("，", "。", "？"), "ja": ("、", "。", "！")}
CAPITALS = {"en": 0.07, "de": 0.33, "fr": 0.05, "ru": 0.05}
ELISIONS = frozenset(("l", "d", "j", "n", "s", "c", "m", "t", "qu"))
EMOJI = ["😀", "👍🏽", "👩\u200d🚀", "🇫🇷", "❤️", "🤖", "✂️", "1️⃣", "🏳️\u200d🌈", "🫠"]


@cache
def frequencies(language: str) -> tuple[list[str], list[float]]:
    """Words of a language and their cumulated frequencies."""
    from wordfreq import get_frequency_dict

    found = get_frequency_dict(language, "best")
    return list(found), list(accumulate(found.values()))


def _sample(language: str, rng: random.Random, count: int) -> list[str]:
    words, sums = frequencies(language)
    return [words[bisect(sums, rng.random() * sums[-1], 0, len(words) - 1)] for _ in range(count)]


def _vary(word: str, rng: random.Random, language: str) -> str:
    """Give a number its digits, and now and then make a word that is in no list (a name, a slip of the pen)."""
    if "0" in word:
        return "".join(str(rng.randrange(10)) if c == "0" else c for c in word)
    if len(word) > 3 and rng.random() < 0.01:
        i = rng.randrange(len(word) - 1)
        word = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    return word.capitalize() if rng.random() < CAPITALS.get(language, 0) else word


def _sentence(language: str, rng: random.Random) -> str:
    words = [_vary(w, rng, language) for w in _sample(language, rng, max(3, int(rng.lognormvariate(2.6, 0.5))))]
    comma, stop, other = UNSPACED.get(language, (", ", ".", "?" if rng.random() < 0.7 else "!"))
    space = "" if language in UNSPACED else " "
    out: list[str] = []
    for i, word in enumerate(words):
        chance = rng.random()
        if chance < 0.01:
            word = f"({word})"
        elif chance < 0.02:
            word = f"“{word}”" if space else f"「{word}」"
        last = i == len(words) - 1
        clause = chance > (0.92 if space else 0.84)  # Chinese and Japanese clauses have about ten characters
        glue = "’" if language == "fr" and word.lower() in ELISIONS else comma if clause else space
        out += [word, "" if last else glue]
    text = "".join(out)
    return text[0].upper() + text[1:] + (stop if rng.random() < 0.92 else other)


def _prose(language: str, size: int, rng: random.Random) -> str:
    """About `size` bytes of sentences in paragraphs."""
    space = "" if language in UNSPACED else " "
    out: list[str] = []
    done = 0
    while done < size:
        paragraph = space.join(_sentence(language, rng) for _ in range(rng.randrange(2, 9))) + "\n\n"
        out.append(paragraph)
        done += len(paragraph.encode())
    return "".join(out)


def _python(size: int, rng: random.Random) -> str:
    """About `size` bytes of the standard library, whole files in a random order."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = sorted(p for p in root.rglob("*.py") if "site-packages" not in p.parts and "lib2to3" not in p.parts)
    rng.shuffle(paths)
    out: list[str] = []
    done = 0
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        out.append(text)
        done += len(text.encode())
        if done >= size:
            break
    return "\n".join(out)


def _mix(parts: list[str], size: int, rng: random.Random) -> str:
    places = [0] * len(parts)
    out: list[str] = []
    done = 0
    while done < size:
        k = rng.randrange(len(parts))
        step = rng.randrange(20, 600)
        piece = parts[k][places[k] : places[k] + step] + rng.choice((" ", "\n", "", rng.choice(EMOJI)))
        places[k] = (places[k] + step) % max(1, len(parts[k]) - step)
        out.append(piece)
        done += len(piece.encode())
    return "".join(out)


def text(kind: str, size: int, seed: int, corpus: Path | None = None) -> str:
    """About `size` bytes of one kind of text; texts of different seeds share no passage (of a corpus: other halves)."""
    rng = random.Random(f"{kind}/{seed}")
    if corpus is not None and (corpus / f"{kind}.txt").exists():
        whole = (corpus / f"{kind}.txt").read_text(encoding="utf-8")
        half = len(whole) // 2
        return cut((whole[:half], whole[half:])[seed % 2], size)
    if kind == "python":
        made = _python(2 * size, random.Random("python"))
        half = len(made) // 2
        made = (made[:half], made[half:])[seed % 2]
    elif kind == "random":  # words that no table has seen, nor will see again
        letters = "abcdefghijklmnopqrstuvwxyz"
        made = " ".join("".join(rng.choices(letters, k=rng.randrange(3, 12))) for _ in range(size // 8 + 1))
    elif kind == "mix":
        made = _mix([text(k, size // 4, seed + 100, corpus) for k in (*PROSE, "python")], size, rng)
    else:
        made = _prose(kind, size, rng)
    return cut(made, size)


def cut(whole: str, size: int) -> str:
    """The first `size` bytes, as far as they are whole characters."""
    return whole.encode()[:size].decode("utf-8", "ignore")


def documents(whole: str, length: int | None) -> list[str]:
    """Cut a text into documents of `length` characters; None leaves it whole."""
    return [whole] if length is None else [whole[i : i + length] for i in range(0, len(whole), length)]


def adversarial(size: int, hard: str) -> dict[str, str]:
    """Inputs of `size` characters that break naive encoders; `hard` is a unit made from the vocabulary's merges."""
    rng = random.Random(size)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return {
        "a…": "a" * size,
        "spaces": " " * size,
        "newlines": "\n" * size,
        "digits": "".join(rng.choices("0123456789", k=size)),
        "random letters": "".join(rng.choices(letters, k=size)),
        "one emoji": "🤖" * size,
        "alternating pairs": "ab" * (size // 2),
        "combining marks": "a" + "\u0301" * (size - 1),
        "from the vocabulary": (hard * (size // len(hard) + 1))[:size],
    }
