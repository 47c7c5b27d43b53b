"""Result files of AIR-Bench's board as reference rows.

The board keeps, per submission, `AIR-Bench_<version>/<model>/<reranker>/results_<time>-<hash>.json`: a list with one element per
task type and metric, each with `config` (models, task, metric, ...) and `results` (domain, lang, dataset, value as a fraction).
Source: AIR-Bench/leaderboard_backend `src/backend.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ConfigError, ResultSchemaError
from harness.registry.air_bench import AirBenchSet, air_bench_sets, air_bench_versions
from harness.registry.air_bench_layout import NO_RERANKER
from harness.report.text import visible
from harness.store.atomic import read_json

_PATTERN = "results_*.json"
_DEPTHS = ("", "*/", "*/*/", "*/*/*/")
"""From a reranker's folder to the root of all versions."""
_CONFIG = ("retrieval_model", "reranking_model", "task", "metric")
_RESULT = ("domain", "lang", "dataset", "value")


class BoardScore(NamedTuple):
    """A main score of one set."""

    version: str
    model: str
    reranker: str
    timestamp: str
    one: AirBenchSet
    value: float
    """Fraction."""


def board_files(path: Path) -> list[Path]:
    """Return the newest result file of each submission below a path; empty if there is none.

    Args:
        path: a result file, or a folder of any level of the board's layout.
    """
    if path.is_file():
        return [path] if path.suffix == ".json" else []
    newest: dict[Path, Path] = {}
    for depth in _DEPTHS:
        for file in sorted(path.glob(f"{depth}{_PATTERN}")):
            newest[file.parent] = file
    return list(newest.values())


def read_board_file(file: Path) -> Iterator[BoardScore]:
    """Yield the main scores of a result file.

    Raises:
        ConfigError: the file lies in no folder that names its version.
        ResultSchemaError: it is damaged or no result file of the board.
    """
    version = next((part for part in reversed(file.parts[:-1]) if part in air_bench_versions()), None)
    if version is None:
        raise ConfigError(
            f"{file}: a result file of AIR-Bench's board does not say its version; put it below a folder "
            f"{' or '.join(air_bench_versions())}, as the board has it."
        )
    content = read_json(file)
    if not isinstance(content, list) or not content:
        raise ResultSchemaError(f"{file}: no result file of AIR-Bench's board (a list of config and results).")
    sets = {(one.task_type, one.domain, one.language, one.dataset): one for one in air_bench_sets(version)}
    seen = set()
    for element in content:
        config = _fields(element, "config", _CONFIG, file)
        results = element.get("results")
        if not isinstance(results, list):
            raise ResultSchemaError(f"{file}: an element without a list `results`.")
        for result in results:
            values = _checked(result, _RESULT, file)
            key = (config["task"], values["domain"], values["lang"], values["dataset"])
            one = sets.get(key)
            if one is None:
                raise ResultSchemaError(f"{file}: {visible('/'.join(map(str, key)))} is no set of {version}.")
            if config["metric"] != one.main_metric:
                continue
            value = values["value"]
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not math.isfinite(value)
                or not 0 <= value <= 1
            ):
                raise ResultSchemaError(f"{file}: {one.name}: value {value!r} is no fraction.")
            if one.name in seen:
                raise ResultSchemaError(f"{file}: {one.name}: {one.main_metric} stands there twice.")
            seen.add(one.name)
            yield BoardScore(
                version, str(config["retrieval_model"]), str(config["reranking_model"] or NO_RERANKER),
                str(config.get("timestamp") or ""), one, float(value),
            )  # fmt: skip
    if not seen:
        raise ResultSchemaError(f"{file}: holds no main score (nDCG@10 of qa, Recall@10 of long-doc).")


def board_row(score: BoardScore, label: str) -> dict[str, Any]:
    """Return a main score as a line of a frame of scores (`reference_frame.score_row`)."""
    # Both versions of one model, and a model with and without a reranker, are rows of their own.
    submission = [score.version, *([score.timestamp] if score.timestamp else [])]
    return {
        "reference": label,
        "model_name": score.model if score.reranker == NO_RERANKER else f"{score.model} + {score.reranker}",
        "model_revision": " ".join(submission),
        "task_name": score.one.name,
        "task_type": "Retrieval",
        "split": "test",
        "hf_subset": "default",
        "metric": score.one.main_metric,
        "score": score.value,
        "dataset_revision": score.version,
    }


def _fields(element: Any, name: str, wanted: tuple[str, ...], file: Path) -> dict[str, Any]:
    if not isinstance(element, dict):
        raise ResultSchemaError(f"{file}: an element that is no object.")
    return _checked(element.get(name), wanted, file)


def _checked(fields: Any, wanted: tuple[str, ...], file: Path) -> dict[str, Any]:
    missing = [name for name in wanted if not isinstance(fields, dict) or name not in fields]
    if missing:
        raise ResultSchemaError(f"{file}: no result file of AIR-Bench's board: {', '.join(missing)} missing.")
    found: dict[str, Any] = fields
    return found
