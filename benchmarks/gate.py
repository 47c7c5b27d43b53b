"""Error rates of the gate: clean re-runs, changed subjects of equal quality, drops of known size, structural faults.

    python -m benchmarks.gate --repeats REPEATS --pair RUN RUN --baseline FILE     (REPEATS and pairs may be several)

REPEATS is a folder that `icl-harness noise --keep` has filled with ten or more repeats. A pair are runs of the same tasks by two
different subjects (other weights, prompt or lengths). Writes benchmarks/results/gate-error-rates.md and .json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gate_rates import (
    Decision,
    FaultResult,
    Rate,
    calibration_size,
    drops,
    equal_quality,
    noise_real,
    noise_simulated,
    noise_unmeasured,
    structural,
)
from benchmarks.gate_simulation import in_memory, pair_up
from harness.check.baseline_file import read_baseline
from harness.check.compare import CheckOptions, check_results
from harness.check.outcome import Verdict
from harness.check.tolerance import Tolerances
from harness.cli.main import main as command
from harness.store.stored_run import read_run

SEED = 20240924
OUT = Path(__file__).parent / "results"


def decide(
    run: Any, baseline: Any, tolerances: Tolerances, allowed: tuple[str, ...] = (), *, resamples: int = 1000
) -> Decision:
    """Return the gate's decision, by the function that `check` calls."""
    options = CheckOptions(allowed=frozenset(allowed), resamples=resamples)
    outcome = check_results(run, baseline, tolerances, options)
    regressed = {(one.configuration, one.task) for one in outcome.tasks if one.verdict == Verdict.REGRESSED}
    return Decision(outcome.exit_code, frozenset(regressed))


def check_code(folder: Path, baseline: Path) -> int:
    """Return the exit code of the command itself."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return command(["check", str(folder), "--baseline", str(baseline)])


def measure(
    repeats: list[list[Any]], subjects: list[tuple[Any, Any]], baseline: Path | None, *, runs: int, seed: int = SEED
) -> tuple[list[Rate], list[FaultResult]]:
    """Return all rates.

    Args:
        repeats: groups of real repeats, each of one model and dtype.
        subjects: pairs of runs by different subjects on the same tasks.
        baseline: for the structural faults; None leaves them out.
        runs: simulated runs per rate; drops and changed subjects take a fifth of it.
        seed: of all draws.
    """
    rng = np.random.default_rng(seed)
    rates = []
    for group in repeats:
        model = group[0].manifest["model"]
        what = f"{model['model_name'].rpartition('/')[2]}, {model['dtype']}"
        rates.append(noise_simulated(decide, group, rng, runs, Rate(f"clean, simulated from sigma ({what})", "<= 1 %")))
        real = Rate(
            f"clean, {len(group)} real re-runs, bounds from {calibration_size(group)} of them ({what})", "<= 1 %"
        )
        rates.append(noise_real(decide, group, rng, runs, real))
        start = Rate(f"clean, {len(group)} real re-runs, start values ({what})", "not promised")
        rates.append(noise_unmeasured(decide, group, start))
    for first, second in subjects:
        pairs = pair_up(first, second)
        few, what = max(runs // 5, 1), f"{first.path.name} and {second.path.name}, {len(pairs)} tasks"
        equal = Rate(f"changed subject of equal quality ({what})", "<= 5 %")
        rates.append(equal_quality(decide, first.manifest, pairs, rng, few, equal))
        dropped = Rate(f"drop of max(5 SE, 0.2 points) in one task ({what})", ">= 95 %")
        rates.append(drops(decide, first.manifest, pairs, rng, few, dropped))
    faults = []
    if baseline is not None:
        stored = read_baseline(baseline)
        types = [record["rows"][0]["task_type"] for record in stored.records]
        places = [types.index(one) for one in dict.fromkeys(types)]
        faults = list(structural(lambda folder: check_code(folder, baseline), stored, places))
    return rates, faults


def markdown(rates: list[Rate], faults: list[FaultResult], line: str, about: str) -> str:
    """Return the table that is committed."""
    lines = [
        "# Error rates of the gate",
        "",
        about,
        "",
        f"`{line}`",
        "",
        "| runs | promised | number | gate | 95 % interval | flat 0.001 |",
        "|--|--|--|--|--|--|",
    ]
    for rate in rates:
        low, high = rate.interval()
        verb = "found" if rate.what.startswith("drop") else "alarm"
        lines.append(
            f"| {rate.what} | {verb} {rate.promised} | {rate.runs} | {100 * rate.share:.2f} % | "
            f"{100 * low:.2f}-{100 * high:.2f} % | {100 * rate.flat / rate.runs:.1f} % |"
        )
    if faults:
        lines += ["", "| structural fault | tasks | found | exit codes | flat 0.001 sees it |", "|--|--|--|--|--|"]
        for name in dict.fromkeys(one.fault for one in faults):
            these = [one for one in faults if one.fault == name]
            codes = ", ".join(f"{code}" for code in sorted(Counter(one.exit_code for one in these)))
            lines.append(
                f"| {name} | {len(these)} | {sum(one.found for one in these)} | {codes} | {sum(bool(one.flat) for one in these)} |"
            )
    notes = [f"- {rate.what}: {note}" for rate in rates for note in rate.notes]
    if notes:
        lines += ["", "Drops by task:", "", *notes]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=Path, action="append", default=[])
    parser.add_argument("--pair", type=Path, nargs=2, action="append", default=[], metavar="RUN")
    parser.add_argument("--baseline", type=Path)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    started = time.perf_counter()
    groups = [[in_memory(read_run(path)) for path in sorted(folder.glob("repeat-*"))] for folder in options.repeats]
    subjects = [(read_run(first), read_run(second)) for first, second in options.pair]
    rates, faults = measure(groups, subjects, options.baseline, runs=options.runs)
    names = [f"--repeats {folder.name}" for folder in options.repeats]
    names += [f"--pair {first.name} {second.name}" for first, second in options.pair]
    line = f"python -m benchmarks.gate {' '.join(names)} --baseline {options.baseline} --runs {options.runs}"
    about = (
        f"Scores and per-item outcomes of real runs; {sum(map(len, groups))} real re-runs with different batch plans and "
        f"threads. {platform.machine()}, {time.perf_counter() - started:.0f} s, seed {SEED}."
    )
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gate-error-rates.md").write_text(markdown(rates, faults, line, about), encoding="utf-8")
    content = {
        "command": line,
        "rates": [{**vars(rate), "share": rate.share, "interval": rate.interval()} for rate in rates],
        "faults": [one._asdict() for one in faults],
    }
    (options.out / "gate-error-rates.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(markdown(rates, faults, line, about))


if __name__ == "__main__":
    main()
