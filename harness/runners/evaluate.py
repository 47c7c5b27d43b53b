"""One task, one configuration: identity, evaluation (through mteb, or AIR-Bench's own), score rows, per-item outcomes."""

from __future__ import annotations

import importlib.metadata
import logging
import math
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.encoder.text_encoder import EncodeStats
from harness.errors import DatasetUnavailableError, EncodingError, HarnessError, TaskFailedError
from harness.runners.adapter import ICLEncoder
from harness.runners.hub_cache import is_offline, take_pinned_revision
from harness.runners.items import item_table, record
from harness.runners.label_lists import read_labels_once
from harness.runners.sample import limit_task
from harness.runners.task_texts import task_texts
from harness.runners.tasks import TaskUnit, content_addressed_cache, dataset_revision, make_task
from harness.store.run_dir import canonical_sha256
from harness.store.schema import ScoreRow

if TYPE_CHECKING:
    import pyarrow as pa
    from mteb.abstasks import AbsTask

    from harness.runners.air_bench import AirTask

logger = logging.getLogger(__name__)

# What a task raises whose data or metadata do not fit its type. Anything else (out of memory, a broken installation) ends
# the run, and HarnessErrors pass through.
EVALUATION_ERRORS = (ValueError, TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError)
# Keys of mteb's score dictionaries that are no metric of their own.
_NO_METRIC = frozenset({"main_score", "hf_subset", "languages", "mteb_version"})


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation yields; everything that is written for a finished task."""

    identity: dict[str, Any]
    rows: list[ScoreRow]
    items: pa.Table
    mteb_result: dict[str, Any] | None
    """None for a task that mteb does not know."""
    stats: EncodeStats
    details: dict[str, Any]
    hits: dict[str, pa.Table] = field(default_factory=dict)
    """Split -> retrieved documents (store/hits.py), for tasks that keep them."""
    remark: str = ""
    """What belongs behind the score in a message."""


def mteb_version() -> str:
    """Return the installed mteb version."""
    return importlib.metadata.version("mteb")


def result_identity(encoder: ICLEncoder, unit: TaskUnit, task: AbsTask | AirTask, limit: int | None) -> dict[str, Any]:
    """Return everything that a score depends on; its hash is the key under which the score may be reused."""
    from harness.runners.air_bench import AirTask, air_protocol

    protocol = air_protocol(task, limit) if isinstance(task, AirTask) else _mteb_protocol(unit, task, limit)
    return {"subject": _subject(encoder, task), "protocol": protocol}


def _subject(encoder: ICLEncoder, task: AbsTask | AirTask) -> dict[str, Any]:
    choice = encoder.prompt_for(task.metadata)
    text_encoder = encoder.text_encoder
    profile = encoder.policy.profile
    return {
        **text_encoder.identity(),
        "model_name": text_encoder.source.model_name,
        "model_revision": text_encoder.source.revision,
        "prompt_fingerprint": choice.prompt.fingerprint,
        "instruction_sha": canonical_sha256(choice.prompt.instruction),
        "examples_sha": choice.examples_sha,
        "num_fewshot": choice.prompt.num_fewshot,
        "examples_set": choice.examples_set,
        "fewshot_seed": encoder.policy.fewshot_seed,
        "instructions": choice.instruction_set,
        "query_max_tokens": text_encoder.query_max_tokens,
        "document_max_tokens": text_encoder.document_max_tokens,
        "normalized": profile.normalizes(str(task.metadata.type)),
        "prompted": str(task.metadata.type) in profile.prompted_types,
    }


def _mteb_protocol(unit: TaskUnit, task: AbsTask, limit: int | None) -> dict[str, Any]:
    return {
        "task_name": task.metadata.name,
        "dataset_revision": dataset_revision(unit, task),
        "main_metric": task.metadata.main_score,
        "splits": sorted(task.eval_splits),
        "subsets": sorted(task.hf_subsets),
        "limit": limit or 0,
        "seed": task.seed,
        "mteb_version": mteb_version(),
    }


def evaluate_unit(
    encoder: ICLEncoder, unit: TaskUnit, task: AbsTask | AirTask, *, configuration: str, limit: int | None, run_id: str
) -> Evaluation:
    """Evaluate one fresh task object.

    Raises:
        DatasetUnavailableError: its data cannot be loaded.
        EncodingError: a vector or score that must not be stored.
    """
    from harness.runners.air_bench import AirTask, evaluate_air_unit

    if isinstance(task, AirTask):
        return evaluate_air_unit(encoder, unit, task, configuration=configuration, limit=limit, run_id=run_id)
    import mteb

    identity = result_identity(encoder, unit, task, limit)
    encoder.stats = EncodeStats()
    started = time.perf_counter()
    with warnings.catch_warnings(), content_addressed_cache(unit):
        warnings.simplefilter("ignore")
        load_task(task, unit)
        if limit:
            limit_task(task, limit)
        read_labels_once(task)
        loaded = time.perf_counter()
        encoder.text_encoder.prepare(lambda: task_texts(task))
        with record(task) as recording, tempfile.TemporaryDirectory() as nowhere:
            try:
                result = mteb.evaluate(
                    encoder,
                    [task],
                    cache=None,
                    co2_tracker=False,
                    show_progress_bar=False,
                    prediction_folder=Path(nowhere),
                    encode_kwargs={"batch_size": 512, "show_progress_bar": False},
                )
            except HarnessError:
                raise
            except EVALUATION_ERRORS as error:
                logger.debug("evaluation of %s failed", unit.name, exc_info=True)
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                raise TaskFailedError(
                    f"task {unit.name!r}: mteb cannot evaluate it: {reason}. Check its data, main_metric and type; "
                    "the stack trace is in the log under --verbose."
                ) from error
        task_result = result.task_results[0]
        items = item_table(task, recording)
    finished = time.perf_counter()
    stats = encoder.stats
    details = {
        "load_seconds": loaded - started,
        "evaluation_seconds": finished - loaded,
        "encode_seconds": stats.seconds,
        "texts": stats.texts,
        "texts_encoded": stats.encoded,
        "tokens": stats.tokens,
        "truncated_texts": stats.truncated,
        "empty_texts": stats.empty,
        "instruction": encoder.prompt_for(task.metadata).prompt.instruction,
        "batch_tokens": encoder.text_encoder.backend.batch_tokens,
    }
    rows = score_rows(encoder, unit, task, task_result.scores, identity, details, configuration, run_id)
    mteb_result = task_result.to_dict()
    mteb_result["date"] = None if task_result.date is None else task_result.date.timestamp()
    return Evaluation(identity, rows, items, mteb_result, stats, details)


def load_task(task: AbsTask, unit: TaskUnit) -> None:
    """Load a task's data, turning whatever the data library raises into one clear line.

    Raises:
        DatasetUnavailableError: not on this machine and not reachable.
    """
    try:
        if unit.folder is None and is_offline():
            take_pinned_revision(task)
        task.load_data()
    except HarnessError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        # `datasets` reports an unreachable hub, a missing split and a damaged file all as subclasses of these.
        source = str(unit.folder) if unit.folder is not None else str(task.metadata.dataset.get("path"))
        reason = " ".join(str(error).split())[:200]
        raise DatasetUnavailableError(
            f"task {unit.name!r}: its data ({source}) cannot be loaded: {type(error).__name__}: {reason}"
        ) from error


def score_rows(
    encoder: ICLEncoder,
    unit: TaskUnit,
    task: AbsTask | AirTask,
    scores: Any,
    identity: dict[str, Any],
    details: dict[str, Any],
    configuration: str,
    run_id: str,
) -> list[ScoreRow]:
    """Make one row per split, subset and metric.

    Raises:
        EncodingError: the main score is missing or not finite (constant gold labels or constant vectors).
    """
    subject, protocol = identity["subject"], identity["protocol"]
    common = {
        "model_name": subject["model_name"],
        "model_revision": subject["model_revision"],
        "model_label": encoder.text_encoder.source.label,
        "configuration": configuration,
        "num_fewshot": subject["num_fewshot"],
        "examples_set": subject["examples_set"],
        "instructions": subject["instructions"],
        "prompt_fingerprint": subject["prompt_fingerprint"],
        "task_name": unit.name,
        "task_type": str(task.metadata.type),
        "part_of": unit.part_of,
        "dataset_revision": protocol["dataset_revision"],
        "partial": bool(protocol["limit"]),
        "limit": protocol["limit"],
        "dtype": subject["dtype"],
        "tokenization": subject["tokenization"],
        "query_max_tokens": subject["query_max_tokens"],
        "document_max_tokens": subject["document_max_tokens"],
        "normalized": subject["normalized"],
        "texts": details["texts"],
        "texts_encoded": details["texts_encoded"],
        "encode_seconds": details["encode_seconds"],
        "evaluation_seconds": details["evaluation_seconds"],
        "mteb_version": protocol["mteb_version"],
        "result_key": canonical_sha256(identity),
        "run_id": run_id,
    }
    main = str(task.metadata.main_score)
    rows: list[ScoreRow] = []
    for split, by_subset in scores.items():
        for subset_scores in by_subset:
            subset = str(subset_scores["hf_subset"])
            value = subset_scores.get(main)
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise EncodingError(
                    f"{unit.name} ({split}, {subset}): main score {main} is {value!r}. Nothing was stored; constant "
                    "vectors or constant gold labels give no score."
                )
            for metric, score in subset_scores.items():
                if metric in _NO_METRIC or isinstance(score, bool) or not isinstance(score, (int, float)):
                    continue
                if math.isfinite(score):
                    rows.append(
                        ScoreRow(
                            **common,
                            split=str(split),
                            hf_subset=subset,
                            metric=str(metric),
                            score=float(score),
                            is_main=metric == main,
                        )
                    )
    return rows


__all__ = ["Evaluation", "evaluate_unit", "load_task", "make_task", "mteb_version", "result_identity", "score_rows"]
