"""From the authors' file names to the registry's task names."""

from __future__ import annotations

from pathlib import Path

from harness.registry.registry import Registry, suggest

AIR_PREFIX = "air-bench/"
AIR_FOLDERS = ("qa", "long-doc")
# File names of the authors that are no task of mteb.
_OTHER_NAMES = {"cqadupstack": "CQADupstackRetrieval"}


class TaskNames:
    """Which task an example file belongs to."""

    def __init__(self, registry: Registry) -> None:
        self._mteb: dict[str, str] = {}
        self._air: dict[str, str] = {}
        for task in registry:
            if task.name.startswith(AIR_PREFIX):
                self._add_air(task.name)
            else:
                self._mteb[task.name.casefold()] = task.name

    def _add_air(self, name: str) -> None:
        """Index `air-bench/long-doc/arxiv/en/gemini` as `long-doc/arxiv-gemini`, other languages with their code."""
        folder, domain, language, *dataset = name.removeprefix(AIR_PREFIX).split("/")
        stem = "-".join([domain, *dataset])
        if language == "en":
            self._air[f"{folder}/{stem}".casefold()] = name
        for separator in "-_":
            self._air[f"{folder}/{stem}{separator}{language}".casefold()] = name

    def find(self, path: Path) -> tuple[str | None, str]:
        """Return the task of a file and, where there is none, what to tell the user.

        AIR-Bench files are known by their folder (`qa`, `long-doc`); names are compared without case, because nine of
        the authors' files differ from the package's spelling (100k-200k, 100K-200K).
        """
        stem = path.stem.strip()
        folder = path.resolve().parent.name.casefold()
        if folder in AIR_FOLDERS:
            key = f"{folder}/{stem}".casefold()
            task = self._air.get(key)
            return task, "" if task else f"no AIR-Bench task fits {key!r}.{suggest(key, self._air)}"
        key = stem.casefold()
        task = self._mteb.get(_OTHER_NAMES.get(key, key).casefold())
        return task, "" if task else f"no task {stem!r} is in the registry.{suggest(stem, self._mteb.values())}"
