"""Write the in-context probe of the mini benchmark from tools/mini_probe/texts.yaml: its data and its registry files.

    python tools/mini_probe/build.py

Same texts, same files: the wrong candidates are drawn with a fixed seed. Needs scipy (extra `test`).
What the probe measures and how it was made: docs/mini-probe.md.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.optimize import linear_sum_assignment

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("texts.yaml")
SEED = 20_261_128
VAGUE = "Find the matching label."
ORIGIN = "written for this project"
NAMES = {"seen": "MiniProbeSeen", "unseen": "MiniProbeUnseen"}
DESCRIPTIONS = {
    "seen": "Which of four true labels of a sentence do the examples ask for? Everyday attributes, among eight candidates.",
    "unseen": "The same question for attributes that the embedded model's training never asked for.",
}
# What somebody might call right although the text does not say it: what an instrument is made of, what books are made of,
# the neighbouring time of day. The second is no wrong candidate of a text with the first.
NEAR = {
    "trumpet": ("metal",),
    "bell": ("metal",),
    "flute": ("metal", "wood"),
    "piano": ("wood",),
    "guitar": ("wood",),
    "violin": ("wood",),
    "harp": ("wood",),
    "drum": ("wood", "leather"),
    "reading": ("paper",),
    "writing": ("paper",),
    "morning": ("noon",),
    "noon": ("morning",),
    "evening": ("night",),
    "night": ("evening",),
}
# The attribute in words, for the precise instruction.
PHRASES = {"body_part": "part of the body", "relative": "relative", "time": "time of day", "weather": "weather"}


@dataclass(frozen=True)
class Text:
    """A sentence, its value of each attribute of the frame, and the values that must not be its wrong candidates."""

    values: tuple[str, ...]
    text: str
    never: frozenset[str]


@dataclass(frozen=True)
class Frame:
    """Sentences that carry the same four attributes."""

    name: str
    group: str
    attributes: tuple[str, ...]
    examples: tuple[Text, ...]
    queries: tuple[Text, ...]


def read_frames(path: Path = SOURCE) -> list[Frame]:
    """Read the sentences."""

    def text(row: list[Any]) -> Text:
        values, sentence, *never = row
        return Text(tuple(values), sentence, frozenset(never[0] if never else ()))

    return [
        Frame(
            frame["name"],
            frame["group"],
            tuple(frame["attributes"]),
            tuple(text(row) for row in frame["examples"]),
            tuple(text(row) for row in frame["queries"]),
        )
        for frame in yaml.safe_load(path.read_text(encoding="utf-8"))["frames"]
    ]


def is_stated(label: str, text: str) -> bool:
    """Whether the label itself is a word of the text."""
    return label in re.findall(r"[^\W\d_]+", text.lower())


def wrong_values(frame: Frame, attribute: int) -> list[str]:
    """Draw one wrong value for each query of a frame.

    Each value is wrong as often as it is right, so that its frequency among the candidates tells nothing. A value that is
    right, near to right, a word of the text or listed as `never` is not drawn.
    """
    right = [query.values[attribute] for query in frame.queries]
    slots = sorted(right)
    rng = np.random.default_rng([SEED, *frame.attributes[attribute].encode()])
    cost = rng.random((len(right), len(slots)))
    for row, query in enumerate(frame.queries):
        for column, value in enumerate(slots):
            near = any(value in NEAR.get(true, ()) for true in query.values)
            if value == right[row] or near or value in query.never or is_stated(value, query.text):
                cost[row, column] = 1e6
    rows, columns = linear_sum_assignment(cost)
    if cost[rows, columns].sum() >= 1e6:
        raise SystemExit(f"{frame.name}: no balanced choice of wrong values for {frame.attributes[attribute]}.")
    return [slots[column] for column in columns]


def part_name(attribute: str) -> str:
    """Return the task name of an attribute's part."""
    return "MiniProbe" + "".join(word.capitalize() for word in attribute.split("_"))


def data_files(frame: Frame, attribute: int) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a part's files. The parts of a frame differ in `qrels` alone."""
    wrong = [wrong_values(frame, other) for other in range(len(frame.attributes))]
    ids = [f"{frame.name}-{number:02d}" for number in range(1, len(frame.queries) + 1)]
    labels = sorted({value for query in frame.queries for value in query.values})
    return {
        "corpus": [{"_id": label, "text": label} for label in labels],
        "queries": [{"_id": one, "text": query.text} for one, query in zip(ids, frame.queries, strict=True)],
        "qrels": [
            {"query-id": one, "corpus-id": query.values[attribute], "score": 1}
            for one, query in zip(ids, frame.queries, strict=True)
        ],
        "top_ranked": [
            {"query-id": one, "corpus-ids": sorted([*query.values, *(drawn[number] for drawn in wrong)])}
            for number, (one, query) in enumerate(zip(ids, frame.queries, strict=True))
        ],
    }


def registry_file(group: str, frames: list[Frame]) -> str:
    """Return the YAML text of a group's registry entry."""

    def quoted(value: str) -> str:
        return json.dumps(value, ensure_ascii=False)

    lines = [
        "# Written by tools/mini_probe/build.py from tools/mini_probe/texts.yaml; change those.",
        f"task: {quoted(NAMES[group])}",
        "type: Reranking",
        "benchmarks: [mini, mini-probe]",
        "main_metric: precision_at_1",
        "splits: [test]",
        "subsets: [default]",
        f"description: {quoted(DESCRIPTIONS[group])}",
        "instruction:",
        f"  text: {quoted(VAGUE)}",
        f"  source: {quoted(ORIGIN + '; it does not say which attribute is wanted')}",
        "other_instructions:",
        "  mteb:",
        '    text: "Retrieve text based on user query."',
        '    source: "mteb default of the task type"',
        "parts:",
    ]
    for frame in frames:
        for position, attribute in enumerate(frame.attributes):
            phrase = PHRASES.get(attribute, attribute)
            lines += [
                f"  - name: {part_name(attribute)}",
                f"    data: mini/{NAMES[group]}/{attribute}",
                f"    description: {quoted(f'Probe: the {phrase} in the sentence.')}",
                "    other_instructions:",
                "      precise:",
                f"        text: {quoted(f'Find the {phrase} in the sentence.')}",
                f"        source: {quoted(ORIGIN)}",
                "    examples:",
            ]
            for example in frame.examples:
                lines += [
                    f"      - query: {quoted(example.text)}",
                    f"        response: {quoted(example.values[position])}",
                    f"        origin: {quoted(ORIGIN)}",
                ]
    return "\n".join(lines) + "\n"


def all_files() -> dict[Path, str]:
    """Return every file of the probe, relative to the repository, with its content."""
    frames = read_frames()
    files: dict[Path, str] = {}
    for group, name in NAMES.items():
        own = [frame for frame in frames if frame.group == group]
        files[Path("task_examples") / "mini" / f"{name}.yaml"] = registry_file(group, own)
        for frame in own:
            for position, attribute in enumerate(frame.attributes):
                for stem, rows in data_files(frame, position).items():
                    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                    files[Path("harness") / "mini" / name / attribute / f"{stem}.jsonl"] = text
    return files


def main() -> None:
    """Write the files."""
    files = all_files()
    for path, text in files.items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(files)} files written\n")


if __name__ == "__main__":
    main()
