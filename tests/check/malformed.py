"""The corpus of malformed files: what is done to a sound one, and what must be said about it.

Every case makes one file, or one place of a run directory, unsound. It names the exit code and a part of the message.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from harness.check.baseline_file import FORMAT, rows_sha256
from harness.store.atomic import dump_json
from harness.store.run_dir import canonical_sha256

CORRUPT, INCOMPLETE = 5, 3
Value = dict[str, Any]


class Case(NamedTuple):
    """One malformed file."""

    name: str
    kind: str
    """`run`, `baseline`, `tolerances` or `scores`: which reader gets it."""
    spoil: Callable[[Path], object]
    """Takes the run directory or the file."""
    message: str
    """Part of the one line that is shown; empty where several reasons are right."""
    code: int = CORRUPT


RECORD = Path("tasks/k0/MadeSTS.json")
ITEMS = Path("items/k0/MadeSTS.parquet")
MANIFEST = Path("manifest.json")


# Whole files, by their bytes.


def _truncated(path: Path, part: float) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * part)])


def _flipped(path: Path, part: float) -> None:
    raw = bytearray(path.read_bytes())
    raw[int((len(raw) - 1) * part)] ^= 0x41
    path.write_bytes(bytes(raw))


def _linked(path: Path) -> None:
    elsewhere = path.parent.parent / f"elsewhere-{path.name}"
    path.replace(elsewhere)
    path.symlink_to(elsewhere)


def _dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def _piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


FOREIGN_BYTES: dict[str, bytes] = {
    "empty": b"",
    "blanks": b"   \n\n",
    "NULs": b"\0" * 512,
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"a": 1}',
    "latin-1": '{"a": "größer"}'.encode("latin-1"),
    "gzip": gzip.compress(b'{"a": 1}'),
    "html": b"<!DOCTYPE html><html><body>404 not found</body></html>",
    "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s.",
    "git lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "merge conflict": b'<<<<<<< HEAD\n{"a": 1}\n=======\n{"a": 2}\n>>>>>>> other\n',
}


# JSON records and manifests.


def _text(file: Path, change: Callable[[str], str]) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        path = run / file
        before = path.read_text(encoding="utf-8")
        after = change(before)
        assert after != before, "this case changes nothing"
        path.write_text(after, encoding="utf-8", errors="surrogatepass")

    return spoil


def _replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


def _record(change: Callable[[Value], object], *, rehash: bool = True, rekey: bool = False) -> Callable[[Path], None]:
    """Change the record, with matching hashes unless told otherwise: the damage that hashes do not find."""

    def spoil(run: Path) -> None:
        path = run / RECORD
        record = json.loads(path.read_text())
        change(record)
        if rekey:
            key = canonical_sha256(record["identity"])
            record["result_key"] = key
            for row in record["rows"]:
                row["result_key"] = key
            manifest = json.loads((run / MANIFEST).read_text())
            for task in manifest["tasks"]:
                if task["task_name"] == "MadeSTS":
                    task["result_key"] = key
            (run / MANIFEST).write_bytes(dump_json(manifest))
        if rehash:
            record.pop("content_sha256", None)
            record["content_sha256"] = canonical_sha256(record)
        path.write_bytes(dump_json(record))

    return spoil


def _manifest(change: Callable[[Value], object]) -> Callable[[Path], None]:
    def spoil(run: Path) -> None:
        manifest = json.loads((run / MANIFEST).read_text())
        change(manifest)
        (run / MANIFEST).write_bytes(dump_json(manifest))

    return spoil


def _set(*path: str | int, to: Any) -> Callable[[Value], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return change


def _without(*path: str | int) -> Callable[[Value], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        del value[path[-1]]

    return change


def _main(**values: Any) -> Callable[[Value], None]:
    return lambda record: next(row for row in record["rows"] if row["is_main"]).update(values)


def _every_row(**values: Any) -> Callable[[Value], None]:
    def change(record: Value) -> None:
        for row in record["rows"]:
            row.update(values)

    return change


def _both(*changes: Callable[[Value], object]) -> Callable[[Value], None]:
    def change(value: Value) -> None:
        for one in changes:
            one(value)

    return change


def _renamed(name: str) -> Callable[[Value], None]:
    return _both(
        _set("task_name", to=name), _set("identity", "protocol", "task_name", to=name), _every_row(task_name=name)
    )


MARKUP = "<script>alert(1)</script>"


def _run_cases() -> Iterator[Case]:
    for file, what in ((RECORD, "record"), (MANIFEST, "manifest")):

        def at(spoil: Callable[..., object], file: Path = file, **values: Any) -> Callable[[Path], object]:
            return lambda run: spoil(run / file, **values)

        for percent in (0, 1, 10, 25, 40, 55, 70, 85, 95, 99):
            yield Case(f"{what} cut at {percent} %", "run", at(_truncated, part=percent / 100), "not JSON")
        for name, raw in FOREIGN_BYTES.items():
            yield Case(f"{what} is {name}", "run", lambda run, f=file, r=raw: (run / f).write_bytes(r), "not JSON")
        yield Case(f"{what} is a link", "run", at(_linked), "is a symbolic link")
        yield Case(f"{what} is a dangling link", "run", at(_dangling), "is a symbolic link")
        yield Case(f"{what} is a link to a device", "run", at(_device), "is a symbolic link")
        yield Case(f"{what} is a pipe", "run", at(_piped), "not a regular file")
        yield Case(f"{what} is a folder", "run", at(_folder), "not a regular file")
        yield Case(f"{what} is huge", "run", at(_sparse, size=1 << 31), "larger than")
        yield Case(f"{what} has something behind its end", "run", _text(file, lambda text: text + "{}"), "not JSON")
        yield Case(f"{what} nested 40 levels", "run", lambda run, f=file: _nest(run / f, 40), "nested deeper than 32")
        yield Case(f"{what} nested 500 levels", "run", lambda run, f=file: _nest(run / f, 500), "nested deeper than 32")
        yield Case(f"{what} nested 100,000 levels", "run", lambda run, f=file: _nest(run / f, 100_000), "not JSON")
        for shown, value in (("2", "2"), ("0", "0"), ("1", '"1"'), ("None", "null"), ("True", "true"), ("1e3", "1e3")):
            yield Case(
                f"{what} of schema version {value}",
                "run",
                _text(file, _replaced('"schema_version": 1', f'"schema_version": {value}')),
                f"of schema version 1 (found '{'1000.0' if shown == '1e3' else shown}')",
            )
        for value in ("[]", '"text"', "17", "null"):
            yield Case(f"{what} is {value}", "run", _text(file, lambda _, v=value: v), f"not a {what}")
        yield Case(
            f"{what} has a key twice",
            "run",
            _text(file, _replaced('"schema_version": 1', '"schema_version": 1, "schema_version": 1')),
            "key 'schema_version' occurs twice",
        )

    # Records: spelled wrong.
    for literal in ("NaN", "Infinity", "-Infinity", "1e400", "01", "0x10", "1_000", "'0.5'"):
        yield Case(
            f"record with the number {literal}",
            "run",
            _text(RECORD, lambda text, v=literal: _first_score(text, v)),
            "not JSON",
        )
    yield Case(
        "record with a score twice",
        "run",
        _text(RECORD, lambda t: _first_score(t, '0.5, "score": 0.5')),
        "key 'score' occurs twice",
    )
    yield Case(
        "record with a lone surrogate", "run", _text(RECORD, _replaced('"org/made"', '"org\\ud800"')), "not JSON"
    )
    yield Case(
        "record with a changed digit",
        "run",
        _text(RECORD, lambda t: _first_score(t, "0.123456")),
        "does not match its hash",
    )
    yield Case(
        "record with a changed name", "run", _text(RECORD, _replaced("org/made", "org/mode")), "does not match its hash"
    )
    yield Case(
        "record without a hash", "run", _record(_without("content_sha256"), rehash=False), "does not match its hash"
    )
    yield Case(
        "record with a hash that is null",
        "run",
        _record(_set("content_sha256", to=None), rehash=False),
        "does not match its hash",
    )

    # Records: values that are wrong although all hashes are right.
    for value in (93.7, 1.0000001, -93.7, -1.5):
        yield Case(
            f"record with the score {value}",
            "run",
            _record(_main(score=value)),
            "(scores are fractions, not percentages)",
        )
    for value in ("0.5", True, None, [], {"value": 0.5}):
        yield Case(f"record with the score {value!r}", "run", _record(_main(score=value)), "rows.")
    for key in ("configuration", "task_name", "identity", "result_key", "rows", "files", "details"):
        yield Case(f"record without {key}", "run", _record(_without(key)), f"{key}: Field required")
    yield Case("record with an unknown key", "run", _record(_set("remark", to="x")), "remark: Extra inputs")
    yield Case("record with an unknown column", "run", _record(_every_row(remark="x")), "Extra inputs")
    for key, value in (("rows", {}), ("files", []), ("identity", []), ("details", "x"), ("task_name", 7)):
        yield Case(f"record whose {key} are {value!r}", "run", _record(_set(key, to=value)), f"{key}: ")
    yield Case("record without any row", "run", _record(_set("rows", to=[])), "has no score. Run this task again.")
    for half, key in (("protocol", "dataset_revision"), ("protocol", "main_metric"), ("subject", "prompt_fingerprint")):
        yield Case(
            f"record without {key}",
            "run",
            _record(_without("identity", half, key), rekey=True),
            f"{key}: Field required",
        )
    yield Case(
        "record with its key of another identity",
        "run",
        _record(_set("identity", "subject", "weights_sha", to="c" * 64)),
        "does not match its key",
    )
    yield Case("record with a key that is no hash", "run", _record(_set("result_key", to="key")), "result_key: ")
    yield Case(
        "record with a negative limit",
        "run",
        _record(_set("identity", "protocol", "limit", to=-1), rekey=True),
        "limit: ",
    )
    yield Case(
        "record with limit true", "run", _record(_set("identity", "protocol", "limit", to=True), rekey=True), "limit: "
    )
    yield Case(
        "record of a limited task that says it is whole",
        "run",
        _record(_set("identity", "protocol", "limit", to=5), rekey=True),
        "a row has limit",
    )
    yield Case(
        "record with a row of another task", "run", _record(_main(task_name="MadeTopics")), "a row has task_name"
    )
    yield Case(
        "record with a row of another model", "run", _record(_main(model_name="org/other")), "a row has model_name"
    )
    yield Case("record with a row of another key", "run", _record(_main(result_key="d" * 64)), "a row has result_key")
    yield Case(
        "record with a row of other data", "run", _record(_main(dataset_revision="x")), "a row has dataset_revision"
    )
    yield Case("record with a row of more examples", "run", _record(_main(num_fewshot=5)), "a row has num_fewshot")
    yield Case(
        "record whose identity is of another task",
        "run",
        _record(_set("identity", "protocol", "task_name", to="MadeTopics"), rekey=True),
        "its identity of 'MadeTopics'",
    )
    yield Case(
        "record in another task's place", "run", _record(_renamed("MadeTopics"), rekey=True), "which belongs elsewhere"
    )
    yield Case(
        "record of another configuration",
        "run",
        _record(_both(_set("configuration", to="k3"), _every_row(configuration="k3"))),
        "which belongs elsewhere",
    )
    yield Case(
        "record with a second main metric", "run", _record(_every_row(is_main=True)), "is marked as the main one"
    )
    yield Case("record without a main metric", "run", _record(_every_row(is_main=False)), "is not marked as such")
    yield Case(
        "record of another main metric",
        "run",
        _record(_set("identity", "protocol", "main_metric", to="pearson"), rekey=True),
        "is marked as the main one",
    )
    yield Case(
        "record with a row twice", "run", _record(lambda record: record["rows"].append(record["rows"][0])), "twice"
    )
    yield Case(
        "record without one of its splits",
        "run",
        _record(_set("identity", "protocol", "splits", to=["dev", "test"]), rekey=True),
        "not every split",
    )
    yield Case("record with a split of nothing", "run", _record(_main(split="dev")), "not every split")

    # Names that lead elsewhere or act as markup.
    for name in ("../../etc/passwd", "/etc/passwd", "..", "a/b", "a\\b", "", ".hidden", "a\0b", "x" * 200):
        yield Case(f"record of the task {name[:20]!r}", "run", _record(_renamed(name), rekey=True), "task_name: ")
    for name in ("../k0", "/tmp", "a/../b"):
        yield Case(
            f"record of the configuration {name!r}",
            "run",
            _record(_both(_set("configuration", to=name), _every_row(configuration=name))),
            "configuration: ",
        )
    for name in (
        "../../../etc/passwd",
        "/etc/passwd",
        "items/k0/../../../x.parquet",
        "items/k0/MadeTopics.parquet",
        "items//MadeSTS.parquet",
        "items\\k0\\MadeSTS.parquet",
    ):
        yield Case(
            f"record that names the file {name!r}",
            "run",
            _record(_set("files", name, to="e" * 64)),
            "which is none of this task",
        )
    for name in (
        MARKUP,
        "[x](javascript:alert(1))`",
        "a|b",
        "::error::x\n::set-output name=a::b",
        "\x1b[31mred",
        "safe\u202etxt.exe",
        "a\u2028b",
        "n" * 300,
    ):
        for column in ("split", "metric"):
            rest = _set(
                "identity",
                "protocol",
                "splits" if column == "split" else "main_metric",
                to=[name] if column == "split" else name,
            )
            yield Case(
                f"record with the {column} {name[:12]!r}",
                "run",
                _record(_both(rest, _every_row(**{column: name})), rekey=True),
                "is no name",
            )
        yield Case(f"record of the task {name[:12]!r}", "run", _record(_renamed(name), rekey=True), "task_name: ")
    yield Case(
        "record of a model with a line break",
        "run",
        _record(
            _both(
                _set("identity", "subject", "model_name", to="a\n::error::b"), _every_row(model_name="a\n::error::b")
            ),
            rekey=True,
        ),
        "model_name: ",
    )
    yield Case("record of a type with markup", "run", _record(_every_row(task_type=MARKUP)), "task_type: ")

    # Manifests.
    for key in ("run_id", "status", "configuration", "model", "tasks", "failures", "machine", "packages"):
        yield Case(f"manifest without {key}", "run", _manifest(_without(key)), f"{key}: Field required")
    for key, value in (
        ("status", "done"),
        ("status", True),
        ("run_id", "../x"),
        ("run_id", 7),
        ("run_id", ""),
        ("tasks", {}),
        ("model", None),
        ("failures", []),
        ("machine", {"gpu": []}),
        ("packages", {"mteb": 2}),
    ):
        yield Case(f"manifest with {key} {value!r}", "run", _manifest(_set(key, to=value)), f"{key}")
    yield Case(
        "manifest that names a task twice", "run", _manifest(lambda m: m["tasks"].append(m["tasks"][0])), "twice"
    )
    yield Case(
        "manifest that names a path", "run", _manifest(_set("tasks", 0, "task_name", to="../../x")), "task_name: "
    )
    yield Case(
        "manifest with another key of a task",
        "run",
        _manifest(_set("tasks", 0, "result_key", to="f" * 64)),
        "is not the one that manifest.json names",
    )
    yield Case(
        "manifest of a task without a record",
        "run",
        lambda run: (run / RECORD).unlink(),
        "is missing, which manifest.json names",
        INCOMPLETE,
    )
    yield Case("no manifest", "run", lambda run: (run / MANIFEST).unlink(), "no manifest.json", INCOMPLETE)
    yield Case(
        "folder of records is a link", "run", lambda run: _linked_folder(run / "tasks" / "k0"), "is a symbolic link"
    )

    # Per-item files.
    for percent in (0, 5, 30, 60, 90, 99):
        yield Case(
            f"items cut at {percent} %",
            "run",
            lambda run, p=percent: _truncated(run / ITEMS, p / 100),
            "does not match its hash",
        )
    for percent in (10, 50, 90):
        yield Case(
            f"items with a flipped byte at {percent} %",
            "run",
            lambda run, p=percent: _flipped(run / ITEMS, p / 100),
            "does not match its hash",
        )
    yield Case(
        "items of another task",
        "run",
        lambda run: (run / ITEMS).write_bytes((run / "items/k0/MadeTopics.parquet").read_bytes()),
        "does not match its hash",
    )
    yield Case("items that are missing", "run", lambda run: (run / ITEMS).unlink(), "cannot be read")
    yield Case("items that are a link", "run", lambda run: _linked(run / ITEMS), "is a symbolic link")
    yield Case("items that are a pipe", "run", lambda run: _piped(run / ITEMS), "not a regular file")
    yield Case(
        "record that names no items",
        "run",
        _record(lambda record: record["files"].pop(ITEMS.as_posix())),
        "names no items",
    )


def _linked_folder(folder: Path) -> None:
    elsewhere = folder.parent.parent / "elsewhere"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere, target_is_directory=True)


def _nest(path: Path, levels: int) -> None:
    path.write_text('{"schema_version": 1, "deep": ' + "[" * levels + "]" * levels + "}", encoding="utf-8")


def _first_score(text: str, literal: str) -> str:
    start = text.index('"score": ')
    return f'{text[:start]}"score": {literal}{text[text.index(",", start) :]}'


# Baselines.


def _rewritten(
    path: Path,
    *,
    rows: Callable[[list[Value]], list[Value]] | None = None,
    metadata: Callable[[Value], object] | None = None,
    schema: Callable[[pa.Schema], pa.Schema] | None = None,
    text: Callable[[str], str] | None = None,
    rehash: bool = False,
) -> None:
    table = pq.read_table(path)
    content = json.loads(table.schema.metadata[FORMAT.encode()])
    values = table.to_pylist() if rows is None else rows(table.to_pylist())
    if metadata is not None:
        metadata(content)
    if rehash:
        last = content["history"][-1]
        last["rows_sha256"] = rows_sha256(values)
        content["content_sha256"] = canonical_sha256(last)
    raw = json.dumps(content)
    raw = text(raw) if text is not None else raw
    plain = pa.schema([field.with_nullable(True) for field in table.schema])
    shape = plain if schema is None else schema(plain)
    pq.write_table(pa.Table.from_pylist(values, schema=shape.with_metadata({FORMAT: raw})), path)


def _row(change: Callable[[Value], object]) -> Callable[[list[Value]], list[Value]]:
    def changed(rows: list[Value]) -> list[Value]:
        change(rows[0])
        return rows

    return changed


def _in_record(change: Callable[[Value], object]) -> Callable[[Value], None]:
    def changed(row: Value) -> None:
        record = json.loads(row["record"])
        change(record)
        record["result_key"] = row["result_key"] = canonical_sha256(record["identity"])
        for one in record["rows"]:
            one["result_key"] = record["result_key"]
        mains = [one["score"] for one in record["rows"] if one["is_main"]]
        if mains and isinstance(mains[0], float):
            row["score"] = mains[0]
        row["record"] = json.dumps(record)

    return changed


def _baseline_cases() -> Iterator[Case]:
    def case(name: str, message: str, **change: Any) -> Case:
        return Case(f"baseline {name}", "baseline", lambda path: _rewritten(path, **change), message)

    for percent in (0, 1, 10, 25, 50, 75, 90, 97, 99):
        yield Case(
            f"baseline cut at {percent} %",
            "baseline",
            lambda path, p=percent: _truncated(path, p / 100),
            "not a readable parquet file",
        )
    for name, raw in FOREIGN_BYTES.items():
        yield Case(
            f"baseline is {name}", "baseline", lambda path, r=raw: path.write_bytes(r), "not a readable parquet file"
        )
    for name, spoil, message in (
        ("a link", _linked, "is a symbolic link"),
        ("a dangling link", _dangling, "is a symbolic link"),
        ("a link to a device", _device, "is a symbolic link"),
        ("a pipe", _piped, "not a regular file"),
        ("a folder", _folder, "not a regular file"),
        ("huge", lambda path: _sparse(path, 1 << 31), "larger than"),
    ):
        yield Case(f"baseline is {name}", "baseline", spoil, message)
    yield Case(
        "baseline is another parquet file",
        "baseline",
        lambda path: pq.write_table(pa.table({"a": [1]}), path),
        "but no baseline",
    )
    yield case("of version 2", "a baseline of version '2'", metadata=_set("version", to=2))
    yield case("of version true", "a baseline of version 'True'", metadata=_set("version", to=True))
    yield case("of another format", "format: ", metadata=_set("format", to="x"))
    yield case(
        "with a key of its metadata twice",
        "key 'version' occurs twice",
        text=_replaced('"version": 1', '"version": 1, "version": 1'),
    )
    yield case("with NaN in its metadata", "not JSON", text=_replaced('"version": 1', '"version": NaN'))
    yield case("without history", "history: ", metadata=_set("history", to=[]))
    yield case("with an unknown key", "Extra inputs", metadata=_set("remark", to="x"))
    yield case("without a source", "source: Field required", metadata=_without("source"))
    yield case("of an incomplete run", "source.status: ", metadata=_set("source", "status", to="incomplete"))
    yield case(
        "with a reason altered", "does not match its hash", metadata=_set("history", -1, "reason", to="better reason")
    )
    yield case(
        "with an early reason altered",
        "does not follow the one before",
        metadata=_set("history", 0, "reason", to="better reason"),
    )
    yield case(
        "with an author altered", "does not follow the one before", metadata=_set("history", 0, "author", to="somebody")
    )
    yield case("with an update taken out", "does not follow the one before", metadata=_without("history", 0))
    yield case(
        "with an old score altered",
        "does not follow the one before",
        metadata=_set("history", 0, "changes", 0, "new", to=0.99),
    )
    yield case(
        "with updates in another order", "does not follow", metadata=lambda content: content["history"].reverse()
    )
    yield case("with a time that is none", "created: ", metadata=_set("history", -1, "created", to="yesterday"))
    yield case("with a hash that is none", "rows_sha256: ", metadata=_set("history", -1, "rows_sha256", to="x"))
    yield case("with a score altered", "are not those of the last entry", rows=_row(_set("score", to=0.99)))
    yield case(
        "with a score altered and hashed",
        "the columns of this row contradict",
        rows=_row(_set("score", to=0.99)),
        rehash=True,
    )
    yield case(
        "with a task name altered and hashed",
        "the columns of this row contradict",
        rows=_row(_set("task_name", to="MadeTopics")),
        rehash=True,
    )
    yield case("with a record altered", "are not those of the last entry", rows=_row(_in_record(_main(score=0.4))))
    yield case(
        "with scores x 100, hashed",
        "(scores are fractions, not percentages)",
        rows=_row(_in_record(_main(score=40.0))),
        rehash=True,
    )
    yield case("with a text as score, hashed", "rows.0.score", rows=_row(_in_record(_main(score="0.4"))), rehash=True)
    yield case("with a path as task, hashed", "task_name: ", rows=_row(_in_record(_renamed("../../x"))), rehash=True)
    yield case("with markup as task, hashed", "task_name: ", rows=_row(_in_record(_renamed(MARKUP))), rehash=True)
    yield case(
        "with markup as split, hashed",
        "is no name",
        rows=_row(_in_record(_both(_set("identity", "protocol", "splits", to=[MARKUP]), _main(split=MARKUP)))),
        rehash=True,
    )
    yield case(
        "with a limited task, hashed",
        "--limit",
        rows=_row(_in_record(_both(_set("identity", "protocol", "limit", to=5), _main(limit=5, partial=True)))),
        rehash=True,
    )
    yield case("with a record that is no JSON, hashed", "not JSON", rows=_row(_set("record", to="{")), rehash=True)
    yield case(
        "with a record that is a list, hashed",
        "not a record of schema version",
        rows=_row(_set("record", to="[]")),
        rehash=True,
    )
    yield case(
        "with a record nested 40 levels, hashed",
        "nested deeper",
        rows=_row(_set("record", to="[" * 40 + "]" * 40)),
        rehash=True,
    )
    yield case(
        "with a record of schema version 2, hashed",
        "not a record of schema version",
        rows=_row(_in_record(_set("schema_version", to=2))),
        rehash=True,
    )
    yield case("with items altered", "are not those of the last entry", rows=_row(_set("items", to=b"x")))
    yield case(
        "with items that are no parquet, hashed",
        "not a readable parquet file",
        rows=_row(_set("items", to=b"x")),
        rehash=True,
    )
    yield case("with items swapped", "are not those of the last entry", rows=_swap_items)
    yield case("without a task", "are not those of the last entry", rows=lambda rows: rows[1:])
    yield case("with a task twice", "are not those of the last entry", rows=lambda rows: [rows[0], *rows])
    yield case("with a task twice, hashed", "stands there twice", rows=lambda rows: [rows[0], *rows], rehash=True)
    yield case("without rows", "are not those of the last entry", rows=lambda _: [])
    yield case("without rows, hashed", "holds no result", rows=lambda _: [], rehash=True)
    yield case("with an empty value", "without empty values", rows=_row(_set("task_name", to=None)))
    yield case(
        "with another column",
        "columns are not those",
        schema=lambda shape: shape.append(pa.field("extra", pa.string())),
    )
    yield case("without a column", "columns are not those", schema=lambda shape: shape.remove(6))
    yield case("with another type", "is not double", schema=lambda shape: shape.set(3, pa.field("score", pa.float32())))
    yield Case("baseline of too many rows", "baseline", _many_rows, "rows are more than")


def _swap_items(rows: list[Value]) -> list[Value]:
    rows[0]["items"], rows[1]["items"] = rows[1]["items"], rows[0]["items"]
    return rows


def _many_rows(path: Path) -> None:
    pq.write_table(pa.table({"a": pa.repeat("x", 20_000)}), path)


# Tolerance files.

GOOD_TOLERANCES = """\
format: icl-harness-tolerances
version: 1
measured:
- task: MadeSTS
  model: org/made
  dtype: float32
  hardware: 'cpu: a processor'
  repeats: 8
  sigma: 0.001
  bound: 0.01
"""


def _tolerance_cases() -> Iterator[Case]:
    def case(name: str, old: str, new: str, message: str) -> Case:
        assert old in GOOD_TOLERANCES
        return Case(
            f"tolerances {name}", "tolerances", lambda path: path.write_text(GOOD_TOLERANCES.replace(old, new)), message
        )

    yield case("of version 2", "version: 1", "version: 2", "of version '2'")
    yield case("of version true", "version: 1", "version: true", "of version 'True'")
    yield case("without a version", "version: 1\n", "", "of version 'None'")
    yield case("of another format", "icl-harness-tolerances", "x", "not a tolerance file")
    yield case("with an unknown key", "version: 1", "version: 1\nremark: x", "remark: Extra inputs")
    yield case("with a misspelt key", "  sigma:", "  sgima:", "sigma: Field required")
    yield case("with a key twice", "version: 1", "version: 1\nversion: 1", "occurs twice")
    yield case(
        "with a task twice",
        "measured:\n",
        "measured:\n" + GOOD_TOLERANCES.partition("measured:\n")[2],
        "stands there twice",
    )
    for value in (".nan", ".inf", "-.inf", "-0.1", "'0.01'", "true", "null", "[]", "{}", "0", "93.7"):
        yield case(f"with the bound {value}", "bound: 0.01", f"bound: {value}", "measured.0.bound: ")
    for value in (".nan", "-1.0", "17.0", "x"):
        yield case(f"with sigma {value}", "sigma: 0.001", f"sigma: {value}", "measured.0.sigma: ")
    for value in ("1", "8.5", "-3", "many", "true"):
        yield case(f"with {value} repeats", "repeats: 8", f"repeats: {value}", "measured.0.repeats: ")
    for value in ("'../../x'", "''", f"'{MARKUP}'", '"a\\nb"', "17"):
        yield case(f"of the task {value[:12]}", "task: MadeSTS", f"task: {value}", "measured.0.task: ")
    for value in ("''", f"'{MARKUP}'", '"a\\nb"', f"'{'h' * 300}'"):
        yield case(
            f"of the hardware {value[:12]}",
            "hardware: 'cpu: a processor'",
            f"hardware: {value}",
            "measured.0.hardware: ",
        )
    yield case("with measured as a mapping", "measured:\n-", "measured:\n ", "measured: ")
    yield case("with an alias", "task: MadeSTS", "task: &a MadeSTS", "anchors and aliases")
    yield case("with a tag", "task: MadeSTS", "task: !!python/name:os.system MadeSTS", "tags (!) are not allowed")
    yield case("with a tab", "  model:", "\tmodel:", "malformed YAML")
    yield case("with carriage returns", "\n", "\r\n", "carriage returns")
    yield case("of two documents", "version: 1", "version: 1\n---\nversion: 1", "malformed YAML")
    for percent in (2, 20, 45, 60, 80, 93):
        yield Case(
            f"tolerances cut at {percent} %",
            "tolerances",
            lambda path, p=percent: path.write_text(GOOD_TOLERANCES[: int(len(GOOD_TOLERANCES) * p / 100)]),
            "",
        )
    for name, raw in FOREIGN_BYTES.items():
        yield Case(f"tolerances are {name}", "tolerances", lambda path, r=raw: path.write_bytes(r), "")
    deep = "[" * 200 + "]" * 200
    yield case("nested 200 levels", "measured:", f"deep: {deep}\nmeasured:", "nested deeper than")
    yield Case("tolerances that are huge", "tolerances", lambda path: _sparse(path, 1 << 31), "larger than")
    yield Case("tolerances that are a link", "tolerances", _linked, "is a symbolic link")
    yield Case("tolerances that are a pipe", "tolerances", _piped, "not a regular file")
    yield Case("tolerances that are a folder", "tolerances", _folder, "not a regular file")


# The scores of a run, as reports read them.


def _scores_cases() -> Iterator[Case]:
    def table(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
        return lambda run: pq.write_table(change(pq.read_table(run / "scores.parquet")), run / "scores.parquet")

    def column(name: str, values: Any) -> Callable[[pa.Table], pa.Table]:
        def change(before: pa.Table) -> pa.Table:
            array = pa.array(values(before[name].to_pylist()), type=before.schema.field(name).type)
            return before.set_column(
                before.column_names.index(name), before.schema.field(name).with_nullable(True), array
            )

        return change

    for percent in (0, 20, 60, 99):
        yield Case(
            f"scores cut at {percent} %",
            "scores",
            lambda run, p=percent: _truncated(run / "scores.parquet", p / 100),
            "not a readable parquet file",
        )
    for name in ("html", "git lfs pointer", "NULs"):
        yield Case(
            f"scores are {name}",
            "scores",
            lambda run, r=FOREIGN_BYTES[name]: (run / "scores.parquet").write_bytes(r),
            "not a readable parquet file",
        )
    yield Case(
        "scores of version 2",
        "scores",
        table(lambda t: t.replace_schema_metadata({"schema_version": "2"})),
        "schema version '2'",
    )
    yield Case(
        "scores x 100", "scores", table(column("score", lambda old: [100 * one for one in old])), "not percentages"
    )
    yield Case(
        "scores with NaN", "scores", table(column("score", lambda old: [float("nan"), *old[1:]])), "is not finite"
    )
    yield Case(
        "scores with infinity", "scores", table(column("score", lambda old: [float("inf"), *old[1:]])), "is not finite"
    )
    yield Case(
        "scores with an empty value", "scores", table(column("task_name", lambda old: [None, *old[1:]])), "empty values"
    )
    yield Case(
        "scores without a name", "scores", table(column("task_name", lambda old: ["", *old[1:]])), "task_name is empty"
    )
    yield Case(
        "scores with a row twice", "scores", table(lambda t: pa.concat_tables([t, t.slice(0, 1)])), "stands there twice"
    )
    yield Case("scores without a column", "scores", table(lambda t: t.drop_columns(["metric"])), "missing: metric")
    yield Case(
        "scores with another column",
        "scores",
        table(lambda t: t.append_column("x", pa.array([1] * t.num_rows))),
        "unknown: x",
    )
    yield Case(
        "scores with texts as numbers",
        "scores",
        table(lambda t: t.set_column(t.column_names.index("score"), "score", t["score"].cast(pa.string()))),
        "column 'score' is string",
    )
    yield Case(
        "scores with negative examples",
        "scores",
        table(column("num_fewshot", lambda old: [-1] * len(old))),
        "negative number",
    )


CASES: tuple[Case, ...] = (*_run_cases(), *_baseline_cases(), *_tolerance_cases(), *_scores_cases())
