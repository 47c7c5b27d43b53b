"""`export model-card`: evaluation results in the two forms that the hub reads, as mteb writes them.

README.md              the card; its YAML header holds the results as `model-index`
.eval_results/*.yaml   one file per task, the hub's newer form
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, IncompleteRunError
from harness.export.files import Written, write_all
from harness.export.mteb_results import all_task_results, mteb_knows
from harness.export.source import FinishedRun

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard
    from mteb import TaskResult

_HEADING = "## MTEB results"


@dataclass(frozen=True)
class CardExport:
    """What was written."""

    files: tuple[Path, ...]
    written: Written
    left_out: tuple[str, ...]
    """Tasks that mteb does not know: a card names public data sets only."""


def export_model_card(
    run: FinishedRun,
    directory: Path,
    *,
    configuration: str | None = None,
    card: Path | None = None,
    overwrite: bool = False,
) -> CardExport:
    """Write the model card and the result files of one configuration.

    Args:
        run: the run.
        directory: folder to write into; a checkout of the model's repository takes the files as they are.
        configuration: which one; may be None where there is only one.
        card: a card to update: its text and metadata stay, its results of mteb tasks are replaced.
        overwrite: replace files that exist with other content.

    Raises:
        ConfigError: unknown configuration, no readable card, or a file that must not be overwritten; nothing was written.
        IncompleteRunError: no result of a task that mteb knows.
    """
    run.check_target(directory)
    name = run.configuration(configuration)
    every, _ = all_task_results(run, name)
    results = [one for one in every if mteb_knows(one.task_name)]
    left_out = tuple(one.task_name for one in every if not mteb_knows(one.task_name))
    if not results:
        raise IncompleteRunError(
            f"{run.path}: no finished task of {name} is one of mteb's; a model card names no others."
        )
    updated = _load_card(card)
    _fill(updated, run, name, results)
    files = {directory / "README.md": str(updated).encode()}
    for one in results:
        path = directory / ".eval_results" / f"{one.task_name}.yaml"
        files[path] = _benchmark_yaml(one).encode()
    return CardExport(tuple(files), write_all(files, overwrite=overwrite), left_out)


def eval_results(result: TaskResult) -> list[EvalResult]:
    """Return mteb's entries of a card for one task, at the data revision that was read."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mteb marks this form as the older one
        entries = result.get_hf_eval_results()
    return [replace(one, dataset_revision=result.dataset_revision) for one in entries]


def _benchmark_yaml(result: TaskResult) -> str:
    entries = result._to_hf_benchmark_result()
    for entry in entries.root:
        entry.dataset.revision = result.dataset_revision
    text: str = entries.to_yaml()
    return text


def _load_card(path: Path | None) -> ModelCard:
    from huggingface_hub import ModelCard, ModelCardData

    if path is None:
        return ModelCard.from_template(card_data=ModelCardData())
    if not path.is_file():
        raise ConfigError(f"--card {str(path)!r} is no file.")
    try:
        return ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=False)
    except Exception as error:  # yaml and the hub's own checks raise no common type
        raise ConfigError(f"--card {path}: not a model card: {' '.join(str(error).split())[:160]}.") from error


def _fill(card: ModelCard, run: FinishedRun, configuration: str, results: list[TaskResult]) -> None:
    data: Any = card.data
    data.tags = [*(tag for tag in data.tags or [] if tag != "mteb"), "mteb"]
    data.model_name = data.model_name or run.model_name.split("/")[1]
    ours = {(one.task_name, str(block["hf_subset"])) for one in results for block in _blocks(one)}
    kept = [entry for entry in data.eval_results or [] if tuple(_task_and_subset(entry.dataset_name)) not in ours]
    data.eval_results = [*kept, *(entry for one in results for entry in eval_results(one))]
    body = card.text.split(f"\n{_HEADING}\n")[0].rstrip()
    card.text = f"{body}\n\n{_HEADING}\n\n{_table(run, configuration, results)}"


def _blocks(result: TaskResult) -> list[dict[str, Any]]:
    return [block for blocks in result.scores.values() for block in blocks]


def _task_and_subset(dataset_name: str) -> tuple[str, str]:
    """Split mteb's `Task (subset)`."""
    task, _, subset = dataset_name.rpartition(" (")
    return task, subset.removesuffix(")")


def _table(run: FinishedRun, configuration: str, results: list[TaskResult]) -> str:
    """Return the table of main scores with what they were measured with."""
    shown = {result.task: result for result in run.results[configuration]}
    first = run.results[configuration][0].subject
    lines = [
        f"Evaluated with icl-embed-harness {run.manifest.get('packages', {}).get('icl-embed-harness', '')} at revision "
        f"`{run.revision}`, {first['dtype']}, configuration `{configuration}` "
        f"(examples: {first['examples_set']}, instructions: {first['instructions']}).",
        "",
        "| task | metric | score | examples | prompt |",
        "|--|--|--|--|--|",
    ]
    for one in sorted(results, key=lambda result: result.task_name):
        source = shown.get(one.task_name)
        examples = "" if source is None else str(source.subject["num_fewshot"])
        prompt = "" if source is None else f"`{source.subject['prompt_fingerprint'][:12]}`"
        metric = one.task.metadata.main_score
        lines.append(f"| {one.task_name} | {metric} | {100 * one.get_score():.2f} | {examples} | {prompt} |")
    return "\n".join(lines) + "\n"
