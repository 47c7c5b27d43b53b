"""Write harness/registry/air_bench_sets.json, and what task_examples/air_bench says about sets, from air-benchmark.

    python tools/air_bench_sets.py

needs the extra `air`. In the YAML files it sets `benchmarks`, `main_metric` and `splits` of every task, and in
`qa_shared_<language>.yaml` the description and the aliases: all QA sets of that language that have no file of their own.
`splits` are those of the newest version that has the set; AIR-Bench 24.04 knows only `test`, and what 24.05 turned into
dev sets (msmarco, four Long-Doc sets) is `test` there. Instructions and examples stay untouched.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.registry.air_bench import (  # noqa: E402
    TABLE_FILE,
    AirBenchSet,
    air_bench_sets,
    air_bench_task_name,
    air_bench_versions,
)

EXAMPLES = ROOT / "task_examples" / "air_bench"


def write_table() -> None:
    """Write our table from the package's."""
    tables: dict[str, dict[str, Any]] = importlib.import_module("air_benchmark.tasks").BenchmarkTable
    versions = []
    for version, table in sorted(tables.items()):
        rows = sorted(
            (task_type, domain, language, dataset)
            for task_type, domains in table.items()
            for domain, languages in domains.items()
            for language, datasets in languages.items()
            for dataset in datasets
        )
        lines = [json.dumps(_facts(*row, table)) for row in rows]
        versions.append(f"{json.dumps(version)}: [\n" + ",\n".join(lines) + "\n]")
    TABLE_FILE.write_text("{\n" + ",\n".join(versions) + "\n}\n", encoding="utf-8")


def _facts(task_type: str, domain: str, language: str, dataset: str, table: dict[str, Any]) -> dict[str, Any]:
    source = table[task_type][domain][language][dataset]
    return {
        "name": air_bench_task_name(task_type, domain, language, dataset),
        "task_type": task_type,
        "domain": domain,
        "language": language,
        "dataset": dataset,
        "splits": source["splits"],
        "corpus_size": source["size"]["corpus"],
        "queries": source["size"]["queries"],
        "positives": {split: source["labels"][split]["pos_num"] for split in source["splits"]},
        "mean_corpus_tokens": source["token_num"]["corpus"]["avg_token_num"],
        "mean_query_tokens": {
            split: source["token_num"]["queries"][split]["avg_token_num"] for split in source["splits"]
        },
    }


def _flow(items: list[str] | tuple[str, ...], *, quoted: bool = False) -> str:
    return "[" + ", ".join(f'"{item}"' if quoted else item for item in items) + "]"


def _fields(newest: AirBenchSet, versions: list[str]) -> dict[str, str]:
    return {
        "benchmarks": _flow(versions, quoted=True),
        "main_metric": newest.main_metric,
        "splits": _flow(newest.splits),
    }


def _set_fields(text: str, fields: dict[str, str]) -> str:
    for key, value in fields.items():
        text, count = re.subn(rf"^{key}: .*$", f"{key}: {value}", text, count=1, flags=re.MULTILINE)
        if count != 1:
            raise SystemExit(f"no line with {key!r} to replace")
    return text


def _set_aliases(text: str, aliases: dict[str, dict[str, str]]) -> str:
    block = "aliases:\n"
    for name, fields in aliases.items():
        block += f'  - name: "{name}"\n' + "".join(f"    {key}: {value}\n" for key, value in fields.items())
    text = re.sub(r"^aliases:\n(?: .*\n)*", "", text, flags=re.MULTILINE)
    return re.sub(r"^instruction:$", f"{block}instruction:", text, count=1, flags=re.MULTILINE)


def write_examples() -> None:
    """Bring task_examples/air_bench in line with the table."""
    versions: dict[str, list[str]] = {}
    newest: dict[str, AirBenchSet] = {}
    for version in air_bench_versions():
        for one in air_bench_sets(version):
            versions.setdefault(one.name, []).append(version)
            newest[one.name] = one

    shared: dict[str, tuple[Path, str]] = {}
    missing = set(newest)
    for path in sorted(EXAMPLES.glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        name = str(re.findall(r'^task: "(.*)"$', text, flags=re.MULTILINE)[0])
        if name in newest:
            missing.discard(name)
            path.write_text(_set_fields(text, _fields(newest[name], versions[name])), encoding="utf-8")
        else:
            shared[name] = (path, text)

    for name, (path, text) in shared.items():
        language = name.rsplit("/", 1)[-1]
        aliases = sorted(
            other for other in missing if newest[other].task_type == "qa" and newest[other].language == language
        )
        missing -= set(aliases)
        domains = ", ".join(newest[alias].domain for alias in aliases)
        new = _set_aliases(text, {alias: _fields(newest[alias], versions[alias]) for alias in aliases})
        path.write_text(_set_fields(new, {"description": f'"Shared between domains: {domains}."'}), encoding="utf-8")
    if missing:
        raise SystemExit(f"no file and no shared file for: {', '.join(sorted(missing))}")


if __name__ == "__main__":
    write_table()
    write_examples()
