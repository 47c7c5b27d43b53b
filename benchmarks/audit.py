"""How long the audit of examples takes over a large corpus: CPU seconds for 5,000 passages of 100 words, and for a million at that rate.

    python benchmarks/audit.py [--texts 5000]

The passages are made of the examples' own words, so that every look-up of the index is one that finds something.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.audit import audit
from harness.audit.scan import example_texts
from harness.audit.sources import EvaluationText
from harness.registry import Registry


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=5000)
    count = parser.parse_args().texts
    registry = Registry.load()
    examples = example_texts(registry)
    rng = random.Random(5)
    vocabulary = sorted({word for item in examples for word in item.text.split()})
    texts = [" ".join(rng.choices(vocabulary, k=100)) for _ in range(count)]
    started = time.process_time()
    audit(examples, (EvaluationText("E", "test", str(row), text) for row, text in enumerate(texts)))
    seconds = time.process_time() - started
    print(f"{count} texts: {seconds:.2f} CPU seconds; a million at that rate: {seconds * 1e6 / count / 60:.1f} minutes")


if __name__ == "__main__":
    main()
