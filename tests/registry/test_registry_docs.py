"""What docs/adding-a-task.md and docs/profiles.md say is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.prompt import prompt_command
from harness.cli.validate import validate_command
from harness.prompts.profile import ModelProfile, TemplateData, find_profile, load_profiles
from harness.registry import Registry, TaskSpec

DOCS = Path(__file__).resolve().parents[2] / "docs"
TASK_DOC = (DOCS / "adding-a-task.md").read_text(encoding="utf-8")
PROFILE_DOC = (DOCS / "profiles.md").read_text(encoding="utf-8")


def blocks(text: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)


def first_column(text: str, heading: str) -> list[str]:
    """Return the names in the first column of the table below a heading."""
    table = text.split(heading, 1)[1]
    rows = re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


@pytest.fixture
def own_task(tmp_path: Path) -> Path:
    """The folder that the first two sections make."""
    (tmp_path / "SupportTickets.yaml").write_text(blocks(TASK_DOC)[0], encoding="utf-8")
    data = tmp_path / "data" / "SupportTickets"
    data.mkdir(parents=True)
    for split in ("train", "test"):
        rows = [
            {"text": f"{split} {label} {number}", "label": number, "label_text": label}
            for number, label in enumerate(("billing", "mobile_app", "shipping"))
        ]
        (data / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return tmp_path


def test_the_example_of_the_docs_is_a_valid_task(own_task: Path) -> None:
    result = CliRunner().invoke(validate_command, ["--registry-dir", str(own_task)])

    assert (result.exit_code, result.stdout.split(" in ")[0]) == (0, "0 problems")
    assert [task.name for task in Registry.load([own_task]).benchmark("my-suite")] == ["SupportTickets"]


def test_the_prompt_command_of_the_docs_works(own_task: Path) -> None:
    line = next(line for line in TASK_DOC.splitlines() if line.startswith("icl-harness prompt"))
    assert line == (
        'icl-harness prompt --registry-dir my-tasks --task SupportTickets --num-fewshot 2 --text "Where is my parcel?"'
    )

    result = CliRunner().invoke(
        prompt_command,
        [
            "--registry-dir",
            str(own_task),
            "--task",
            "SupportTickets",
            "--num-fewshot",
            "2",
            "--text",
            "Where is my parcel?",
            "--no-tokens",
        ],
    )

    assert result.stdout.endswith("<query>Where is my parcel?\n<response>")
    assert result.stdout.count("<instruct>Given a support ticket, find the team that answers it.\n") == 3


def test_every_key_of_a_task_is_documented() -> None:
    assert set(first_column(TASK_DOC, "## Keys")) == set(TaskSpec.model_fields)


def test_the_example_set_of_the_docs_is_valid(tmp_path: Path) -> None:
    (tmp_path / "STS12.yaml").write_text(blocks(TASK_DOC)[1], encoding="utf-8")

    registry = Registry.load(examples=str(tmp_path))

    assert registry.get("STS12").examples[0].query == "The bakery opens at six."


def test_the_profile_of_the_docs_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "my-model.yaml"
    path.write_text(blocks(PROFILE_DOC)[0], encoding="utf-8")

    profile = find_profile("org/my-model", str(path))

    assert (profile.name, profile.query_max_tokens, profile.document_max_tokens) == ("my-model", 1024, 512)


def test_every_key_of_a_profile_is_documented() -> None:
    keys = [key for key in first_column(PROFILE_DOC, "| key | default |") if re.fullmatch(r"[a-z_.]+", key)]

    expected = [name for name in ModelProfile.model_fields if name != "template"]
    expected += [f"template.{name}" for name in TemplateData.model_fields]
    assert set(keys) == set(expected)


def test_every_built_in_profile_is_in_the_table() -> None:
    for profile in load_profiles().values():
        (row,) = [line for line in PROFILE_DOC.splitlines() if line.startswith(f"| `{profile.name}` |")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[2] == ("yes" if profile.template.example else "no")
        assert profile.template.query.replace("\n", "\\n") in cells[3]
        assert cells[4] == f"{profile.query_max_tokens}/{profile.document_max_tokens}"
        for model in profile.models:
            assert f"`{model}`" in cells[1] or "/" not in model
