"""The audit itself: all examples against all evaluation texts, with what reviewers have waived."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.audit.index import ExampleIndex, ExampleText, Kind
from harness.audit.sources import EvaluationText
from harness.audit.waivers import Waiver, find_waiver, text_sha
from harness.registry.registry import Registry

# Of an example text that one split repeats again and again (a formula, a header) the first rows tell enough.
MAX_HITS_PER_SPLIT = 20
_PROGRESS_TEXTS = 5000


class Hit(NamedTuple):
    """An example text found in an evaluation."""

    task: str
    side: str
    number: int
    text: str
    text_sha: str
    evaluation_task: str
    split: str
    row_id: str
    evaluation_text: str
    kind: Kind
    similarity: float
    waived: bool
    reason: str
    """Of the waiver; empty without one."""


@dataclass(frozen=True)
class AuditResult:
    """What an audit found."""

    hits: list[Hit]
    short: list[Hit]
    """Equal texts of fewer than 4 words (12 characters): labels and the like. They decide nothing."""
    more: Counter[tuple[str, str, int, str, str]]
    """(task, side, number, evaluation task, split) -> hits beyond the listed ones."""
    num_example_texts: int
    num_short: int
    texts: dict[tuple[str, str], int]
    """(evaluation task, split) -> number of texts compared."""
    unused_waivers: tuple[Waiver, ...]
    seconds: float = field(compare=False)

    @property
    def unwaived(self) -> list[Hit]:
        """The hits that no waiver names."""
        return [hit for hit in self.hits if not hit.waived]


def example_texts(registry: Registry, tasks: Iterable[str] = ()) -> list[ExampleText]:
    """Return both sides of every example; those that a task shares with its aliases and parts come once.

    Args:
        registry: the registry of the session, with the example set to audit.
        tasks: names whose examples are taken; empty for all.

    Raises:
        TaskNotFoundError: an unknown name.
    """
    chosen = [registry.get(name) for name in tasks] or list(registry)
    groups = {(task.canonical, task.examples): task.name for task in chosen}
    groups.update({(task.canonical, task.examples): task.name for task in chosen if task.name == task.canonical})
    found: list[ExampleText] = []
    for (_, examples), name in sorted(groups.items(), key=lambda group: group[1]):
        for number, example in enumerate(examples):
            found.append(ExampleText(name, "query", number, example.query))
            found.append(ExampleText(name, "response", number, example.response))
    return found


def audit(
    examples: Sequence[ExampleText],
    evaluation: Iterable[EvaluationText],
    *,
    waivers: Sequence[Waiver] = (),
    progress: Callable[[int], None] | None = None,
) -> AuditResult:
    """Compare every example text with every evaluation text.

    Args:
        examples: texts of the examples; they alone are held in memory.
        evaluation: texts, read once as a stream.
        waivers: accepted hits.
        progress: called with the number of texts done, every few thousand.
    """
    started = time.perf_counter()
    index = ExampleIndex(examples)
    hits: list[Hit] = []
    short: list[Hit] = []
    listed: Counter[tuple[str, str, int, str, str]] = Counter()
    texts: Counter[tuple[str, str]] = Counter()
    used: set[Waiver] = set()
    shas = [text_sha(item.text) for item in index.texts]
    for number, item in enumerate(evaluation, start=1):
        texts[item.task, item.split] += 1
        if progress is not None and number % _PROGRESS_TEXTS == 0:
            progress(number)
        for match in index.matches(item.text):
            example = index.texts[match.position]
            waiver = find_waiver(waivers, example.task, shas[match.position], item.task)
            if waiver is not None:
                used.add(waiver)
            key = (example.task, example.side, example.number, item.task, item.split)
            listed[key] += 1
            if listed[key] > MAX_HITS_PER_SPLIT:
                continue
            hit = Hit(
                task=example.task,
                side=example.side,
                number=example.number,
                text=example.text,
                text_sha=shas[match.position],
                evaluation_task=item.task,
                split=item.split,
                row_id=item.row_id,
                evaluation_text=item.text,
                kind=match.kind,
                similarity=match.similarity,
                waived=waiver is not None,
                reason=waiver.reason if waiver else "",
            )
            (short if match.position in index.short else hits).append(hit)
    return AuditResult(
        hits=hits,
        short=short,
        more=Counter({key: count - MAX_HITS_PER_SPLIT for key, count in listed.items() if count > MAX_HITS_PER_SPLIT}),
        num_example_texts=len(index.texts),
        num_short=len(index.short),
        texts=dict(texts),
        unused_waivers=tuple(waiver for waiver in waivers if waiver not in used),
        seconds=time.perf_counter() - started,
    )
