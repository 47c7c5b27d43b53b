"""Names and paths of AIR-Bench's result files, as air-benchmark 0.1.0 writes and its board reads them.

Folder: `<model>/<reranker>/<task_type>/<domain>/<language>_<dataset>_<split>.json`. A submission is a zip of what lies below
`<model>/<reranker>`, named `<model>_<reranker>.zip`.
"""

from __future__ import annotations

import re

from harness.errors import ConfigError
from harness.registry.air_bench import AirBenchSet

NO_RERANKER = "NoReranker"
"""air-benchmark's word for retrieval alone."""
HEAD_FIELDS = (
    "model_name", "reranker_name", "benchmark_version", "task_type", "domain", "language", "dataset_name", "split",
)  # fmt: skip
"""Fields of a result file, in air-benchmark's order; `search_results` follows."""
MAX_HITS = 1000
"""`search_top_k` of air-benchmark, and its largest k."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")


def model_folder(model_name: str, configuration: str) -> str:
    """Return the name under which a configuration of a model is exported: `BAAI__bge-en-icl-k3`.

    air-benchmark uses one name as folder and as `model_name`, and with a slash in it finds nothing and writes an empty
    table. Revisions of one model share the name; --name gives another.
    """
    return checked_name(f"{model_name.replace('/', '__')}-{configuration}")


def checked_name(name: str) -> str:
    """Return a name that can be a folder and a part of a zip's name.

    Raises:
        ConfigError: it holds a slash, blank or control character, or leads elsewhere.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise ConfigError(
            f"{name!r} cannot name a submission: letters, digits and . _ + - are taken, at most 128, no slash. Give --name."
        )
    return name


def file_name(air_set: AirBenchSet, split: str) -> str:
    """Return `en_default_test.json`."""
    return f"{air_set.language}_{air_set.dataset}_{split}.json"


def member_path(air_set: AirBenchSet, split: str) -> str:
    """Return the path of a set inside a submission: `qa/law/en_default_test.json`."""
    return f"{air_set.task_type}/{air_set.domain}/{file_name(air_set, split)}"


def zip_name(model: str, reranker: str = NO_RERANKER) -> str:
    """Return the file name of a submission."""
    return f"{model}_{reranker}.zip"
