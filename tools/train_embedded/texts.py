"""The texts that vectors are distilled on: WordNet's words, glosses and examples, docstrings, and own sentences."""

from __future__ import annotations

import ast
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tools.train_embedded.wordnet import WordNet

MAX_WORDS = 48
_BLANKS = re.compile(r"\s+")


def clean(text: str) -> str:
    """One line, single blanks, at most `MAX_WORDS` words."""
    return " ".join(_BLANKS.sub(" ", text).strip().split(" ")[:MAX_WORDS])


def wordnet_texts(wordnet: WordNet, seed: int, rare_glosses: int) -> list[str]:
    """Words in use, all example sentences, glosses of the meanings in use and a sample of the others.

    Args:
        wordnet: the database.
        seed: of the sample.
        rare_glosses: size of the sample of glosses whose meaning the tagged corpora lack.
    """
    words: list[str] = []
    glosses: list[str] = []
    rare: list[str] = []
    examples: list[str] = []
    for synset in wordnet:
        words += [word for word, count in zip(synset.words, synset.counts, strict=True) if count]
        (glosses if synset.frequency else rare).append(synset.definition)
        examples += [example for example in synset.examples if example.count(" ") >= 2]
    random.Random(seed).shuffle(rare)
    return [*dict.fromkeys(words), *glosses, *rare[:rare_glosses], *examples]


def word_glosses(wordnet: WordNet) -> list[str]:
    """'word: gloss' for the meanings most in use."""
    used = sorted((s for s in wordnet if s.frequency >= 2), key=lambda s: (-s.frequency, s.key))
    return [f"{synset.words[0]}: {synset.definition}" for synset in used[:8000]]


def docstrings(limit: int) -> list[str]:
    """First paragraphs of the standard library's docstrings (PSF licence), in the order of its files."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    found: dict[str, None] = {}
    for path in sorted(folder.rglob("*.py")):
        if any(part in ("test", "tests", "site-packages", "idlelib", "lib2to3") for part in path.parts):
            continue
        for text in _docstrings_of(path):
            first = clean(text.split("\n\n")[0])
            if first.count(" ") >= 4 and first.isascii():
                found.setdefault(first)
    return list(found)[:limit]


def _docstrings_of(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):  # files made to be broken, for the library's own tests
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text
