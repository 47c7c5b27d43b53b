"""One AIR-Bench set, one configuration: the 1000 best documents of every query, and scores where the judgements are public."""

from __future__ import annotations

import importlib.metadata
import logging
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from harness.air_bench.data import SCORED_SPLIT, AirData, AirSource
from harness.air_bench.metrics import ITEM_COLUMNS, AirScores, air_metrics
from harness.encoder.text_encoder import EncodeStats
from harness.errors import ConfigError
from harness.registry.air_bench import AirBenchSet
from harness.runners.search import CORPUS_CHUNK
from harness.runners.tasks import TaskUnit
from harness.search.topk import StreamingTopK
from harness.store.hits import MAX_HITS, hits_as_run, hits_table
from harness.store.run_dir import RunDir

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.runners.adapter import ICLEncoder
    from harness.runners.evaluate import Evaluation

logger = logging.getLogger(__name__)

SUBSET = "default"


@dataclass(frozen=True)
class AirMetadata:
    """What the runner reads of mteb's `TaskMetadata`."""

    name: str
    main_score: str
    type: str = "Retrieval"


@dataclass(frozen=True)
class AirTask:
    """A set in the place of an mteb task object."""

    source: AirSource
    metadata: AirMetadata

    @property
    def searched_splits(self) -> tuple[str, ...]:
        """Splits whose queries are searched."""
        return self.source.one.splits

    @property
    def eval_splits(self) -> list[str]:
        """Splits that get a score here; the judgements of the others are the board's."""
        return [split for split in self.searched_splits if split == SCORED_SPLIT]

    def load_data(self) -> AirData:
        """Load and check the data; those of the last set are kept for its next configuration.

        Raises:
            DatasetUnavailableError: not on this machine and not reachable.
            ResultSchemaError: damaged, truncated or foreign.
        """
        revisions = tuple(self.source.revision(split) for split in self.searched_splits)
        return _loaded(self.source.one.name, revisions, _Holder(self.source))


class _Holder:
    """Carries a source past `lru_cache`: all holders are equal, the name and revisions beside it are the key."""

    def __init__(self, source: AirSource) -> None:
        self.source = source

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Holder)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=1)
def _loaded(_name: str, _revisions: tuple[str, ...], holder: _Holder) -> AirData:
    return holder.source.load()


def make_air_task(unit: TaskUnit) -> AirTask:
    """Return the task object of an AIR-Bench unit.

    Raises:
        ConfigError: the unit is none.
    """
    if unit.air is None:
        raise ConfigError(f"task {unit.name!r} is no set of AIR-Bench.")
    return AirTask(AirSource(unit.air, unit.folder), AirMetadata(unit.name, unit.air.main_metric))


def air_protocol(task: AirTask, limit: int | None) -> dict[str, Any]:
    """Return what a result depends on besides model and prompt.

    `splits` are the scored ones, and `dataset_revision` is that of the scored split, so that a run over dev alone and one over
    dev and test say the same of their dev scores. `retrieval_revisions` has one entry per searched split.
    """
    revisions = {split: task.source.revision(split) for split in task.searched_splits}
    decisive = next((split for split in task.eval_splits), task.searched_splits[0])
    return {
        "task_name": task.metadata.name,
        "benchmark_version": task.source.one.version,
        "dataset_revision": revisions[decisive],
        "retrieval_revisions": revisions,
        "main_metric": task.metadata.main_score,
        "splits": task.eval_splits,
        "searched_splits": sorted(task.searched_splits),
        "subsets": [SUBSET],
        "top_k": MAX_HITS,
        "limit": limit or 0,
        "seed": 0,
        "scorer": f"pytrec_eval-terrier {importlib.metadata.version('pytrec_eval-terrier')}",
        "mteb_version": "",
    }


def evaluate_air_unit(
    encoder: ICLEncoder, unit: TaskUnit, task: AirTask, *, configuration: str, limit: int | None, run_id: str
) -> Evaluation:
    """Search all queries of a set at once and score the dev split.

    Raises:
        DatasetUnavailableError: its data cannot be loaded.
        ResultSchemaError: its data are damaged, truncated or foreign.
        EncodingError: a vector or score that must not be stored.
    """
    from harness.runners.evaluate import Evaluation, result_identity, score_rows

    identity = result_identity(encoder, unit, task, limit)
    stats = encoder.stats = EncodeStats()
    started = time.perf_counter()
    data = task.load_data()
    if limit:
        data = data.limited(limit)
    encoder.text_encoder.prepare(data.all_texts)
    loaded = time.perf_counter()
    hits = _search(encoder, task, data)
    searched = time.perf_counter()
    scores: dict[str, list[dict[str, Any]]] = {}
    notes: dict[str, Any] = {
        split: {"queries": data.queries[split].num_rows, "hits": table.num_rows} for split, table in hits.items()
    }
    judged: AirScores | None = None
    if SCORED_SPLIT in hits:
        judged = air_metrics(data.qrels, hits_as_run(hits[SCORED_SPLIT]))
        scores[SCORED_SPLIT] = [{"hf_subset": SUBSET, **judged.mean}]
        notes[SCORED_SPLIT] |= {
            "judged": len(judged.per_query),
            "missing": len(judged.missing),
            "unjudged": len(judged.unjudged),
            "tied": judged.tied,
        }
    finished = time.perf_counter()
    details = {
        "load_seconds": loaded - started,
        "evaluation_seconds": finished - loaded,
        "search_seconds": searched - loaded - stats.seconds,
        "encode_seconds": stats.seconds,
        "texts": stats.texts,
        "texts_encoded": stats.encoded,
        "tokens": stats.tokens,
        "truncated_texts": stats.truncated,
        "empty_texts": stats.empty,
        "instruction": encoder.policy.for_registered(unit.name).prompt.instruction,
        "batch_tokens": encoder.text_encoder.backend.batch_tokens,
        "air_bench": notes,
    }
    rows = score_rows(encoder, unit, task, scores, identity, details, configuration, run_id)
    return Evaluation(identity, rows, _items(judged), None, stats, details, hits, _remark(notes))


def _search(encoder: ICLEncoder, task: AirTask, data: AirData) -> dict[str, pa.Table]:
    """Return the hits of each split; the corpus passes by once, chunk by chunk."""
    name, task_type = task.metadata.name, task.metadata.type
    prompt = encoder.policy.for_registered(name).prompt
    profile = encoder.policy.profile

    def encode(texts: list[str], role: str) -> Any:
        side = profile.side(task_type, role)
        vectors, stats = encoder.text_encoder.encode(
            texts, prompt, side, normalize=profile.normalizes(task_type), where=f"{name} ({role} side)"
        )
        encoder.stats.add(stats)
        return vectors

    queries = [text for table in data.queries.values() for text in table["text"].to_pylist()]
    ids = data.corpus["id"].to_pylist()
    best = StreamingTopK(encode(queries, "query"), ids, MAX_HITS, scoring="cosine", device=encoder.search_device)
    for texts in data.texts(CORPUS_CHUNK):
        best.add(encode(texts, "document"))
    top = best.result()
    hits = {}
    start = 0
    column = data.corpus["id"].combine_chunks()
    for split, table in data.queries.items():
        rows = slice(start, start + table.num_rows)
        hits[split] = hits_table(table["id"].to_pylist(), column, top.indices[rows], top.scores[rows])
        start = rows.stop
    return hits


def _items(judged: AirScores | None) -> pa.Table:
    """Return one row per judged query with all metrics, in the layout of the other tasks' outcomes (docs/results.md)."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("split", pa.string()),
            ("hf_subset", pa.string()),
            ("experiment", pa.int64()),
            ("item", pa.string()),
            *((column, pa.float64()) for column in ITEM_COLUMNS.values()),
        ]
    )
    per_query = judged.per_query if judged else {}
    rows = [
        {
            "split": SCORED_SPLIT,
            "hf_subset": SUBSET,
            "experiment": 0,
            "item": query,
            **{column: per_query[query][metric] for metric, column in ITEM_COLUMNS.items()},
        }
        for query in sorted(per_query)
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def _remark(notes: dict[str, Any]) -> str:
    """Say what a reader of the scores should know: queries without score, ties, and what waits for the board."""
    remarks = []
    dev = notes.get(SCORED_SPLIT, {})
    if dev.get("missing"):
        remarks.append(f"{dev['missing']} of {dev['judged']} judged queries have no hit and count 0")
    if dev.get("unjudged"):
        remarks.append(f"{dev['unjudged']} queries have no judgement and are left out")
    if dev.get("tied"):
        remarks.append(f"{dev['tied']} of {dev['judged']} queries have equal scores at the top")
    for split in notes:
        if split != SCORED_SPLIT:
            remarks.append(f"{notes[split]['queries']} {split} queries for the board")
    return "; ".join(remarks)


def check_one_version(run: RunDir, sets: list[AirBenchSet]) -> None:
    """Refuse two versions of AIR-Bench in one run directory: their sets have the same names.

    Raises:
        ConfigError: names both.
    """
    versions = sorted({one.version for one in sets})
    if len(versions) > 1:
        raise ConfigError(
            f"{' and '.join(versions)} cannot be in one run: their sets have the same names. Give one command for each, with "
            "an --output-dir of its own."
        )
    for record in run.records() if versions else ():
        there = record["identity"]["protocol"].get("benchmark_version")
        if there and there != versions[0]:
            raise ConfigError(
                f"--output-dir {run.path} holds results of {there}; {versions[0]} has sets of the same names. "
                "Use another directory."
            )


__all__ = ["AirTask", "air_protocol", "check_one_version", "evaluate_air_unit", "make_air_task"]
