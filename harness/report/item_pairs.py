"""From the per-item outcomes of two runs of a task to the resampled difference of their scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.report.item_files import KEYS
from harness.report.resample import (
    RESAMPLES,
    PairedCell,
    Resampled,
    generator,
    resample_average_precision,
    resample_means,
    resample_spearman,
    spearman,
    v_measure,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

SAME_SCORE = 1e-4
"""How far a score made from items may be from the stored one, which mteb rounds to five decimals."""

_BY_QUERY = {
    "ndcg": "ndcg_cut_",
    "map": "map_cut_",
    "recall": "recall_",
    "precision": "P_",
    "hit_rate": "success_",
    "mrr": "mrr_",
}
"""mteb's name of a metric -> what pytrec_eval's begins with."""
_MEASURES = ("similarity", "cosine", "dot", "manhattan", "euclidean")


class NotPairedError(Exception):
    """The items of two runs give no paired difference; the message says why."""


class _Method(NamedTuple):
    resampled: str
    """What is drawn with replacement: `pairs`, `queries`, `texts and experiments`, ..."""
    columns: tuple[str, ...]
    compute: Callable[[Arrays, Arrays, np.random.Generator, int], Resampled]


def item_columns(metric: str, task_type: str) -> tuple[str, ...]:
    """Return the columns of items that a metric is made of; none for a metric that items do not give."""
    method = _method(metric, task_type)
    return () if method is None else method.columns


def pair_items(base: pa.Table, other: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return both tables with equal items in equal places.

    Raises:
        NotPairedError: they hold different items or gold labels.
    """
    if base.num_rows != other.num_rows or base.num_rows == 0:
        raise NotPairedError("the two runs have different items")
    if not _same(base, other, KEYS):
        order = [(key, "ascending") for key in KEYS]
        base, other = base.sort_by(order), other.sort_by(order)
        if not _same(base, other, KEYS):
            raise NotPairedError("the two runs have different items")
    if ("gold" in base.column_names) != ("gold" in other.column_names):
        raise NotPairedError("one of the two runs has no gold labels")
    if "gold" in base.column_names and not _same(base, other, ("gold",)):
        raise NotPairedError("the two runs have different gold labels")
    return base, other


def compare_cell(
    base: pa.Table,
    other: pa.Table,
    *,
    metric: str,
    task: str,
    task_type: str,
    split: str,
    subset: str,
    resamples: int = RESAMPLES,
) -> PairedCell:
    """Resample one split and subset of two runs.

    Args:
        base: items of a whole task, as `pair_items` returned them.
        other: those of the other run.
        metric: main metric.
        task: its name; with split and subset it decides the random draws.
        task_type: type of the task.
        split: split to take.
        subset: subset to take.
        resamples: how many.

    Raises:
        NotPairedError: the items do not give this metric.
    """
    import pyarrow.compute as pc

    method = _method(metric, task_type)
    if method is None or any(name not in table.column_names for name in method.columns for table in (base, other)):
        raise NotPairedError(f"items do not give the metric {metric}")
    mask = pc.and_(pc.equal(base["split"], split), pc.equal(base["hf_subset"], subset))
    sides = []
    for table in (base, other):
        cell = table.filter(mask)
        arrays = {name: cell[name].to_numpy() for name in ("experiment", *method.columns)}
        arrays["item"] = cell["item"].combine_chunks().dictionary_encode().indices.to_numpy()
        sides.append(arrays)
    if not len(sides[0]["item"]):
        raise NotPairedError("there are no items")
    return PairedCell(method.resampled, method.compute(sides[0], sides[1], generator(task, split, subset), resamples))


def _same(base: pa.Table, other: pa.Table, names: tuple[str, ...]) -> bool:
    return all(base[name].equals(other[name].cast(base[name].type)) for name in names)


def _method(metric: str, task_type: str) -> _Method | None:
    by_query = re.fullmatch(r"([a-z_]+)_at_(\d+)", metric)
    if by_query and by_query[1] in _BY_QUERY:
        column = f"{_BY_QUERY[by_query[1]]}{by_query[2]}"
        return _Method("queries", (column,), lambda *sides: _mean(column, *sides))
    if metric == "accuracy":
        return _Method("texts and experiments", ("correct",), lambda *sides: _mean("correct", *sides))
    if metric == "v_measure":
        return _Method("experiments", ("gold", "cluster"), _clustering)
    precision = re.fullmatch(r"(\w+)_ap", metric)
    if precision and precision[1] in ("max", *_MEASURES):
        chosen = _MEASURES if precision[1] == "max" else (precision[1],)
        columns = tuple(f"{name}_{'distances' if name in _MEASURES[3:] else 'scores'}" for name in chosen)
        return _Method("pairs", ("gold", *columns), lambda *sides: _precision(columns, *sides))
    if metric == "cosine_spearman":
        if task_type == "Summarization":
            return _Method("documents", ("gold", "cosine_scores"), _documents)
        return _Method("pairs", ("gold", "cosine_scores"), _pairs)
    return None


def _mean(column: str, base: Arrays, other: Arrays, rng: np.random.Generator, resamples: int) -> Resampled:
    return resample_means(_matrix(base, column), _matrix(other, column), rng, resamples)


def _matrix(arrays: Arrays, column: str) -> NDArray[Any]:
    """Return a column as `[E, N]`."""
    import numpy as np

    experiments, row = np.unique(arrays["experiment"], return_inverse=True)
    items = int(arrays["item"].max()) + 1
    matrix = np.full((len(experiments), items), np.nan)
    matrix[row, arrays["item"]] = arrays[column]
    if len(row) != matrix.size or np.isnan(matrix).any():
        raise NotPairedError("not every experiment has every item")
    return matrix


def _pairs(base: Arrays, other: Arrays, rng: np.random.Generator, resamples: int) -> Resampled:
    return resample_spearman(base["gold"], base["cosine_scores"], other["cosine_scores"], rng, resamples)


def _precision(
    columns: tuple[str, ...], base: Arrays, other: Arrays, rng: np.random.Generator, resamples: int
) -> Resampled:
    sides = [[-side[name] if name.endswith("distances") else side[name] for name in columns] for side in (base, other)]
    return resample_average_precision(base["gold"].astype(int), sides[0], sides[1], rng, resamples)


def _clustering(base: Arrays, other: Arrays, rng: np.random.Generator, resamples: int) -> Resampled:
    def value(side: Arrays, place: NDArray[Any]) -> float:
        return v_measure(side["gold"][place].astype(str), side["cluster"][place])

    return _by_experiment(value, base, other, rng, resamples)


def _documents(base: Arrays, other: Arrays, rng: np.random.Generator, resamples: int) -> Resampled:
    def value(side: Arrays, place: NDArray[Any]) -> float | None:
        return spearman(side["gold"][place], side["cosine_scores"][place])

    return _by_experiment(value, base, other, rng, resamples)


def _by_experiment(
    value: Callable[[Arrays, NDArray[Any]], float | None],
    base: Arrays,
    other: Arrays,
    rng: np.random.Generator,
    resamples: int,
) -> Resampled:
    """Resample a score that is the mean of one value per experiment; one that has none in both runs is left out."""
    import numpy as np

    pairs = []
    for experiment in np.unique(base["experiment"]):
        places = [np.flatnonzero(side["experiment"] == experiment) for side in (base, other)]
        pair = value(base, places[0]), value(other, places[1])
        if pair != (None, None):
            pairs.append(pair)
    if len(pairs) < 2 or any(None in pair for pair in pairs):
        raise NotPairedError("fewer than two experiments have a score in both runs")
    values = np.asarray(pairs, dtype=np.float64)
    return resample_means(values[:, :1].T, values[:, 1:].T, rng, resamples)
