"""Print docs/registry-statistics.md: how many examples the registry ships, and how long they are.

    python tools/registry_statistics.py > docs/registry-statistics.md

needs mistral-common and sentencepiece (extra `test`): tokens are those of Mistral-7B-v0.1, bge-en-icl's tokenizer.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.prompts.profile import find_profile  # noqa: E402
from harness.prompts.template import PromptTemplate, build_prompt  # noqa: E402
from harness.registry import RegisteredTask, Registry  # noqa: E402

COMMAND = "python tools/registry_statistics.py > docs/registry-statistics.md"
GROUPS = {"mteb": "MTEB", "air_bench": "AIR-Bench", "mini": "mini"}
COLUMNS = ("benchmark", "type", "entries", "names", "examples", "query tokens", "response tokens", "prefix tokens")


class Tokens:
    """Counts tokens as bge-en-icl's tokenizer does."""

    def __init__(self, special_tokens: Iterable[str]) -> None:
        """Load the sentencepiece model that mistral-common carries."""
        import sentencepiece

        spec = importlib.util.find_spec("mistral_common")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit("mistral-common is missing. Install the extra `test`.")
        file = Path(next(iter(spec.submodule_search_locations))) / "data" / "tokenizer.model.v1"
        self._model: Any = sentencepiece.SentencePieceProcessor(model_file=str(file))
        self._special = re.compile("|".join(map(re.escape, special_tokens)))

    def count(self, text: str) -> int:
        """Return the number of tokens of a text, without begin and end token.

        A special token is one token, and the text between two of them is tokenized by itself.
        """
        pieces = [piece for piece in self._special.split(text) if piece]
        return len(self._special.findall(text)) + sum(len(self._model.encode(piece)) for piece in pieces)


def rows_of(registry: Registry, tokens: Tokens, template: PromptTemplate) -> list[tuple[str, ...]]:
    """Return a row for each task type of each group, one for the group, and one for all."""
    groups: dict[tuple[str, str], list[RegisteredTask]] = {}
    for folder, title in GROUPS.items():
        for task in sorted(registry, key=lambda one: (_type_name(one), one.name)):
            if task.path.parent.name == folder:
                groups.setdefault((title, _type_name(task)), []).append(task)
        groups[title, "all"] = [task for task in registry if task.path.parent.name == folder]
    groups["all", ""] = list(registry)
    return [(*titles, *_numbers(tasks, tokens, template)) for titles, tasks in groups.items()]


def _type_name(task: RegisteredTask) -> str:
    if task.name.startswith("air-bench/"):
        return "Retrieval, " + ("QA" if task.name.startswith("air-bench/qa/") else "Long-Doc")
    return task.task_type


def _numbers(tasks: list[RegisteredTask], tokens: Tokens, template: PromptTemplate) -> list[str]:
    # Aliases and parts that take the examples of their task are no entries.
    entries = {
        (task.canonical, task.examples): task for task in sorted(tasks, key=lambda one: one.name != one.canonical)
    }
    own = [task for (_, examples), task in reversed(list(entries.items())) if examples]
    examples = [example for task in own for example in task.examples]
    prefixes = [build_prompt(template, task.instruction().text, task.examples).prefix for task in own]
    return [
        str(len(own)),
        str(sum(bool(task.benchmarks) or task.part_of is not None or task.data is not None for task in tasks)),
        str(len(examples)),
        _spread([tokens.count(example.query) for example in examples]),
        _spread([tokens.count(example.response) for example in examples]),
        _spread([tokens.count(prefix) for prefix in prefixes]),
    ]


def _spread(counts: list[int]) -> str:
    return f"{min(counts):,} / {sum(counts) / len(counts):,.0f} / {max(counts):,}"


def main() -> None:
    """Print the page."""
    profile = find_profile("BAAI/bge-en-icl")
    rows = rows_of(Registry.load(), Tokens(profile.special_tokens), profile.prompt_template)
    print("# Examples of the registry in numbers\n")
    print(f"Made by `{COMMAND}`; run it again after a change of `task_examples/`.\n")
    print(
        "Entries are tasks and parts with examples of their own. Names are what resolves to them: tasks, aliases and the parts of\n"
        "aggregates; the shared AIR-Bench entries themselves are not counted. Tokens are min / mean / max with\n"
        "Mistral-7B-v0.1's tokenizer (bge-en-icl's), without begin and end token. A prefix is all examples of an entry as\n"
        "bge-en-icl reads them, with the instruction before each. Limits: 256 tokens per query and response, 1,536 per\n"
        "prefix.\n"
    )
    print("| " + " | ".join(COLUMNS) + " |")
    print("| --- | --- |" + " ---: |" * (len(COLUMNS) - 2))
    for row in rows:
        print("| " + " | ".join(f"**{cell}**" if "all" in row[:2] and cell else cell for cell in row) + " |")


if __name__ == "__main__":
    main()
