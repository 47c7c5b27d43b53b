"""tools/leaderboard.py: the README's block from runs of the mini benchmark."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from harness.registry import Registry

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("leaderboard_tool", ROOT / "tools" / "leaderboard.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def runs(make: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Runs of two models on the mini benchmark; one has 0 and 5 examples."""
    folder = tmp_path_factory.mktemp("tool")
    registry = Registry.load()
    units = [registry.get(name) for task in registry.benchmark("mini") for name in (task.parts or (task.name,))]
    found = []
    for place, (model, shots) in enumerate({"org/a|b": (0, 5), "org/other": (0,)}.items()):
        rows = [
            make.row(
                model_name=model,
                configuration=f"k{k}",
                num_fewshot=k,
                task_name=task.name,
                task_type=task.task_type,
                part_of=task.part_of or "",
                metric=task.main_metric,
                score=0.2 + 0.1 * place + k / 100 + 0.01 * (task.name == "MiniSTS"),
                run_id=f"run{place}",
            )
            for k in shots
            for task in units
        ]
        found.append(make.run(folder / f"run{place}", rows, status="complete"))
    return found


def test_the_block_shows_rows_probes_and_what_examples_change(tool: ModuleType, runs: list[Path]) -> None:
    block = tool.markdown(tool.tables_of(runs)[0])

    lines = block.splitlines()
    header = lines[0].strip("| ").split(" | ")
    assert header[:4] == ["Rank", "Model", "n-shot", "Mean (Task)"]
    assert header[-2:] == ["MiniProbeSeen", "MiniProbeUnseen"]
    rows = [line.strip("| ").split(" | ") for line in lines[2:5]]
    assert [row[1:3] for row in rows] == [["org/other", "0"], ["org/a&#124;b", "5"], ["org/a&#124;b", "0"]]
    assert [row[-1] for row in rows] == ["**30.00**", "25.00", "20.00"]
    assert all(len(row) == len(header) for row in rows)
    assert "| org/a&#124;b | 5 | +5.00 | +5.00 | +5.00 | +5.00 |" in lines
    assert "Mean of the other 8" in block and "by construction" in block
    assert "seconds" not in block.lower()


def test_the_same_runs_give_the_same_block_in_any_order(tool: ModuleType, runs: list[Path]) -> None:
    assert tool.markdown(tool.tables_of(runs)[0]) == tool.markdown(tool.tables_of(runs[::-1])[0])


def test_only_what_stands_between_the_marks_is_replaced(tool: ModuleType) -> None:
    text = f"before\n{tool.BEGIN}\nold \\1\n{tool.END}\nafter {tool.END[:4]}\n"

    assert tool.replace_block(text, r"new \1") == f"before\n{tool.BEGIN}\nnew \\1\n{tool.END}\nafter {tool.END[:4]}\n"


def test_a_readme_without_the_marks_is_refused(tool: ModuleType) -> None:
    with pytest.raises(SystemExit, match="must hold one <!-- demo -->"):
        tool.replace_block("no marks", "new")


def test_the_readme_of_this_repository_has_the_marks(tool: ModuleType) -> None:
    assert "new" in tool.replace_block((ROOT / "README.md").read_text("utf-8"), "new")


def test_runs_without_the_benchmark_are_refused(tool: ModuleType, make: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="none of these runs holds the whole benchmark mini"):
        tool.tables_of([make.run(tmp_path / "run", [make.row(task_name="MiniSTS")], status="complete")])
