"""`examples`: make an example set from the authors' files or from a task's train split."""

from __future__ import annotations

import os
from pathlib import Path

import click

_PATH = click.Path(path_type=Path)


@click.group("examples", short_help="Make example sets: import the authors' files, or draw from a train split.")
def examples_group() -> None:
    """Make example sets for `run --examples DIR`. The curated examples need none of this."""


@examples_group.command(
    "import",
    epilog="""\b
Examples
  icl-harness examples import ../FlagEmbedding --set paper --version 2024-08
  icl-harness run --model BAAI/bge-en-icl --benchmark "MTEB(eng, v1)" --examples example_sets/paper""",
)
@click.argument("path", metavar="PATH", type=_PATH)
@click.option("--set", "set_name", metavar="NAME", required=True, help="Name of the new set.")
@click.option(
    "--version",
    type=click.Choice(["2024-08", "2024-11"]),
    help="2024-08: the csv files; 2024-11: the json files.  [default: what PATH holds, 2024-11 of both]",
)
@click.option("-o", "--output-dir", metavar="DIR", type=_PATH, help="Folder of the set.  [default: example_sets/NAME]")
@click.option("--registry-dir", metavar="DIR", type=_PATH, multiple=True, help="More task files.")
@click.option("--strict", is_flag=True, help="Fail, and write nothing, if anything is skipped or changed.")
def import_command(
    path: Path,
    set_name: str,
    version: str | None,
    output_dir: Path | None,
    registry_dir: tuple[Path, ...],
    strict: bool,
) -> None:
    """Read the authors' own example files (csv, json, AIR-Bench jsonl) into an example set.

    PATH is a FlagEmbedding checkout, a folder of example files, or one file. What is skipped or changed is reported with
    file and line, here and in IMPORT.md of the set. The texts stay yours: nothing of them is part of this program.
    """
    from typing import cast

    from harness.examples.files import SETS_DIR
    from harness.examples.importer import REPORT_FILE, Version, import_examples, write_import
    from harness.registry import Registry

    registry = Registry.load(registry_dir)
    result = import_examples(registry, path, set_name=set_name, version=cast("Version | None", version))
    folder = output_dir or SETS_DIR / set_name
    write_import(result, folder, strict=strict)
    for finding in result.losses:
        click.echo(str(finding))
    examples = sum(len(content.examples) for content in result.contents)
    click.echo(
        f"{examples} examples of {len(result.contents)} tasks (version {result.version}) from {result.files_read} files; "
        f"{sum(finding.level == 'skipped' for finding in result.findings)} skipped, "
        f"{sum(finding.level == 'changed' for finding in result.findings)} changed."
    )
    click.echo(f"Set: {folder} (report: {folder / REPORT_FILE})")
    click.echo(f"Use it with: run --examples {folder}")


@examples_group.command(
    "draw",
    epilog="""\b
Example
  icl-harness examples draw --task Banking77Classification --k 8 --seed 1 --data-dir ./data""",
)
@click.option("-t", "--task", "task_name", metavar="T", required=True, help="Task to draw examples for.")
@click.option("-k", "--k", "num_examples", type=click.IntRange(1, 64), required=True, help="Number of examples.")
@click.option("--seed", type=int, default=1, show_default=True, help="Decides which rows, in which order.")
@click.option("--data-dir", metavar="DIR", type=_PATH, help="Local data, a folder per task.  [default: the hub]")
@click.option("--split", metavar="NAME", help="Split to draw from.  [default: train, or else dev or validation]")
@click.option("-o", "--output-dir", metavar="DIR", type=_PATH, help="Folder.  [default: example_sets/drawn-kK-seedS]")
@click.option("--registry-dir", metavar="DIR", type=_PATH, multiple=True, help="More task files.")
def draw_command(
    task_name: str,
    num_examples: int,
    seed: int,
    data_dir: Path | None,
    split: str | None,
    output_dir: Path | None,
    registry_dir: tuple[Path, ...],
) -> None:
    """Draw examples from a split of a task that is not evaluated.

    Different labels first, at most 256 tokens a text, nothing that the evaluation contains. The same data and seed give
    the same file, byte for byte; it names the data's revision and the rows. Several tasks may share a folder.
    """
    # Before the libraries are imported: they print bars of their own into ours.
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from harness.examples.draw import draw
    from harness.examples.files import SETS_DIR, write_example_set
    from harness.registry import Registry
    from harness.registry.spec import ExampleFile
    from harness.runners.draw_data import load_draw_data

    data = load_draw_data(Registry.load(registry_dir), task_name, data_dir=data_dir, split=split)
    drawn = draw(
        data.candidates,
        data.evaluation_texts,
        k=num_examples,
        seed=seed,
        origin=f"{data.dataset} {data.revision} {data.split} row",
    )
    content = ExampleFile(
        task=data.task,
        examples=drawn.examples,
        provenance={
            "drawn_from": data.dataset,
            "revision": data.revision,
            "subset": data.subset,
            "split": data.split,
            "row_ids": drawn.row_ids,
            "seed": seed,
            "k": num_examples,
            "leak_checked_against": list(data.evaluation_splits),
        },
    )
    folder = output_dir or SETS_DIR / f"drawn-k{num_examples}-seed{seed}"
    written = write_example_set(folder, [content], extend=True)
    click.echo(
        f"{num_examples} examples of {data.task} from {len(data.candidates)} rows of {data.split}; passed over: "
        f"{drawn.too_long} too long, {drawn.invalid} not usable or repeated, {drawn.leaking} found in the evaluation."
    )
    click.echo(f"Set: {written[0]}")
