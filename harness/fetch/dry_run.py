"""What a fetch would do."""

from __future__ import annotations

from harness.errors import EXIT_OK, HarnessError
from harness.fetch.data import is_prepared, source_of
from harness.fetch.download import Downloader, gigabytes
from harness.fetch.fetch import FetchSummary, ModelWish, bytes_left, data_key
from harness.fetch.model import list_model
from harness.fetch.state import FetchState
from harness.runners.tasks import TaskUnit


def describe(
    wishes: list[ModelWish], units: list[TaskUnit], downloader: Downloader, state: FetchState
) -> tuple[list[str], int]:
    """Return one line per item, and the exit code that the fetch would begin with."""
    lines: list[str] = []
    summary = FetchSummary()
    total = 0
    for wish in wishes:
        try:
            listing = downloader.retrier(
                lambda wish=wish: list_model(wish.name, wish.revision, downloader.timeout_seconds)  # type: ignore[misc]
            )
        except HarnessError as error:
            summary.failures[wish.key] = error
            lines.append(f"{wish.key}: {error}")
            continue
        left = bytes_left(wish.name, listing)
        total += left
        size = sum(listing.sizes.values())
        lines.append(
            f"{wish.key}: commit {listing.commit}, {len(listing.sizes)} files, {gigabytes(size)}, {_to_do(left)}"
        )
    for unit in units:
        try:
            repo, revision = source_of(unit)
        except HarnessError as error:
            summary.failures[unit.name] = error
            lines.append(f"data {unit.name}: {error}")
            continue
        known = state.get(data_key(unit, repo, revision))
        there = known is not None and known.status == "done" and is_prepared(unit)
        lines.append(f"data {unit.name}: {repo}@{revision}, {'there' if there else 'to fetch'}")
    lines.append(f"To download: {gigabytes(total)} of models, and the data marked 'to fetch'.")
    return lines, summary.exit_code if summary.failures else EXIT_OK


def _to_do(left_bytes: int) -> str:
    return f"{gigabytes(left_bytes)} to download" if left_bytes else "there"
