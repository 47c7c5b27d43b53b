"""Simulated runs for the gate's own test, made from the per-item outcomes and the repeats of real runs.

Three things are simulated: numerical noise (scores of real repeats, drawn again), a changed subject of equal quality (the
outcomes of two real subjects, exchanged at random item by item), and a drop of a known size (the same, then made worse on
purpose). `N` items, `E` experiments of a protocol with repeats.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from harness.report.item_pairs import item_columns
from harness.report.resample import v_measure
from harness.store.run_dir import canonical_sha256

Arrays = dict[str, NDArray[Any]]
Key = tuple[str, str]


class MemoryResults:
    """Results in memory, with the shape of a stored run or a baseline."""

    def __init__(
        self, manifest: Mapping[str, Any], records: Sequence[dict[str, Any]], items: Mapping[Key, pa.Table]
    ) -> None:
        self.path = Path("simulated")
        self.manifest = dict(manifest)
        self.records = tuple(records)
        self.items_by_key = items

    def items(self, configuration: str, task: str) -> pa.Table:
        """Return the per-item outcomes of a task."""
        return self.items_by_key[configuration, task]


@dataclass(frozen=True)
class TaskPair:
    """The outcomes of two real subjects on one task, item by item."""

    record: dict[str, Any]
    """The first subject's record."""
    metric: str
    task_type: str
    first: Arrays
    """Columns `[E, N]`; `gold` is there too where the metric needs it."""
    second: Arrays

    @property
    def key(self) -> Key:
        """Return configuration and task."""
        return self.record["configuration"], self.record["task_name"]

    @property
    def by_experiment(self) -> bool:
        """Whether experiments are what is drawn: their items are other texts in each."""
        return self.metric == "v_measure" or self.task_type == "Summarization"


def pair_up(first: Any, second: Any, *, configurations: tuple[str, str] | None = None) -> list[TaskPair]:
    """Return the tasks that two result sets share, with their outcomes.

    Args:
        first: a ResultSet.
        second: another one.
        configurations: which configuration of each; None pairs equal ones.
    """
    pairs = []
    by_key = {(one["configuration"], one["task_name"]): one for one in second.records}
    for record in first.records:
        if configurations is not None and record["configuration"] != configurations[0]:
            continue
        key = (configurations[1] if configurations else record["configuration"], record["task_name"])
        if key not in by_key:
            continue
        metric = record["identity"]["protocol"]["main_metric"]
        task_type = record["rows"][0]["task_type"]
        columns = item_columns(metric, task_type)
        sides = [
            _arrays(one.items(*where), columns)
            for one, where in ((first, (record["configuration"], key[1])), (second, key))
        ]
        pairs.append(TaskPair(record, metric, task_type, sides[0], sides[1]))
    return pairs


def _arrays(table: pa.Table, columns: Iterable[str]) -> Arrays:
    """Return columns as `[E, N]`; experiments of different sizes are cut to the shortest."""
    experiment = table["experiment"].to_numpy()
    places = [np.flatnonzero(experiment == one) for one in np.unique(experiment)]
    shortest = min(len(one) for one in places)
    values = {name: table[name].to_numpy(zero_copy_only=False) for name in columns}
    if "cluster" in values:
        # Labels as numbers: thousands of simulated clusterings are scored.
        values["gold"] = np.unique(values["gold"], return_inverse=True)[1]
    if "correct" in values:
        values["correct"] = values["correct"].astype(bool)
    return {name: np.stack([column[place[:shortest]] for place in places]) for name, column in values.items()}


def score(metric: str, task_type: str, arrays: Arrays) -> float:
    """Return the score of outcomes as mteb defines it."""
    if metric == "v_measure":
        return float(np.mean([v_measure(*sides) for sides in zip(arrays["gold"], arrays["cluster"], strict=True)]))
    if metric == "cosine_spearman":
        found = [_spearman(*sides) for sides in zip(arrays["gold"], arrays["cosine_scores"], strict=True)]
        return float(np.mean([one for one in found if np.isfinite(one)]))
    if metric.endswith("_ap"):
        gold = arrays["gold"][0].astype(int)
        measures = [(-one if "distances" in name else one)[0] for name, one in arrays.items() if name != "gold"]
        return float(max(average_precision_score(gold, one) for one in measures))
    (values,) = arrays.values()
    return float(values.mean())


def _spearman(gold: NDArray[Any], similarity: NDArray[Any]) -> float:
    if len(np.unique(gold)) < 2 or len(np.unique(similarity)) < 2:
        return float("nan")
    return float(np.corrcoef(rankdata(gold), rankdata(similarity))[0, 1])


# A changed subject of equal quality.


def equal_subjects(pair: TaskPair, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
    """Draw a new set of items, and give each outcome of the two subjects to one side or the other by a coin.

    Both sides have the same expected score, whatever the two subjects are; how far single items differ is real.
    """
    experiments, items = next(iter(pair.first.values())).shape
    if pair.by_experiment:
        drawn = rng.integers(experiments, size=experiments)
        coin = rng.random((experiments, 1)) < 0.5
        taken = [{name: side[name][drawn] for name in side} for side in (pair.first, pair.second)]
    else:
        drawn = rng.integers(items, size=items)
        coin = rng.random((1, items)) < 0.5
        taken = [{name: side[name][:, drawn] for name in side} for side in (pair.first, pair.second)]
    first = {name: np.where(coin, taken[0][name], taken[1][name]) for name in taken[0]}
    second = {name: np.where(coin, taken[1][name], taken[0][name]) for name in taken[0]}
    return first, second


# A drop of known size.


def worsen(pair: TaskPair, arrays: Arrays, strength: float, rng: np.random.Generator) -> Arrays:
    """Make outcomes worse on purpose.

    Args:
        pair: says which metric they are of.
        arrays: outcomes, not changed.
        strength: 0 changes nothing; a share of the items where outcomes are right or wrong, else the noise's size in
            standard deviations of the similarities.
        rng: source of the draws.
    """
    worse = dict(arrays)
    if pair.metric == "v_measure":
        cluster = arrays["cluster"]
        hit = rng.random(cluster.shape) < strength
        worse["cluster"] = np.where(hit, rng.integers(cluster.max() + 1, size=cluster.shape), cluster)
    elif "gold" in arrays:
        any_measure = next(one for name, one in arrays.items() if name != "gold")
        noise = strength * rng.standard_normal(any_measure.shape)
        for name, values in arrays.items():
            if name != "gold":
                worse[name] = values + (-noise if "distances" in name else noise) * values.std()
    else:
        ((name, values),) = arrays.items()
        hit = rng.random((1, values.shape[1])) < strength
        worse[name] = np.where(hit, np.zeros_like(values), values)
    return worse


def standard_error(pair: TaskPair, first: Arrays, second: Arrays, rng: np.random.Generator, draws: int = 60) -> float:
    """Return the standard error of the paired difference of two sides.

    Of means over items or experiments by its formula, of Spearman's correlation and average precision by a bootstrap.
    """
    sides = [_units(pair, side) for side in (first, second)]
    if sides[0] is not None and sides[1] is not None:
        differences = sides[1] - sides[0]
        return float(differences.std(ddof=1) / np.sqrt(len(differences)))
    items = next(iter(first.values())).shape[1]
    resampled = []
    for _ in range(draws):
        drawn = rng.integers(items, size=items)
        scores = [
            score(pair.metric, pair.task_type, {name: one[:, drawn] for name, one in side.items()})
            for side in (first, second)
        ]
        resampled.append(scores[1] - scores[0])
    return float(np.std(resampled))


def _units(pair: TaskPair, arrays: Arrays) -> NDArray[np.float64] | None:
    """Return the values of which the score is the mean; None where it is no mean."""
    if pair.metric == "v_measure":
        return np.array([v_measure(*sides) for sides in zip(arrays["gold"], arrays["cluster"], strict=True)])
    if pair.task_type == "Summarization":
        found = [_spearman(*sides) for sides in zip(arrays["gold"], arrays["cosine_scores"], strict=True)]
        return np.nan_to_num(np.array(found))
    if "gold" in arrays:
        return None
    (values,) = arrays.values()
    return values.mean(axis=0)


@dataclass(frozen=True)
class Drop:
    """How strongly a task has to be worsened for a drop of the wanted size."""

    strength: float
    drop: float
    """Mean drop at that strength, a fraction."""
    error: float
    """Paired standard error at that strength."""


def drop_of(pair: TaskPair, rng: np.random.Generator, *, errors: float, least: float, draws: int = 12) -> Drop | None:
    """Find the strength whose mean drop is max(errors x its own standard error, least); None if there is none.

    Args:
        pair: the task.
        rng: source of the draws.
        errors: multiple of the paired standard error.
        least: smallest drop, a fraction.
        draws: simulated pairs per strength.
    """
    by_share = pair.metric == "v_measure" or "gold" not in pair.first
    low, high = 0.0, 1.0 if by_share else 8.0

    def measured(strength: float) -> Drop:
        drops, errors_found = [], []
        for number in range(draws):
            first, second = equal_subjects(pair, rng)
            worse = worsen(pair, second, strength, rng)
            drops.append(score(pair.metric, pair.task_type, second) - score(pair.metric, pair.task_type, worse))
            if number < 3:
                errors_found.append(standard_error(pair, first, worse, rng))
        return Drop(strength, float(np.mean(drops)), float(np.mean(errors_found)))

    found = measured(high)
    if found.drop < max(errors * found.error, least):
        return None
    for _ in range(9):
        middle = (low + high) / 2
        there = measured(middle)
        if there.drop < max(errors * there.error, least):
            low = middle
        else:
            high, found = middle, there
    return found


# Result sets.


def results_of(
    manifest: Mapping[str, Any],
    sides: Sequence[tuple[TaskPair, Arrays]],
    *,
    subject: Mapping[str, Any] | None = None,
) -> MemoryResults:
    """Return a result set with simulated outcomes and the scores that follow from them.

    Args:
        manifest: of the run that it stands for.
        sides: tasks with their outcomes.
        subject: changes of the subject half of every identity.
    """
    records, items = [], {}
    for pair, arrays in sides:
        record = copy.deepcopy(pair.record)
        record["identity"]["subject"].update(subject or {})
        main = next(row for row in record["rows"] if row["is_main"])
        main["score"] = score(pair.metric, pair.task_type, arrays)
        record["rows"] = [main]
        _rekey(record)
        records.append(record)
        items[pair.key] = table_of(pair, arrays, main)
    return MemoryResults(manifest, records, items)


def table_of(pair: TaskPair, arrays: Arrays, row: Mapping[str, Any]) -> pa.Table:
    """Return outcomes `[E, N]` as a table of items."""
    experiments, items = next(iter(arrays.values())).shape
    count = experiments * items
    columns = {
        name: pa.array(values.reshape(-1).tolist() if values.dtype == object else values.reshape(-1))
        for name, values in arrays.items()
    }
    if "correct" in columns:
        columns["gold"] = pa.array(np.tile(np.arange(items), experiments).astype(str))
    return pa.table(
        {
            "split": pa.array([row["split"]] * count),
            "hf_subset": pa.array([row["hf_subset"]] * count),
            "experiment": np.repeat(np.arange(experiments), items),
            "item": np.tile(np.arange(items), experiments).astype(str),
            **columns,
        }
    )


def in_memory(results: Any) -> MemoryResults:
    """Return results with their main rows and items in memory, to be used thousands of times."""
    records = [{**one, "rows": [row for row in one["rows"] if row["is_main"]]} for one in results.records]
    keys = [(one["configuration"], one["task_name"]) for one in records]
    return MemoryResults(results.manifest, records, {key: results.items(*key) for key in keys})


def shifted(results: MemoryResults, shift: Callable[[Key], float]) -> MemoryResults:
    """Return results with their scores moved, items as they were: noise of the unchanged subject."""
    records = []
    for record in results.records:
        by = shift((record["configuration"], record["task_name"]))
        records.append({**record, "rows": [{**row, "score": row["score"] + by} for row in record["rows"]]})
    return MemoryResults(results.manifest, records, results.items_by_key)


def _rekey(record: dict[str, Any]) -> None:
    record["result_key"] = canonical_sha256(record["identity"])
    for row in record["rows"]:
        row["result_key"] = record["result_key"]
        for name in row.keys() & record["identity"]["subject"].keys():
            row[name] = record["identity"]["subject"][name]
