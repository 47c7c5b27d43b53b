"""The settings of a run: from flags, from a YAML file, checked in one place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.config_file import folder_name, read_settings
from harness.errors import ConfigError
from harness.prompts.profile import Attention, Tokenization
from harness.registry.air_bench import is_air_bench
from harness.registry.registry import CURATED_EXAMPLES, DEFAULT_INSTRUCTIONS
from harness.store.run_dir import canonical_sha256

DTYPES = ("auto", "float32", "bfloat16", "float16")


class RunConfig(BaseModel):
    """Everything that `run` can be told. Keys of a --config file have these names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: str | None = None
    profile: str | None = None
    benchmark: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    num_fewshot: tuple[int | None, ...] = (None,)
    """None stands for `all`."""
    fewshot_seed: tuple[int, ...] = ()
    """Seeds of the choice and order of the examples; empty takes the first k in file order."""
    examples: str = CURATED_EXAMPLES
    instructions: str = DEFAULT_INSTRUCTIONS
    output_dir: Path | None = None
    data_dir: Path | None = None
    registry_dir: tuple[Path, ...] = ()
    offline: bool = False
    limit: int | None = Field(default=None, ge=1)
    splits: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    task_types: tuple[str, ...] = ()
    """AIR-Bench only, as `domains` and `datasets`: which of its sets to run."""
    domains: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    batch_tokens: int | None = Field(default=None, ge=1)
    query_max_tokens: int | None = Field(default=None, ge=8)
    document_max_tokens: int | None = Field(default=None, ge=8)
    dtype: str = "auto"
    device: str = "auto"
    tokenization: Tokenization | None = None
    attention: Attention = "auto"
    trust_remote_code: bool = False
    no_cache: bool = False
    """Keep vectors for this run alone, not in the store of the machine."""

    @field_validator("num_fewshot", mode="before")
    @classmethod
    def _shots(cls, value: Any) -> Any:
        from harness.prompts.shots import parse_num_fewshot

        values = value if isinstance(value, (list, tuple)) else str(value).split(",")
        parsed = [one if one is None else parse_num_fewshot(one) for one in values]
        if len(set(parsed)) != len(parsed):
            raise ValueError("--num-fewshot names a value twice")
        return tuple(parsed)

    @field_validator("fewshot_seed", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        values = value if isinstance(value, (list, tuple)) else str(value).split(",")
        if not all(str(one).strip().lstrip("-").isdecimal() for one in values) or len(set(map(str, values))) != len(
            values
        ):
            raise ValueError(f"--fewshot-seed {value!r}: different whole numbers, comma-separated, are expected")
        return tuple(int(one) for one in values)

    @field_validator("benchmark", "registry_dir", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("tasks", "splits", "languages", "task_types", "domains", "datasets", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("dtype")
    @classmethod
    def _known_dtype(cls, value: str) -> str:
        if value not in DTYPES:
            raise ValueError(f"--dtype {value!r} is not one of {', '.join(DTYPES)}")
        return value

    def configuration(self) -> dict[str, Any]:
        """Return the settings that may not differ inside one run directory (tasks and k may grow)."""
        return {
            "model": str(Path(self.model).resolve()) if Path(self.model).is_dir() else self.model,
            "revision": self.revision,
            "profile": self.profile,
            "examples": self.examples,
            "instructions": self.instructions,
            "data_dir": None if self.data_dir is None else str(self.data_dir.resolve()),
            "limit": self.limit,
            "splits": list(self.splits),
            # With AIR-Bench alone they only choose among its sets, which may grow.
            "languages": [] if self._only_air_bench() else list(self.languages),
            "query_max_tokens": self.query_max_tokens,
            "document_max_tokens": self.document_max_tokens,
            "dtype": self.dtype,
            "tokenization": self.tokenization,
            "trust_remote_code": self.trust_remote_code,
        }

    def _only_air_bench(self) -> bool:
        return bool(self.benchmark or self.tasks) and all(is_air_bench(one) for one in (*self.benchmark, *self.tasks))

    def run_path(self) -> Path:
        """Return --output-dir, or a folder under results/runs/ that depends on the settings alone."""
        if self.output_dir is not None:
            return self.output_dir
        return Path("results") / "runs" / self.folder_name()

    def folder_name(self) -> str:
        """Return the name of a run directory that depends on the settings alone."""
        name = folder_name(Path(self.model).name if Path(self.model).is_dir() else self.model)
        settings = self.configuration()
        if versions := sorted(one for one in self.benchmark if is_air_bench(one)):
            settings["air_bench"] = versions  # two versions may not share a directory
        return f"{name}-{canonical_sha256(settings)[:8]}"

    def settings(self) -> dict[str, Any]:
        """Return all settings as plain values, written as a --config file takes them."""
        values = self.model_dump(mode="json")
        values["num_fewshot"] = ["all" if shots is None else shots for shots in self.num_fewshot]
        return values


def build_config(flags: dict[str, Any], config_file: Path | None = None) -> RunConfig:
    """Merge a --config file of one run and the flags that were given; flags win.

    Raises:
        ConfigError: an unknown key or a wrong value; all of them in one message, those of the file with `file:line`.
    """
    given = {key: value for key, value in flags.items() if value is not None}
    if config_file is None:
        return validated(given)
    file = read_settings(config_file)
    problems = file.unknown_keys(file.values, RunConfig.model_fields)
    values = {key: value for key, value in file.values.items() if key in RunConfig.model_fields}
    where = {key: file.where(key) for key in values if key not in given}
    try:
        config = validated({**values, **given}, where)
    except ConfigError as error:
        raise ConfigError("\n".join([*problems, str(error)])) from error
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def validated(values: dict[str, Any], where: Mapping[str, str] | None = None) -> RunConfig:
    """Return checked settings.

    Args:
        values: settings by name.
        where: `file:line` of the settings that come from a file, put before their problems.

    Raises:
        ConfigError: a missing model or wrong values; one line for each.
    """
    where = where or {}
    if values.get("model") is None:
        raise ConfigError("no model: give --model (embedded, all-MiniLM-L6-v2, a directory, or a hub id).")
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        lines = []
        for item in error.errors():
            field = str(item["loc"][0]) if item["loc"] else "settings"
            message = item["msg"].removeprefix("Value error, ")
            prefix = "" if message.startswith("--") else f"--{field.replace('_', '-')} {item['input']!r}: "
            place = f"{where[field]}: " if field in where else ""
            lines.append(f"{place}{prefix}{message}.".replace("..", "."))
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error
