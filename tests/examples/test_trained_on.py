"""Which evaluation tasks a model's training data contains."""

from __future__ import annotations

from collections import Counter

import pytest

from harness.errors import ConfigError
from harness.prompts.profile import load_profiles
from harness.prompts.trained import is_trained_on, trained_on
from harness.registry import Registry

V1 = "MTEB(eng, v1)"


@pytest.mark.parametrize(("variant", "count"), [("full", 31), ("public", 5), (None, 31)])
def test_bge_en_icl_lists_what_its_paper_lists(variant: str | None, count: int) -> None:
    tasks = trained_on(load_profiles()["bge-en-icl"], variant)
    benchmark = {task.name for task in Registry.load().benchmark(V1)}

    assert len(tasks) == count
    assert tasks <= benchmark
    assert len(benchmark) - len(tasks) == 56 - count


def test_full_data_by_type() -> None:
    registry = Registry.load()

    types = Counter(registry.get(name).task_type for name in trained_on(load_profiles()["bge-en-icl"], "full"))

    assert types == {"Retrieval": 7, "Reranking": 2, "Classification": 8, "Clustering": 11, "STS": 3}


def test_every_listed_name_is_in_the_registry() -> None:
    registry = Registry.load()
    for profile in load_profiles().values():
        for variant, names in profile.trained_on.items():
            assert len(set(names)) == len(names), (profile.name, variant)
            assert [name for name in names if name not in registry] == []


def test_alias_of_a_trained_task_is_trained() -> None:
    registry = Registry.load()
    tasks = trained_on(load_profiles()["bge-en-icl"], "full")

    assert is_trained_on(registry.get("STS22.v2"), tasks)
    assert is_trained_on(registry.get("FEVERHardNegatives"), tasks)
    assert not is_trained_on(registry.get("CQADupstackGamingRetrieval"), tasks)
    assert not is_trained_on(registry.get("SciFact"), tasks)


def test_profile_that_says_nothing_gives_nothing_and_a_wrong_variant_is_an_error() -> None:
    profiles = load_profiles()

    assert trained_on(profiles["bge-en-v1.5"]) == frozenset()
    with pytest.raises(ConfigError, match="Did you mean 'full'"):
        trained_on(profiles["bge-en-icl"], "ful")
