"""Put the demo's leaderboard into the README, and a picture of its page into docs/images/.

    python tools/leaderboard.py RUN...      (or: make leaderboard)

The text between `<!-- demo -->` and `<!-- /demo -->` is replaced: the leaderboard of the mini benchmark as a markdown
table, what examples change with its paired intervals, and the picture. Times are not shown, so the same scores give the same
text. The picture needs Chromium with its driver, and selenium (extra `test`).
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.errors import HarnessError  # noqa: E402
from harness.registry import Registry  # noqa: E402
from harness.report.aggregate import mean  # noqa: E402
from harness.report.comparison import Difference  # noqa: E402
from harness.report.html import render_html  # noqa: E402
from harness.report.item_files import item_source  # noqa: E402
from harness.report.leaderboard import build_leaderboards  # noqa: E402
from harness.report.load import load_scores  # noqa: E402
from harness.report.table import LeaderboardTable  # noqa: E402
from harness.report.text import escape_markdown, percent, points, points_interval  # noqa: E402
from harness.store.atomic import write_bytes  # noqa: E402

BENCHMARK = "mini"
BEGIN, END = "<!-- demo -->", "<!-- /demo -->"
PROBE_PAGE = "docs/mini-probe.md"
PICTURE = Path("docs") / "images" / "leaderboard.png"
WIDTH = 1280
"""Pixels of the picture."""
PICTURE_BYTES = 200_000
ALONE = ("MiniProbeSeen", "MiniProbeUnseen")
"""Tasks that have a column of their own: what examples steer is seen there."""


def tables_of(runs: list[Path]) -> list[LeaderboardTable]:
    """Build the leaderboards of some runs; the first is that of the mini benchmark."""
    scores = load_scores(runs)
    tables = build_leaderboards(scores, registry=Registry.load(), items=item_source(scores))
    first = [table for table in tables if table.benchmark == BENCHMARK]
    if not first:
        raise SystemExit(f"none of these runs holds the whole benchmark {BENCHMARK}.")
    return first + [table for table in tables if table.benchmark != BENCHMARK]


def markdown(table: LeaderboardTable) -> str:
    """Return the text that stands between the marks."""
    columns = [*table.mean_columns(), *table.type_columns()]
    columns += [column for column, task in zip(table.task_columns(), table.tasks, strict=True) if task.name in ALONE]
    titles = ["Rank", "Model", "n-shot", *(column.title for column in columns)]
    lines = [_line(titles), _line(["---:", "---", *["---:"] * (len(titles) - 2)])]
    best = [table.best(column) for column in columns]
    for place, row in enumerate(table.rows):
        cells = [
            f"**{percent(column.values[place])}**" if place in top else percent(column.values[place])
            for column, top in zip(columns, best, strict=True)
        ]
        lines.append(_line([row.rank_text, escape_markdown(row.name), escape_markdown(row.key.shots), *cells]))
    lines += ["", "Main scores x 100, the best of each column bold.", ""]
    lines += _few_shot(table)
    lines.append(f"![The leaderboard page of these runs: table and plots]({PICTURE.as_posix()})")
    return "\n".join(lines)


def _few_shot(table: LeaderboardTable) -> list[str]:
    if not table.few_shot:
        return []
    places = [index for index, task in enumerate(table.tasks) if task.name in ALONE]
    others = [index for index in range(len(table.tasks)) if index not in places]
    names = [table.tasks[place].name for place in places]
    titles = ["Examples minus none", "n-shot", "Mean (Task)", f"Mean of the other {len(others)}", *names]
    lines = [_line(titles), _line(["---", *["---:"] * (len(titles) - 1)])]
    for one in table.few_shot:
        row = table.rows[one.row]
        rest = mean(one.tasks[place].value for place in others)
        cells = [_change(one.mean), points(rest), *(_change(one.tasks[place]) for place in places)]
        lines.append(_line([escape_markdown(row.name), escape_markdown(row.key.shots), *cells]))
    # Said beside the numbers: most of the mean's difference is the probes', by their construction.
    remark = f"cannot exceed 25 without examples, by construction ([why]({PROBE_PAGE})), and the mean counts them."
    return [*lines, "", f"In points, with 95 % paired bootstrap intervals. {' and '.join(names)} {remark}", ""]


def _change(difference: Difference) -> str:
    shown = points(difference.value)
    return shown if difference.low is None else f"{shown} {points_interval(difference.low, difference.high)}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def replace_block(text: str, block: str, *, marks: tuple[str, str] = (BEGIN, END), where: str = "the README") -> str:
    """Return a document with another text between the marks."""
    begin, end = marks
    pattern = re.compile(rf"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"{where} must hold one {begin} and one {end}, in this order.")
    return pattern.sub(lambda _: f"{begin}\n{block}\n{end}", text)


def screenshot(page: str, *, width: int = WIDTH) -> bytes:
    """Return a PNG of a page's top, down to the end of the first two plots, in light colours."""
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.chrome.service import Service

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        raise SystemExit("the picture needs Chromium and its driver: apt-get install chromium chromium-driver")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(page, encoding="utf-8")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--blink-settings=preferredColorScheme=1", f"--user-data-dir={folder}/profile",
        ):  # fmt: skip
            options.add_argument(argument)
        try:
            browser = webdriver.Chrome(options=options, service=Service(driver))
        except WebDriverException as error:
            raise SystemExit(f"Chromium does not start: {' '.join(str(error).split())[:300]}") from error
        try:
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.get(path.as_uri())
            height = browser.execute_script(
                "return Math.max(...[...document.querySelectorAll('#board, #notes-box, #shots-section, #cost-section')]"
                ".map(part => part.getBoundingClientRect().bottom + window.scrollY)) + 16"
            )
            clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
            shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        finally:
            browser.quit()
        return base64.b64decode(shot["data"])


def main() -> None:
    """Write the README's block and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run directories of the mini benchmark")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--picture", type=Path, default=ROOT / PICTURE)
    arguments = parser.parse_args()
    try:
        tables = tables_of(arguments.runs)
        readme = replace_block(arguments.readme.read_text(encoding="utf-8"), markdown(tables[0]))
        picture = screenshot(render_html(tables))
        if len(picture) > PICTURE_BYTES:
            raise SystemExit(f"the picture has {len(picture):,} bytes; {PICTURE_BYTES:,} are allowed.")
        write_bytes(arguments.picture, picture)
        write_bytes(arguments.readme, readme.encode("utf-8"))
    except HarnessError as error:
        raise SystemExit(str(error)) from error
    print(f"wrote {arguments.readme} and {arguments.picture} ({len(picture):,} bytes)")


if __name__ == "__main__":
    main()
