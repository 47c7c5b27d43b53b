"""`export mteb-results`: the layout of mteb's result cache and of its results repository.

results/<org>__<model>/<revision>/<Task>.json                           the configuration named as main
results/<org>__<model>/<revision>/experiments/<settings>/<Task>.json    every other one
beside them: model_meta.json, run_settings.jsonl

Few-shot and zero-shot are one model at one revision; mteb tells such variants apart by `experiment_kwargs`, whose names and
values make up the folder below `experiments`.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError
from harness.export.files import Written, write_all
from harness.export.source import FinishedRun, Result
from harness.store import atomic

if TYPE_CHECKING:
    from mteb import TaskResult
    from mteb.models.model_meta import ModelMeta

# mteb keeps these five in every run_settings line (ResultCache.save_to_cache).
_VERSIONS = ("mteb", "torch", "sentence-transformers", "flash-attn", "transformers")
_SETTINGS = ("examples_set", "instructions", "dtype", "tokenization", "query_max_tokens", "document_max_tokens")
_TASK_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+()-]*")


@dataclass(frozen=True)
class MtebExport:
    """What was written and what the results repository would say about it."""

    folders: dict[str, Path]
    """Configuration -> folder of its results."""
    written: Written
    aggregates: tuple[str, ...]
    """Aggregate tasks whose results were made from their parts."""
    objections: list[str] = field(default_factory=list)
    """Why the public results repository would not take these files; mteb itself loads them."""


def experiment_kwargs(configuration: str, result: Result) -> dict[str, str | int]:
    """Return mteb's `experiment_kwargs` of a configuration: all settings of the run that change scores."""
    subject = result.subject
    kwargs: dict[str, str | int] = {name: subject[name] for name in _SETTINGS}
    kwargs["num_fewshot"] = "all" if configuration.startswith("kall") else subject["num_fewshot"]
    if subject.get("fewshot_seed") is not None:
        kwargs["fewshot_seed"] = subject["fewshot_seed"]
    return kwargs


def task_result(run: FinishedRun, result: Result) -> TaskResult:
    """Return mteb's result object of a finished task.

    Data from local files keep their own revision (`local:<hash>`): they must not pass for the hub's.
    """
    import mteb

    content = atomic.read_json(run.path / result.file("mteb"))
    content["dataset_revision"] = result.dataset_revision
    return mteb.TaskResult.model_validate(content)


def all_task_results(run: FinishedRun, configuration: str) -> tuple[list[TaskResult], tuple[str, ...]]:
    """Return the results of a configuration, those of complete aggregates added, and the names of these."""
    results = {result.task: task_result(run, result) for result in run.results[configuration]}
    names = sorted({result.part_of for result in run.results[configuration]} - {""})
    made = [one for one in (_aggregate(name, results) for name in names) if one is not None]
    return [*results.values(), *made], tuple(one.task_name for one in made)


def _aggregate(name: str, results: dict[str, TaskResult]) -> TaskResult | None:
    import mteb

    if not mteb_knows(name):
        return None
    task = mteb.get_task(name)
    parts = [results[part.metadata.name] for part in task.metadata.tasks if part.metadata.name in results]
    if len(parts) < len(task.metadata.tasks):
        return None
    combined = task.combine_task_results(parts)
    # mteb stamps the present time; the same export must give the same file.
    return combined.model_copy(
        update={"date": max((one.date for one in parts if one.date), default=None), "kg_co2_emissions": None}
    )


def model_meta(run: FinishedRun, kwargs: dict[str, str | int] | None) -> ModelMeta:
    """Return mteb's metadata of the model: its own for a model it knows, at the revision that was run."""
    import mteb
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    model = run.manifest["model"]
    try:
        meta = mteb.get_model_meta(run.model_name, fetch_from_hf=False)
    except KeyError:
        meta = ModelMeta.create_empty(
            {
                "name": run.model_name,
                "embed_dim": model.get("embed_dim"),
                "framework": ["PyTorch"],
                "similarity_fn_name": ScoringFunction.COSINE,
                "use_instructions": True,
            }
        )
    return meta.model_copy(update={"revision": run.revision, "experiment_kwargs": kwargs})


def export_mteb_results(
    run: FinishedRun, directory: Path, *, main: str | None = None, overwrite: bool = False, strict: bool = False
) -> MtebExport:
    """Write a run's results where mteb looks for them.

    Args:
        run: the run.
        directory: a cache folder of mteb, or a clone of its results repository.
        main: configuration that stands for the model itself; None takes the only one, and puts all of several under
            `experiments`.
        overwrite: replace files that exist with other content.
        strict: refuse what the public results repository would not take.

    Raises:
        ConfigError: an unknown configuration, a name that can be no file, an objection under `strict`, or a file that must
            not be overwritten; nothing was written.
    """
    run.check_target(directory)
    if main is not None:
        run.configuration(main)
    elif len(run.results) == 1:
        main = next(iter(run.results))
    files: dict[Path, bytes] = {}
    merged: set[Path] = set()
    folders: dict[str, Path] = {}
    aggregates: set[str] = set()
    for configuration, results in run.results.items():
        kwargs = None if configuration == main else experiment_kwargs(configuration, results[0])
        meta = model_meta(run, kwargs)
        folder = directory / "results" / meta.model_name_as_path() / run.revision
        if kwargs is not None:
            folder = folder / "experiments" / str(meta.experiment_name)
        folders[configuration] = folder
        task_results, made = all_task_results(run, configuration)
        aggregates |= set(made)
        for one in task_results:
            files[folder / f"{_file_name(one.task_name)}.json"] = _result_bytes(one)
        files[folder / "model_meta.json"] = json.dumps(meta.to_dict(), default=str, indent=4).encode()
        settings = folder / "run_settings.jsonl"
        files[settings] = _run_settings(settings, task_results, run, results)
        merged.add(settings)
    objections = repository_objections(run)
    if strict and objections:
        raise ConfigError("\n".join(f"--strict: {one}" for one in objections))
    written = write_all(files, overwrite=overwrite, merged=frozenset(merged))
    return MtebExport(folders, written, tuple(sorted(aggregates)), objections)


def _file_name(task: str) -> str:
    if not _TASK_FILE.fullmatch(task) or ".." in task:
        raise ConfigError(f"task {task!r} cannot be a file name, so mteb cannot hold its results.")
    return task


def _result_bytes(result: TaskResult) -> bytes:
    """Return the file as mteb writes it (scores rounded to six decimals)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        result.to_disk(path)
        return path.read_bytes()


def _run_settings(path: Path, task_results: list[TaskResult], run: FinishedRun, results: list[Result]) -> bytes:
    """Return run_settings.jsonl with our lines merged into those that are there, by mteb's own rule."""
    from mteb.results.task_result import _write_and_merge_keyed_json

    packages = run.manifest.get("packages", {})
    by_task = {result.task: result for result in results}
    entries: list[dict[str, Any]] = []
    for one in task_results:
        result = by_task.get(one.task_name)
        for split, blocks in one.scores.items():
            entries.append(
                {
                    "task": one.task_name,
                    "splits": [split],
                    "version": {name: packages.get(name) for name in _VERSIONS},
                    "encode_kwargs": {} if result is None else _encode_kwargs(result),
                    "subsets": sorted({str(block["hf_subset"]) for block in blocks}),
                }
            )
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        if path.is_file():
            copy.write_bytes(path.read_bytes())
        _write_and_merge_keyed_json(copy, entries)
        return copy.read_bytes()


def _encode_kwargs(result: Result) -> dict[str, Any]:
    """Return what stood around the texts of a task; mteb has no other place for it."""
    return {
        "instruction": result.record["details"].get("instruction", ""),
        "num_fewshot": result.subject["num_fewshot"],
        "prompt_fingerprint": result.subject["prompt_fingerprint"],
        "result_key": result.record["result_key"],
    }


def repository_objections(run: FinishedRun) -> list[str]:
    """Return why the checks of the public results repository would fail; empty if they would not.

    They ask for a hub commit as revision, a model that mteb implements, tasks that it knows, on the hub's data.
    """
    import mteb

    objections = []
    if not re.fullmatch(r"[0-9a-f]{40}", run.revision):
        objections.append(f"revision {run.revision!r} is no hub commit (40 hexadecimal digits).")
    try:
        mteb.get_model_meta(run.model_name, fetch_from_hf=False)
    except KeyError:
        objections.append(f"mteb implements no model {run.model_name!r}.")
    label = run.manifest["model"].get("label")
    if label:
        objections.append(f"the model is marked {label!r}.")
    every = [result for results in run.results.values() for result in results]
    unknown = sorted({result.task for result in every if not mteb_knows(result.task)})
    if unknown:
        objections.append(f"mteb has no task {', '.join(unknown[:4])}{', ...' if len(unknown) > 4 else ''}.")
    local = sorted({result.task for result in every if result.dataset_revision.startswith("local:")} - set(unknown))
    if local:
        shown = ", ".join(local[:4]) + (", ..." if len(local) > 4 else "")
        objections.append(f"local data instead of the hub's: {shown}.")
    return objections


def mteb_knows(task: str) -> bool:
    """Whether a task is one of mteb's."""
    from mteb.get_tasks import _TASKS_REGISTRY

    return task in _TASKS_REGISTRY
