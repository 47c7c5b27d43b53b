"""Is any training text a text of an evaluation? Asked of the evaluations at hand with the audit's own machinery.

    python -m tools.train_embedded.overlap --wordnet /usr/share/wordnet --data-dir ../shared/mteb_offline

Compared are all texts of the distillation and a sample of the episodes with all texts of the evaluation splits at hand, of the packaged
tasks (mini benchmark and probe), and with the examples of the packaged tasks. Exit code 1: a hit.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from harness.audit.index import ExampleIndex, ExampleText
from harness.audit.sources import EvaluationText, find_evaluation_files, read_texts
from harness.registry import Registry

# Definitions of one word ("a person who plays football") and sayings repeat by chance: shorter texts are labels for the audit,
# and are counted apart.
MAX_LISTED = 40


def evaluation_texts(registry: Registry, data_dir: Path | None) -> Iterator[EvaluationText]:
    """Yield the texts of the evaluation splits at hand, and the examples of the packaged tasks."""
    for file in find_evaluation_files(registry, data_dir):
        yield from read_texts(file)
    for task in registry:
        if task.data is not None:
            for number, example in enumerate(task.examples):
                yield EvaluationText(task.name, "examples", str(number), example.query)
                yield EvaluationText(task.name, "examples", str(number), example.response)


def overlapping(
    texts: Iterable[str], evaluation: Iterable[EvaluationText]
) -> tuple[dict[str, set[str]], int, Counter[str]]:
    """Return the training texts that an evaluation repeats.

    Returns:
        Training text -> tasks; the number of equal texts below four words, which are left; texts compared, by task.
    """
    index = ExampleIndex([ExampleText("training", "query", number, text) for number, text in enumerate(texts)])
    hits: dict[str, set[str]] = {}
    short: set[int] = set()
    compared: Counter[str] = Counter()
    for item in evaluation:
        compared[item.task] += 1
        for match in index.matches(item.text):
            if match.position in index.short:
                short.add(match.position)
            else:
                hits.setdefault(index.texts[match.position].text, set()).add(item.task)
    return hits, len(short), compared


@click.command()
@click.option("--wordnet", type=click.Path(path_type=Path), default=Path("/usr/share/wordnet"), show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Evaluation data, a folder per task.")
@click.option("--episodes", default=20_000, show_default=True, help="Queries of episodes that are compared.")
@click.option("--write", is_flag=True, help="Add what is found to the list of excluded texts.")
def main(wordnet: Path, data_dir: Path | None, episodes: int, write: bool) -> None:
    """Print the training texts that an evaluation at hand repeats."""
    from tools.train_embedded.data import EXCLUDED, excluded, text_hash
    from tools.train_embedded.pipeline import Settings, episode_texts, training_texts
    from tools.train_embedded.wordnet import WordNet

    database = WordNet(wordnet)
    texts = [*training_texts(database, Settings()), *episode_texts(database, episodes)]
    hits, short, compared = overlapping(texts, evaluation_texts(Registry.load(), data_dir))
    for text, tasks in list(hits.items())[:MAX_LISTED]:
        click.echo(f"{', '.join(sorted(tasks))}: {text}")
    click.echo(
        f"{len(texts)} training texts, {sum(compared.values())} evaluation texts of {len(compared)} tasks: "
        f"{len(hits)} overlaps ({short} equal texts below four words not counted)"
    )
    if write:
        EXCLUDED.write_text("\n".join(sorted(excluded() | {text_hash(text) for text in hits})) + "\n", encoding="ascii")
    sys.exit(1 if hits else 0)


if __name__ == "__main__":
    main()
