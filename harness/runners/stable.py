"""What two makings of the same results have in common: the files without times, places and work counts.

A run that was killed and went on, or was repeated, ends with the same files as an undisturbed one but for these values:

- times: `started`, `finished`, `date`, `evaluation_time`, `evaluation_phases`, and all `*_seconds`;
- `run_id`, which names the making of a directory, so that a report can tell two directories apart;
- what went through the model in this process (`texts_encoded`, `tokens`, `truncated_texts`, `empty_texts` and mteb's energy
  figure): after a kill, vectors come from the store;
- `output_dir`, the place;
- the section on cost in leaderboard.md, which shows times;
- hashes over files that hold any of these (`content_sha256`, and the hash of mteb's file in a task record).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from harness.report.grids import COST_TITLE

if TYPE_CHECKING:
    import pyarrow as pa

WORK_COUNTS = frozenset({"texts_encoded", "tokens", "truncated_texts", "empty_texts", "kg_co2_emissions"})
TIMES = frozenset(
    {
        "started", "finished", "date", "evaluation_time", "evaluation_phases",
        "load_seconds", "encode_seconds", "evaluation_seconds",
    }
)  # fmt: skip
UNSTABLE = TIMES | WORK_COUNTS | {"run_id", "content_sha256"}
_PLACE = "output_dir"


def stable_contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a run directory or a campaign folder, without what `UNSTABLE` names.

    Returns:
        Relative name -> content. Hidden files are left out (the lock).
    """
    contents = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            contents[name.as_posix()] = _stable(path)
    return contents


def _stable(path: Path) -> bytes:
    if path.suffix == ".json":
        return orjson.dumps(_without(orjson.loads(path.read_bytes())), option=orjson.OPT_SORT_KEYS)
    if path.name == "scores.parquet":
        return _stable_scores(path)
    if path.suffix == ".yaml":
        lines = path.read_bytes().split(b"\n")
        return b"\n".join(line for line in lines if not line.strip().startswith(_PLACE.encode()))
    if path.suffix == ".md":
        return _without_cost(path.read_text(encoding="utf-8")).encode()
    return path.read_bytes()


def _without(value: Any) -> Any:
    if isinstance(value, list):
        return [_without(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without(item) for key, item in value.items() if key not in UNSTABLE and key != _PLACE}
    if isinstance(kept.get("files"), dict):
        # mteb's file holds its date, so that its hash moves with it; the items' hash stays.
        kept["files"] = {name: None if name.startswith("mteb/") else sha for name, sha in kept["files"].items()}
    return kept


def _without_cost(text: str) -> str:
    kept = []
    in_cost = False
    for line in text.split("\n"):
        if line.startswith("#"):
            in_cost = line.startswith("## ") and line.endswith(f": {COST_TITLE}")
        if not in_cost:
            kept.append(line)
    return "\n".join(kept)


def _stable_scores(path: Path) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table: pa.Table = pq.read_table(path)
    table = table.drop_columns([name for name in table.column_names if name in UNSTABLE])
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue().to_pybytes())
