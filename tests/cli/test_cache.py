"""`cache`: the figures, the check and the room of the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.cache import cache_group, show_size
from harness.encoder.vectors import EmbeddingStore
from harness.errors import EXIT_CORRUPT, EXIT_USAGE
from tests.encoder.vectors.made import aside, found, put, shard_files

Invoke = Callable[..., Result]


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    return tmp_path / "embeddings"


@pytest.fixture
def filled(directory: Path) -> Path:
    with EmbeddingStore(directory, shard_texts=10) as store:
        put(store, range(30), scope="a")
        put(store, range(30, 40), scope="b")
    return directory


def cache(*arguments: str) -> Result:
    return CliRunner().invoke(cache_group, arguments, standalone_mode=False)


def usage_error(*arguments: str) -> str:
    result = CliRunner().invoke(cache_group, arguments)
    assert result.exit_code == EXIT_USAGE
    return result.output


@pytest.mark.parametrize("arguments", [["info"], ["verify"], ["prune", "--max-size", "1GB"], ["clear", "--yes"]])
def test_an_absent_store_is_told_and_not_made(directory: Path, arguments: list[str]) -> None:
    result = cache(*arguments)

    assert result.output == f"Nothing is stored yet in {directory}\n"
    assert result.return_value == 0
    assert not directory.exists()


def test_info_shows_folder_counts_and_sizes(filled: Path) -> None:
    lines = cache("info").output.splitlines()

    size = sum(path.stat().st_size for path in shard_files(filled))
    assert lines[0] == f"Folder     {filled / 'v1'}"
    assert lines[1] == "Texts      40 in 4 shards, for 2 models, prompts and lengths"
    assert lines[2].startswith(f"Size       {show_size(size)}, index ")
    assert len(lines) == 3


def test_info_as_json(filled: Path) -> None:
    info = json.loads(cache("info", "--json").output)

    assert (info["directory"], info["texts"], info["shards"], info["scopes"]) == (str(filled / "v1"), 40, 4, 2)


def test_verify_of_a_sound_store(filled: Path) -> None:
    result = cache("verify")

    assert result.return_value == 0
    assert result.output.startswith("4 shards read, ")
    assert result.output.endswith(" 0 damaged\n")


def test_verify_sets_damage_aside_and_exits_5(filled: Path) -> None:
    target = shard_files(filled)[0]
    target.write_bytes(target.read_bytes()[:-1])

    result = cache("verify")

    assert result.return_value == EXIT_CORRUPT
    assert result.output.startswith(f"{target.stem}: checksum is wrong; set aside in {filled / 'v1' / 'corrupt'}\n")
    assert [path.name for path in aside(filled)] == [target.name]
    assert cache("verify").return_value == 0
    assert "Set aside  1 damaged files" in cache("info").output


@pytest.mark.parametrize("option", ["--max-size", "--max-bytes"])
def test_prune_goes_down_to_a_size(filled: Path, option: str) -> None:
    size = shard_files(filled)[0].stat().st_size

    result = cache("prune", option, str(2 * size + 1))

    assert result.return_value == 0
    assert result.output.startswith("2 shards removed, ")
    assert "20 texts left" in result.output


def test_prune_needs_a_size(filled: Path) -> None:
    assert "give the size to go down to: --max-size 20GB" in usage_error("prune")
    for wrong in ("20XB", "much", "-1", "1e3", ""):
        assert f"{wrong!r} is no size." in usage_error("prune", f"--max-size={wrong}")
    assert len(shard_files(filled)) == 4


@pytest.mark.parametrize("size", ["20GB", "20 gb", "1.5GiB", "1TB", "500000 KB"])
def test_sizes_may_have_units(filled: Path, size: str) -> None:
    assert cache("prune", "--max-size", size).output.startswith("0 shards removed")


def test_clear_asks_to_be_sure(filled: Path) -> None:
    output = usage_error("clear")

    assert "this removes 40 vectors" in output
    assert "add --yes" in output
    assert len(shard_files(filled)) == 4


def test_clear_removes_everything(filled: Path) -> None:
    assert cache("clear", "--yes").output.startswith("4 shards removed, ")

    assert found(EmbeddingStore(filled), range(40)) == set()
    assert not shard_files(filled)


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 KB"), (20 * 10**9, "20.0 GB"), (27 * 10**13, "270.0 TB")],
)
def test_sizes_are_shown_with_a_unit(size_bytes: int, shown: str) -> None:
    assert show_size(size_bytes) == shown
