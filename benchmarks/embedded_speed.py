"""Speed of the embedded model on one core in float32: texts of 12 words through the harness's encoder.

    OMP_NUM_THREADS=1 python benchmarks/embedded_speed.py

Prints seconds of a load after imports, and texts a second, the best of some passes: documents, queries without examples, and queries behind five
examples whose prefix is shared.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from harness.encoder.load import EncoderOptions, load_text_encoder  # noqa: E402
from harness.prompts.profile import find_profile  # noqa: E402
from harness.prompts.template import build_prompt  # noqa: E402
from harness.registry.spec import FewShotExample  # noqa: E402

TEXTS, PASSES = 1000, 5
WORDS = [
    "the",
    "a",
    "of",
    "in",
    "on",
    "with",
    "old",
    "new",
    "small",
    "red",
    "house",
    "river",
    "teacher",
    "bread",
    "train",
    "walks",
    "sees",
    "under",
    "music",
    "garden",
    "letter",
    "table",
    "winter",
    "doctor",
    "quickly",
    "morning",
    "paper",
    "window",
    "street",
    "people",
    "because",
    "never",
    "always",
    "found",
    "between",
    "friend",
    "question",
    "story",
]


def best(work: Callable[[], object]) -> float:
    """Return the shortest of some runs, in seconds."""
    seconds = []
    for _ in range(PASSES):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    options = EncoderOptions(dtype="float32", device="cpu")
    load_text_encoder("embedded", options)  # imports
    print(f"load after imports: {best(lambda: load_text_encoder('embedded', options)):.2f} s")
    backend = load_text_encoder("embedded", options).backend
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=12)) for _ in range(TEXTS)]
    examples = [
        FewShotExample(query=" ".join(rng.choices(WORDS, k=12)), response=rng.choice(WORDS), origin="benchmark")
        for _ in range(5)
    ]
    template = find_profile("embedded").template
    rates = {}
    for name, side, shots in (("documents", "document", 0), ("queries, k=0", "query", 0), ("queries, k=5", "query", 5)):
        prompt = build_prompt(template, "Find texts that mean the same.", examples[:shots])
        rates[name] = TEXTS / best(lambda prompt=prompt, side=side: backend.encode(texts, prompt, side, 512))  # type: ignore[misc]
        print(f"{name}: {rates[name]:.0f} texts/s")
    print(f"k=5 / k=0: {rates['queries, k=5'] / rates['queries, k=0']:.2f}")


if __name__ == "__main__":
    main()
