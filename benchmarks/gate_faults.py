"""Structural faults of a run: what no tolerance may let through. Each is put into a sound copy of a real run directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from harness.store.atomic import dump_json
from harness.store.run_dir import RunDir, canonical_sha256, safe_name
from harness.store.schema import ScoreRow

Record = dict[str, Any]


class Fault(NamedTuple):
    """One way in which a run is not what it claims to be."""

    name: str
    codes: tuple[int, ...]
    """Exit codes of `check` that count as finding it."""
    put: Callable[[Path, list[Record], int], None]
    """Takes the run directory, its records and which of them is meant."""


def write_run(results: Any, folder: Path) -> Path:
    """Write a ResultSet (a baseline, say) as a run directory that `check` reads."""
    run = RunDir(folder)
    records = []
    for record in results.records:
        key = record["configuration"], record["task_name"]
        rows = [ScoreRow.model_validate({**row, "run_id": results.manifest["run_id"]}) for row in record["rows"]]
        written = run.write_task(
            *key,
            identity=record["identity"],
            rows=rows,
            items=results.items(*key),
            mteb_result={},
            details={"batch_tokens": 1024, **record["details"]},
        )
        records.append(written)
    run.write_scores(records)
    run.write_manifest({"failures": {}, **results.manifest, "tasks": [_named(record) for record in records]})
    return folder


def _named(record: Mapping[str, Any]) -> Record:
    return {name: record[name] for name in ("configuration", "task_name", "result_key", "details")}


def _path(folder: Path, record: Mapping[str, Any]) -> Path:
    return folder / "tasks" / safe_name(record["configuration"]) / f"{safe_name(record['task_name'])}.json"


def _manifest(folder: Path, change: Callable[[Record], object]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    change(manifest)
    (folder / "manifest.json").write_bytes(dump_json(manifest))


def _rewrite(folder: Path, record: Record) -> None:
    """Write a record with all its hashes right, so that no hash gives the fault away."""
    record = {name: value for name, value in record.items() if name != "content_sha256"}
    record["result_key"] = canonical_sha256(record["identity"])
    for row in record["rows"]:
        row["result_key"] = record["result_key"]
        for half in ("subject", "protocol"):
            for name in row.keys() & record["identity"][half].keys():
                row[name] = record["identity"][half][name]
        row["partial"] = bool(row["limit"])
    _path(folder, record).write_bytes(dump_json({**record, "content_sha256": canonical_sha256(record)}))

    def change(manifest: Record) -> None:
        for task in manifest["tasks"]:
            if (task["configuration"], task["task_name"]) == (record["configuration"], record["task_name"]):
                task["result_key"] = record["result_key"]

    _manifest(folder, change)


def _scores_times(factor: float) -> Callable[[Path, list[Record], int], None]:
    def put(folder: Path, records: list[Record], place: int) -> None:
        record = records[place]
        for row in record["rows"]:
            row["score"] *= factor
        _rewrite(folder, record)

    return put


def _identity(half: str, name: str, value: Callable[[Any], Any]) -> Callable[[Path, list[Record], int], None]:
    def put(folder: Path, records: list[Record], place: int) -> None:
        record = records[place]
        record["identity"][half][name] = value(record["identity"][half].get(name))
        _rewrite(folder, record)

    return put


def _main_score(record: Record) -> float:
    return float(next(row for row in record["rows"] if row["is_main"])["score"])


def _swapped(folder: Path, records: list[Record], place: int) -> None:
    """Exchange the scores of two tasks, as a mix-up of names would; the other is the one of the most different score."""
    first = records[place]
    second = max(
        (one for one in records if one["configuration"] == first["configuration"]),
        key=lambda one: abs(_main_score(one) - _main_score(first)),
    )
    scores = _main_score(first), _main_score(second)
    for one, score in ((first, scores[1]), (second, scores[0])):
        next(row for row in one["rows"] if row["is_main"])["score"] = max(score, 0.0)
        _rewrite(folder, one)


def _renamed(folder: Path, records: list[Record], place: int) -> None:
    """Let a file of one task stand under the name of another."""
    first = records[place]
    second = next(
        one
        for one in records
        if one["configuration"] == first["configuration"] and one["task_name"] != first["task_name"]
    )
    paths = [_path(folder, one) for one in (first, second)]
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, contents[::-1], strict=True):
        path.write_bytes(content)


def _dropped(folder: Path, records: list[Record], place: int) -> None:
    """Leave a task out, as if it had never been asked for."""
    record = records[place]
    _path(folder, record).unlink()
    _manifest(
        folder,
        lambda manifest: manifest["tasks"].remove(
            next(
                one
                for one in manifest["tasks"]
                if (one["configuration"], one["task_name"]) == (record["configuration"], record["task_name"])
            )
        ),
    )


def _lost(folder: Path, records: list[Record], place: int) -> None:
    _path(folder, records[place]).unlink()


def _duplicated(folder: Path, records: list[Record], place: int) -> None:
    """Let one task count twice."""
    record = records[place]
    path = _path(folder, record)
    shutil.copy(path, path.with_name(f"{path.stem}.again.json"))
    _manifest(folder, lambda manifest: manifest["tasks"].append(_named(record)))


def _row_twice(folder: Path, records: list[Record], place: int) -> None:
    record = records[place]
    record["rows"].append(dict(record["rows"][0]))
    _rewrite(folder, record)


def _items_of_another(folder: Path, records: list[Record], place: int) -> None:
    first = records[place]
    second = next(one for one in records if one["task_name"] != first["task_name"])
    names = [next(name for name in one["files"] if name.startswith("items/")) for one in (first, second)]
    (folder / names[0]).write_bytes((folder / names[1]).read_bytes())


def _status(status: str) -> Callable[[Path, list[Record], int], None]:
    def put(folder: Path, records: list[Record], place: int) -> None:
        name = f"{records[place]['configuration']}/{records[place]['task_name']}"

        def change(manifest: Record) -> None:
            manifest["status"] = status
            manifest["failures"] = {name: "failed"} if status == "incomplete" else {}

        if status == "incomplete":
            _dropped(folder, records, place)
        _manifest(folder, change)

    return put


def _digit(folder: Path, records: list[Record], place: int) -> None:
    """Change one digit of a score in the file."""
    path = _path(folder, records[place])
    text = path.read_text(encoding="utf-8")
    start = text.index('"score": ') + len('"score": ')
    at = next(i for i in range(start + 3, len(text)) if text[i].isdigit())
    path.write_text(f"{text[:at]}{(int(text[at]) + 5) % 10}{text[at + 1 :]}", encoding="utf-8")


OTHER_SHA = "f" * 64
FAULTS: tuple[Fault, ...] = (
    Fault("a score x 100", (5,), _scores_times(100)),
    Fault("a score / 100", (1,), _scores_times(0.01)),
    Fault("scores of two tasks swapped", (1,), _swapped),
    Fault("files of two tasks swapped", (5,), _renamed),
    Fault("items of another task", (5,), _items_of_another),
    Fault("a task dropped", (3,), _dropped),
    Fault("a task's record lost", (3,), _lost),
    Fault("a task duplicated", (5,), _duplicated),
    Fault("a row duplicated", (5,), _row_twice),
    Fault("a digit of a score changed", (5,), _digit),
    Fault(
        "another revision of the data",
        (4,),
        _identity("protocol", "dataset_revision", lambda _: "local:0123456789abcdef"),
    ),
    Fault("another version of mteb", (4,), _identity("protocol", "mteb_version", lambda _: "1.0.0")),
    Fault("another seed of the protocol", (4,), _identity("protocol", "seed", lambda seed: (seed or 0) + 1)),
    Fault("limited to 10 items", (3, 4), _identity("protocol", "limit", lambda _: 10)),
    Fault("other examples", (4,), _identity("subject", "prompt_fingerprint", lambda _: OTHER_SHA)),
    Fault("another number of examples", (4,), _identity("subject", "num_fewshot", lambda count: count + 1)),
    Fault("other weights", (4,), _identity("subject", "weights_sha", lambda _: OTHER_SHA)),
    Fault("another tokenizer", (4,), _identity("subject", "tokenizer_sha", lambda _: OTHER_SHA)),
    Fault(
        "another dtype",
        (4,),
        _identity("subject", "dtype", lambda dtype: "bfloat16" if dtype == "float32" else "float32"),
    ),
    Fault("another length", (4,), _identity("subject", "query_max_tokens", lambda length: length // 2)),
    Fault("a task failed", (3,), _status("incomplete")),
    Fault("a run that was killed", (3,), _status("running")),
)


def records_of(folder: Path) -> list[Record]:
    """Return the records of a run directory, as values that may be changed."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "tasks").glob("*/*.json"))]
