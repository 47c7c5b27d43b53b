"""The evaluation texts at hand: which files of a data folder are evaluated, and their texts as a stream."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ConfigError, ResultSchemaError
from harness.registry.registry import Registry
from harness.registry.strict_yaml import parse_yaml

BATCH_ROWS = 1024
NO_TEXT_COLUMNS = {
    "_id", "id", "idx", "index", "query-id", "corpus-id", "corpus-ids", "label", "labels", "label_text", "label_texts",
    "score", "relevance", "genre", "dataset", "year", "sid", "source", "lang", "language", "split", "url", "category",
}  # fmt: skip
"""Columns that carry names, numbers or places and are no text that a model is shown."""
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")
_ENDINGS = (".parquet", ".jsonl")


class EvaluationFile(NamedTuple):
    """A file whose texts are evaluated."""

    task: str
    split: str
    """Split, or `corpus` and `queries` of a retrieval task."""
    path: Path
    keep_ids: frozenset[str] | None
    """Ids of the rows that count; None for all."""


class EvaluationText(NamedTuple):
    """One text of an evaluation."""

    task: str
    split: str
    row_id: str
    text: str


class _Part(NamedTuple):
    config: str
    split: str
    path: Path


def find_evaluation_files(registry: Registry, data_dir: Path | None) -> list[EvaluationFile]:
    """Return the evaluated files below a data folder and of the packaged tasks, in a fixed order.

    A task's evaluation splits are those of the registry; of a folder that it does not know, every split but `train`.

    Raises:
        ConfigError: the folder does not exist.
        ResultSchemaError: a file of relevance judgements is damaged.
    """
    folders: dict[str, Path] = {}
    for task in registry:
        if task.data is not None:
            folders[task.name] = task.data
    if data_dir is not None:
        if not data_dir.is_dir():
            raise ConfigError(f"--data-dir {str(data_dir)!r} is no folder.")
        named = {task.name: data_dir / task.name for task in registry if (data_dir / task.name).is_dir()}
        parents = {parent for folder in named.values() for parent in folder.parents}
        for folder in sorted(path for path in data_dir.iterdir() if path.is_dir()):
            if folder not in parents and _parts(folder):
                named.setdefault(folder.name, folder)
        folders.update(named)
    files: list[EvaluationFile] = []
    for name in sorted(folders):
        splits = registry.get(name).splits if name in registry else None
        files += _files_of(name, folders[name], splits)
    return files


def _files_of(task: str, folder: Path, splits: tuple[str, ...] | None) -> list[EvaluationFile]:
    parts = _parts(folder)
    corpus = [part for part in parts if part.config.endswith("corpus")]
    if not corpus:
        wanted = [part for part in parts if (part.split in splits if splits else part.split != "train")]
        return [EvaluationFile(task, part.split, part.path, None) for part in wanted]
    queries = [part for part in parts if part.config.endswith("queries")]
    judged: set[str] = set()
    for part in parts:
        if part not in corpus and part not in queries:
            # One file `qrels` beside corpus and queries is the evaluation's; several are one per split.
            if splits and part.split not in splits and part.split != "qrels":
                continue
            judged.update(_column(part.path, "query-id"))
    return [
        *(EvaluationFile(task, "corpus", part.path, None) for part in corpus),
        *(EvaluationFile(task, "queries", part.path, frozenset(judged)) for part in queries),
    ]


def _parts(folder: Path) -> list[_Part]:
    """Return the data files of a folder by its card's `configs`, or else by their names."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in _ENDINGS and path.is_file())
    declared = _declared(folder, files)
    if declared is not None:
        return declared
    parts = []
    for path in files:
        stem = _SHARD.sub("", path.stem)
        parts.append(_Part(stem, stem, path))
    return [part for part in parts if part.config != "top_ranked"]


def _declared(folder: Path, files: list[Path]) -> list[_Part] | None:
    card = folder / "README.md"
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---\n") or "\n---" not in text[4:]:
        return None
    try:
        data = parse_yaml(text[4 : text.index("\n---", 4) + 1], str(card)).data
    except ConfigError:
        return None  # a card need not be ours to read: then all files count, by their names
    configs = data.get("configs") if isinstance(data, dict) else None
    if not isinstance(configs, list):
        return None
    parts: list[_Part] = []
    for config in configs:
        if not isinstance(config, dict):
            return None
        name = str(config.get("config_name", "default"))
        for split, patterns in _patterns(config.get("data_files")):
            for path in files:
                relative = path.relative_to(folder).as_posix()
                if any(fnmatch.fnmatchcase(relative, pattern.removeprefix("./")) for pattern in patterns):
                    parts.append(_Part(name, split, path))
    return [part for part in parts if not part.config.endswith("top_ranked")]


def _patterns(data_files: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield (split, patterns) of a card's `data_files`, which may be a text, a list of texts or a list of mappings."""
    for item in data_files if isinstance(data_files, list) else [data_files]:
        if isinstance(item, str):
            yield "train", [item]
        elif isinstance(item, dict):
            paths = item.get("path")
            yield str(item.get("split", "train")), [str(one) for one in (paths if isinstance(paths, list) else [paths])]


def _column(path: Path, name: str) -> Iterator[str]:
    for _, row in _rows(path, lambda columns: [name] if name in columns else []):
        if name in row:
            yield str(row[name])


def _rows(path: Path, choose: Callable[[list[str]], list[str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Stream a file's rows with the columns that `choose` picks; a file is never read whole."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(path)
            columns = choose(file.schema_arrow.names)
            index = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns) if columns else ():
                for row in batch.to_pylist():
                    yield index, row
                    index += 1
        except (pa.ArrowInvalid, OSError) as error:
            raise ResultSchemaError(f"{path}: not a readable parquet file ({' '.join(str(error).split())}).") from error
        return
    with path.open(encoding="utf-8") as handle:
        index = 0
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ResultSchemaError(f"{path}:{number}: not JSON ({error.msg}).") from error
            if not isinstance(row, dict):
                raise ResultSchemaError(f"{path}:{number}: one JSON object per line is expected.")
            yield index, {key: row[key] for key in choose(list(row))}
            index += 1


def read_texts(file: EvaluationFile) -> Iterator[EvaluationText]:
    """Stream the texts of an evaluated file; a document is `title text`, as the model sees it.

    Raises:
        ResultSchemaError: the file is damaged.
    """
    is_retrieval = file.split in ("corpus", "queries")

    def choose(columns: list[str]) -> list[str]:
        return [name for name in columns if name == "_id" or name == "id" or name not in NO_TEXT_COLUMNS]

    for index, row in _rows(file.path, choose):
        row_id = str(row.pop("_id", row.pop("id", index)))
        if file.keep_ids is not None and row_id not in file.keep_ids:
            continue
        if is_retrieval:
            text = f"{row.get('title') or ''} {row.get('text') or ''}".strip()
            yield EvaluationText(file.task, file.split, row_id, text)
            continue
        names = [name for name, value in row.items() if isinstance(value, str | list)]
        for name in names:
            value = row[name]
            where = row_id if len(names) == 1 else f"{row_id}.{name}"
            if isinstance(value, str):
                yield EvaluationText(file.task, file.split, where, value)
                continue
            for position, item in enumerate(value):
                if isinstance(item, str):
                    yield EvaluationText(file.task, file.split, f"{where}[{position}]", item)
