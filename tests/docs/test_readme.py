"""The README tells the truth: its snippets run, its commands parse, its links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from harness.cli.main import VERBS, cli

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DATA = ROOT.parent / "shared" / "mteb_offline"


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str) -> list[list[str]]:
    lines = [line.strip() for block in blocks("bash", text) for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("icl-harness ")]


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_readme_shows_its_two_commands() -> None:
    assert "make demo" in README and "make test" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_pages_parses(page: Path) -> None:
    for words in commands(page.read_text(encoding="utf-8")):
        assert words[1] in VERBS, words
        context = click.Context(cli)
        command = cli.get_command(context, words[1])
        assert command is not None
        arguments = words[2:]
        while isinstance(command, click.Group):
            command = command.get_command(context, arguments.pop(0))
            assert command is not None, words
        command.make_context(words[1], arguments, resilient_parsing=True)
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        flags = {word.split("=")[0] for word in arguments if re.match(r"^--?[a-z]", word)}
        assert flags <= known | {"--help", "-h"}, f"{page.name}: {words}: {flags - known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.model
@pytest.mark.offline_data
def test_python_snippet_of_the_readme_runs(tmp_path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip(f"SHARED DATA MISSING: {DATA} is not there; the README's snippet was not run")
    (snippet,) = blocks("python")
    # The data comes from the local folder; not a line of the snippet is changed.
    redirect = (
        "import mteb\n"
        "from mteb.get_tasks import _TASKS_REGISTRY as known\n"
        "meta = known['STS16'].metadata\n"
        f"known['STS16'].metadata = meta.model_copy(update={{'dataset': {{**meta.dataset, 'path': r'{DATA / 'STS16'}'}}}})\n"
    )
    check = "\nassert result.task_results[0].task_name == 'STS16'\nprint(result.task_results[0].get_score())\n"

    done = subprocess.run(
        [sys.executable, "-c", redirect + snippet + check], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert -1 <= float(done.stdout.strip().splitlines()[-1]) <= 1


@pytest.mark.model
def test_yaml_task_of_the_readme_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from harness.cli.main import main

    (tmp_path / "tasks" / "tickets").mkdir(parents=True)
    (tmp_path / "tasks" / "MyTickets.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    for split in ("train", "test"):
        rows = [
            {"text": f"{word} number {n} {split}", "label": label} for n in range(9) for label, word in enumerate("ab")
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "tasks" / "tickets" / f"{split}.jsonl").write_text(lines, encoding="utf-8")

    code = main(
        ["run", "--model", "embedded", "--registry-dir", str(tmp_path / "tasks"), "--tasks", "MyTickets"]
        + ["--num-fewshot", "0,1", "--output-dir", str(tmp_path / "out")]
    )

    assert code == 0, capsys.readouterr().err
    assert "MyTickets" in (tmp_path / "out" / "leaderboard.md").read_text()


def test_public_names_are_those_of_all() -> None:
    import harness

    assert sorted(harness.__all__) == harness.__all__
    assert all(getattr(harness, name) is not None for name in harness.__all__)
