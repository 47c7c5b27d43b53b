"""An audit's result as markdown, as a parquet table and as lines for the terminal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from harness.audit.index import CONTAINMENT_SHARE, KINDS, NEAR_DUPLICATE_JACCARD
from harness.audit.scan import AuditResult, Hit
from harness.audit.shingles import MIN_CHARACTERS, MIN_WORDS
from harness.store.atomic import replacing, write_bytes

MARKDOWN_FILE = "audit.md"
PARQUET_FILE = "audit.parquet"
_SHOWN_CHARACTERS = 160
_SHOWN_SHORT = 50


def summary(result: AuditResult) -> str:
    """Return the outcome in one sentence."""
    kinds = Counter(hit.kind for hit in result.hits)
    found = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind]) or "none"
    return (
        f"{result.num_example_texts} example texts against {sum(result.texts.values())} evaluation texts of "
        f"{len({task for task, _ in result.texts})} tasks in {result.seconds:.1f} s: {len(result.hits)} hits ({found}), "
        f"{len(result.hits) - len(result.unwaived)} waived, {len(result.unwaived)} to be mended."
    )


def hit_line(hit: Hit) -> str:
    """Return one hit as a line that names both places."""
    return (
        f"{hit.task} {hit.side} {hit.number}: {hit.kind} ({hit.similarity:.2f}) in {hit.evaluation_task} "
        f"{hit.split} {hit.row_id}: {_cut(hit.text, 80)!r} (text_sha {hit.text_sha})"
    )


def _cut(text: str, limit: int = _SHOWN_CHARACTERS) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _cell(text: str) -> str:
    return _cut(text).replace("\\", "\\\\").replace("|", "\\|").replace("`", "'").replace("<", "&lt;")


def markdown(result: AuditResult) -> str:
    """Return the report for reviewers; the same result gives the same text (times apart)."""
    lines = ["# Audit of the few-shot examples", "", summary(result), ""]
    lines += [
        f"Compared: equal texts; equal letters and digits (NFKC, case-folded); shingles of 3 words (5 characters in "
        f"Chinese, Japanese, Korean, Thai) with Jaccard >= {NEAR_DUPLICATE_JACCARD} (near duplicate), {CONTAINMENT_SHARE:.0%} "
        f"of the example inside a text (containment), {CONTAINMENT_SHARE:.0%} of a text inside an example. "
        f"{result.num_short} texts of fewer than {MIN_WORDS} words ({MIN_CHARACTERS} characters) are compared for equality "
        "only and listed apart.",
        "",
    ]
    for title, hits in (
        ("Hits", result.unwaived),
        ("Waived", [hit for hit in result.hits if hit.waived]),
    ):
        lines += [f"## {title}", ""]
        lines += _hit_table(hits, waived=title == "Waived") if hits else ["None.", ""]
    if result.more:
        lines += ["## More of the same", ""]
        lines += [
            f"- {task} {side} {number} in {evaluation_task} {split}: {count} further rows"
            for (task, side, number, evaluation_task, split), count in sorted(result.more.items())
        ]
        lines.append("")
    lines += ["## Short texts that occur as they are", ""]
    counts = Counter((hit.task, hit.side, hit.text, hit.evaluation_task) for hit in result.short)
    if counts:
        lines += ["| example of | side | text | found in | rows |", "|--|--|--|--|--:|"]
        lines += [
            f"| {task} | {side} | {_cell(text)} | {found} | {count} |"
            for (task, side, text, found), count in sorted(counts.items())[:_SHOWN_SHORT]
        ]
        lines.append("")
    else:
        lines += ["None.", ""]
    if result.unused_waivers:
        lines += ["## Waivers that matched nothing here", ""]
        lines += [f"- {item.task} {item.text_sha} in {item.evaluation_task}" for item in result.unused_waivers]
        lines.append("")
    lines += ["## Evaluation texts", "", "| task | split | texts |", "|--|--|--:|"]
    lines += [f"| {task} | {split} | {count} |" for (task, split), count in sorted(result.texts.items())]
    return "\n".join(lines) + "\n"


def _hit_table(hits: list[Hit], *, waived: bool) -> list[str]:
    last = "reason" if waived else "text_sha"
    lines = [
        f"| example of | side | no. | found in | split | row | kind | similarity | example | evaluation text | {last} |",
        "|--|--|--:|--|--|--|--|--:|--|--|--|",
    ]
    lines += [
        f"| {hit.task} | {hit.side} | {hit.number} | {hit.evaluation_task} | {hit.split} | {_cell(hit.row_id)} | {hit.kind} | "
        f"{hit.similarity:.2f} | {_cell(hit.text)} | {_cell(hit.evaluation_text)} | "
        f"{_cell(hit.reason) if waived else hit.text_sha} |"
        for hit in hits
    ]
    return [*lines, ""]


def write_report(result: AuditResult, folder: Path) -> list[Path]:
    """Write audit.md and audit.parquet and return their paths.

    Raises:
        StorageError: the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("example_task", pa.string()),
            ("side", pa.string()),
            ("example_index", pa.int32()),
            ("example_text", pa.string()),
            ("text_sha", pa.string()),
            ("evaluation_task", pa.string()),
            ("split", pa.string()),
            ("row_id", pa.string()),
            ("evaluation_text", pa.string()),
            ("kind", pa.string()),
            ("similarity", pa.float64()),
            ("short", pa.bool_()),
            ("waived", pa.bool_()),
            ("reason", pa.string()),
        ]
    )
    rows = [
        {
            "example_task": hit.task,
            "side": hit.side,
            "example_index": hit.number,
            "example_text": hit.text,
            "text_sha": hit.text_sha,
            "evaluation_task": hit.evaluation_task,
            "split": hit.split,
            "row_id": hit.row_id,
            "evaluation_text": hit.evaluation_text,
            "kind": hit.kind,
            "similarity": hit.similarity,
            "short": is_short,
            "waived": hit.waived,
            "reason": hit.reason,
        }
        for is_short, hits in ((False, result.hits), (True, result.short))
        for hit in hits
    ]
    table = pa.Table.from_pylist(rows, schema=schema)
    with replacing(folder / PARQUET_FILE) as temporary:
        pq.write_table(table, temporary)
    write_bytes(folder / MARKDOWN_FILE, markdown(result).encode("utf-8"))
    return [folder / MARKDOWN_FILE, folder / PARQUET_FILE]
