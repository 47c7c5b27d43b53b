"""The HTML page in a real headless Chromium: sorted, filtered, drawn, and free of other people's scripts."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.registry import Registry
from harness.report.frames import few_shot_table, wide_table
from harness.report.html import render_html
from harness.report.item_files import item_source
from harness.report.leaderboard import build_leaderboards
from harness.report.load import load_scores
from harness.report.table import LeaderboardTable
from harness.report.text import percent, points, points_interval

HOSTILE = "a|b<script>alert(1)</script>"
IMAGE = "<img src=x onerror=alert(2)>"
FORMULA = '=HYPERLINK("http://e","x")'
SUBSCRIPT = "_x_{y}"
MODELS = ("org/alpha", "org/beta", HOSTILE, FORMULA, SUBSCRIPT)
TASKS = {"Alpha": "STS", IMAGE: "STS", "Gamma": "Own</script>"}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        message = "NO CHROMIUM: the HTML page is not tested here. Install it: apt-get install chromium chromium-driver"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is missing: pip install -e '.[test]'")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
        "--disable-dev-shm-usage", "--window-size=1280,900", f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # An alert stays open, so that a test sees it.
    options.unhandled_prompt_behavior = "ignore"
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


@pytest.fixture(scope="module")
def tables(make: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> list[LeaderboardTable]:
    """Five models, three of them with hostile names, at 0, 1 and 3 examples, with items; one gap."""
    run = tmp_path_factory.mktemp("page") / "run"
    rows = []
    for place, model in enumerate(MODELS):
        for shots in (0, 1, 3):
            for number, (task, task_type) in enumerate(TASKS.items()):
                values = np.random.default_rng([place, shots, number]).random(30) * 0.7 + shots / 12
                if task == "Alpha" and place == 0:
                    make.items(run, f"k{shots}", task, {"ndcg_cut_10": values})
                if model == SUBSCRIPT and task == "Gamma":
                    continue
                identity = {"model_name": model, "configuration": f"k{shots}", "num_fewshot": shots, "run_id": "run"}
                scored = {"task_name": task, "task_type": task_type, "metric": "ndcg_at_10"}
                cost = {"encode_seconds": 1.0 + shots / 2}
                examples = {"examples_set": HOSTILE if shots else "none"}
                rows.append(make.row(**identity, **scored, **cost, **examples, score=float(values.mean())))
    scores = load_scores([make.run(run, rows)])
    return build_leaderboards(scores, items=item_source(scores), registry=Registry([]))


@pytest.fixture
def page(browser: Any, tables: list[LeaderboardTable], tmp_path: Path) -> Iterator[Any]:
    """The page, opened from a file; no alert, error or request may have come of it."""
    path = tmp_path / "leaderboard.html"
    path.write_text(render_html(tables), encoding="utf-8")
    _open(browser, path)
    yield browser
    _check_quiet(browser, path)


def _open(browser: Any, path: Path) -> None:
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(path.as_uri())
    assert browser.execute_script("return document.documentElement.dataset.ready") == "true"


def _check_quiet(browser: Any, path: Path) -> None:
    from selenium.common.exceptions import NoAlertPresentException

    with pytest.raises(NoAlertPresentException):
        _ = browser.switch_to.alert.text
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    # Chromium's own new tab makes requests as well.
    asked = {one["request"]["url"] for one in requests if one["documentURL"] == path.as_uri()}
    assert asked == {path.as_uri()}


def _cells(browser: Any, where: str = "board") -> list[list[str]]:
    script = """return [...document.querySelectorAll(arguments[0])].map(
        row => [...row.children].map(cell => cell.innerText.trim()))"""
    cells: list[list[str]] = browser.execute_script(script, f"#{where} tbody tr")
    return cells


def _heading(browser: Any, title: str, where: str = "board") -> Any:
    from selenium.webdriver.common.by import By

    return next(
        b for b in browser.find_elements(By.CSS_SELECTOR, f"#{where} thead button") if b.text.split() == title.split()
    )


def _choose(browser: Any, field: str, text: str) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.select import Select

    Select(browser.find_element(By.ID, field)).select_by_visible_text(text)


def _type(browser: Any, text: str) -> None:
    from selenium.webdriver.common.by import By

    field = browser.find_element(By.ID, "filter")
    field.clear()
    field.send_keys(text)


def test_cells_are_the_numbers_of_the_parquet_file(page: Any, tables: list[LeaderboardTable]) -> None:
    records = wide_table(tables).to_pylist()
    names = ["mean_task", "mean_task_type", *(f"type:{name}" for name in tables[0].task_types)]

    shown = _cells(page)

    assert len(shown) == 15
    for cells, record in zip(shown, records, strict=True):
        assert cells[:3] == [str(record["rank_borda"]), record["model_name"], record["n_shot"]]
        assert cells[3:] == [percent(record[name]) for name in names]


def test_differences_and_intervals_are_those_of_the_parquet_file(page: Any, tables: list[LeaderboardTable]) -> None:
    _choose(page, "type", "STS")
    records = [record for record in few_shot_table(tables).to_pylist() if record["name"] == "Alpha"]

    shown = _cells(page, "few")

    assert len(shown) == 10
    with_interval = 0
    for cells, record in zip(shown, records, strict=True):
        difference = points(record["difference"])
        interval = points_interval(record["interval_low"], record["interval_high"])
        with_interval += interval != "-"
        assert cells[0] == record["model_name"] and cells[6] == record["examples_set"]
        assert cells[9].split("\n") == ([difference] if interval == "-" else [difference, interval])
    assert with_interval == 2


def test_click_on_a_heading_sorts_and_a_second_one_turns_the_order(page: Any) -> None:
    before = _cells(page)

    _heading(page, "STS").click()
    falling = [float(cells[5]) for cells in _cells(page)]
    heading = _heading(page, "STS").find_element("xpath", "..")
    assert heading.get_attribute("aria-sort") == "descending"
    _heading(page, "STS").click()
    rising = [float(cells[5]) for cells in _cells(page)]

    assert falling == sorted(falling, reverse=True) != [float(cells[5]) for cells in before]
    assert rising == sorted(rising)
    _heading(page, "Mean (Task)").click()
    means = [cells[3] for cells in _cells(page)]
    assert means[-3:] == ["-"] * 3, "gaps are last in either order"
    _heading(page, "Mean (Task)").click()
    assert [cells[3] for cells in _cells(page)][-3:] == ["-"] * 3
    _heading(page, "Model").click()
    names = [cells[1] for cells in _cells(page)]
    assert names != [cells[1] for cells in before] and len(set(names[:3])) == 1


def test_keyboard_sorts_and_keeps_the_focus(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    _heading(page, "STS").send_keys(Keys.ENTER)
    focused = page.switch_to.active_element
    assert focused.text == "STS"
    focused.send_keys(Keys.SPACE)

    assert _heading(page, "STS").find_element("xpath", "..").get_attribute("aria-sort") == "ascending"


def test_filter_leaves_the_matching_rows_in_tables_and_plots(page: Any) -> None:
    _type(page, "BETA n-shot:3")

    assert [cells[1:3] for cells in _cells(page)] == [["org/beta", "3"]]
    assert len(_cells(page, "few")) == len(_cells(page, "costs")) == 1
    assert page.find_element("id", "count").text == "1 of 15 rows"
    _type(page, "<script>")
    assert {cells[1] for cells in _cells(page)} == set(MODELS), "every row has examples of that name or model"
    _type(page, "a|b<script>alert(1)</script>, 3-shot")
    assert [cells[1:3] for cells in _cells(page)] == [[HOSTILE, "3"]]
    _type(page, "nothing is called so")
    assert _cells(page) == []
    assert "No row matches the filter." in page.find_element("id", "board").text
    assert not page.find_element("id", "shots-section").is_displayed()


def test_task_type_shows_its_tasks(page: Any, tables: list[LeaderboardTable]) -> None:
    _choose(page, "type", "STS")

    headings = [button.text.replace("\n", "") for button in page.find_elements("css selector", "#board thead button")]
    assert headings[5:] == ["STS (mean)", *sorted(["Alpha", IMAGE])]
    records = wide_table(tables).to_pylist()
    assert [cells[6] for cells in _cells(page)] == [
        percent(record[f"task:{sorted(['Alpha', IMAGE])[0]}"]) for record in records
    ]
    _choose(page, "type", "Own</script>")
    assert len(_cells(page)[0]) == 7


def test_plots_show_shots_intervals_types_differences_and_cost(page: Any) -> None:
    def count(selector: str) -> int:
        return len(page.find_elements("css selector", selector))

    _choose(page, "metric", "Alpha")

    assert count("#shots-plot polygon, #shots-plot circle.mark") - count("#shots-plot .legend .mark") == 15
    assert count("#shots-plot .whisker") == 2, "two few-shot rows have items"
    assert count("#cost-plot .line") == 5
    assert count("#types-plot rect") == 5 * 2 - 1, "one row per model and type, but for the gap"
    assert count("#diff-plot circle") == 3
    title = page.execute_script("return document.querySelector('#shots-plot svg:not(.legend svg) title').textContent")
    assert "-shot: " in title
    _choose(page, "metric", "Mean (TaskType)")
    assert count("#shots-plot .whisker") == 0, "that mean has no interval"


def test_names_are_text_and_add_no_elements(page: Any) -> None:
    text = page.find_element("tag name", "body").text

    for name in (HOSTILE, FORMULA, SUBSCRIPT):
        assert name in text
    _choose(page, "type", "STS")
    assert IMAGE in page.find_element("id", "board").text.replace("\n", "")
    page.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    time.sleep(0.1)
    assert page.find_elements("css selector", "img, iframe, a, object, embed, link") == []
    assert len(page.find_elements("tag name", "script")) == 2
    assert page.execute_script("return document.querySelectorAll('[onerror], [onload], [style*=url]').length") == 0


def test_settings_of_a_model_unfold(page: Any) -> None:
    page.find_element("css selector", "#board tbody summary").click()
    time.sleep(0.1)

    assert "Tokenisation" in page.find_element("css selector", "#board tbody dl").text


def test_tables_are_marked_up_for_screen_readers(page: Any) -> None:
    assert all(
        cell.get_attribute("scope") == "col" and cell.get_attribute("aria-sort") == "none"
        for cell in page.find_elements("css selector", "#board thead th")
    )
    assert len(page.find_elements("css selector", "#board tbody th[scope=row]")) == 15
    assert not page.find_elements("css selector", ".plot > svg:not([aria-label])")
    assert page.find_element("id", "count").get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_a_phone(page: Any, dark: bool) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": theme})
    try:
        page.refresh()
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
        brightness = page.execute_script(
            "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert (sum(brightness) < 200) == dark
        svg = page.find_element("css selector", "#shots-plot > svg")
        assert 200 < svg.size["width"] <= 390
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_two_hundred_models_answer_at_once(browser: Any, make: SimpleNamespace, tmp_path: Path) -> None:
    registry = Registry.load()
    rows = [
        make.row(
            model_name=f"org/model-{model}", configuration=f"k{shots}", task_name=task.name, task_type=task.task_type
        )
        | {"split": task.splits[0], "hf_subset": task.subsets[0], "score": (model * 37 + shots * 5 + place) % 101 / 101}
        for model in range(100)
        for shots in (0, 5)
        for place, whole in enumerate(registry.benchmark("MTEB(eng, v1)"))
        for task in (registry.get(name) for name in whole.parts or (whole.name,))
    ]
    path = tmp_path / "leaderboard.html"
    path.write_text(render_html(build_leaderboards(make.frame(rows), benchmark="MTEB(eng, v1)")), encoding="utf-8")

    _open(browser, path)
    loaded = browser.execute_script("return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    sort = """const button = document.querySelectorAll('#board thead button')[3], start = performance.now();
        button.click(); document.body.offsetHeight; return performance.now() - start"""
    sorted_in = min(browser.execute_script(sort) for _ in range(3))

    assert path.stat().st_size < 1_000_000
    assert len(_cells(browser)) == 200
    # Measured: 150 ms and 30 ms; the limits leave room for a busy machine.
    assert loaded < 3000 and sorted_in < 1000, (loaded, sorted_in)
    if "REPORT_PAGE_TIMES" in os.environ:
        print(f"{path.stat().st_size} bytes, loaded in {loaded:.0f} ms, sorted in {sorted_in:.0f} ms")
    _check_quiet(browser, path)
