"""Model profiles: what a model family needs to be encoded as its authors did, as data."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness import paths
from harness.errors import TaskNotFoundError
from harness.prompts.template import PromptTemplate
from harness.registry.load import validate_file
from harness.registry.names import suggest
from harness.types import TASK_TYPES, Side, TaskType, side_of

Tokenization = Literal["official", "official-4x", "clean"]
Attention = Literal["auto", "shared", "naive"]
# Placeholders of each template: those it may hold, and those it must.
_PLACEHOLDERS = {
    "query": ({"instruction", "text"}, {"text"}),
    "suffix": (set[str](), set[str]()),
    "example": ({"instruction", "query", "response"}, {"query", "response"}),
    "separator": (set[str](), set[str]()),
    "document": ({"text"}, {"text"}),
}


class TemplateData(BaseModel):
    """The template strings of a profile file; see PromptTemplate."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    query: str
    suffix: str = ""
    example: str | None = None
    separator: str = "\n\n"
    document: str = "{text}"

    @model_validator(mode="after")
    def _placeholders(self) -> TemplateData:
        for name, (allowed, needed) in _PLACEHOLDERS.items():
            found = set(re.findall(r"\{(\w+)\}", getattr(self, name) or ""))
            if found - allowed:
                may = " and ".join(f"{{{key}}}" for key in sorted(allowed)) or "no placeholder"
                wrong = ", ".join(f"{{{key}}}" for key in sorted(found - allowed))
                raise ValueError(f"{name} holds {wrong}, which nothing fills in; it may hold {may}")
            if getattr(self, name) is not None and needed - found:
                raise ValueError(f"{name} must hold {' and '.join(f'{{{key}}}' for key in sorted(needed))}")
        if not self.query.endswith("{text}"):
            # A length limit cuts the end of the filled query template: only the text may stand there.
            raise ValueError("query must end with {text}; put what follows the text into suffix, which is never cut")
        return self


class ModelProfile(BaseModel):
    """One profile file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    source: str
    """Where the values come from."""
    kind: Literal["decoder", "sentence-transformer", "words"]
    """decoder: transformers causal LM, last-token pooling. sentence-transformer: the model's own pipeline. words: a built-in
    baseline that looks words up."""
    models: list[str] = []
    """Which models take this profile: hub ids (org/name), and names without a slash for directories and built-in
    models. Shell patterns (*) are allowed."""
    template: TemplateData
    pooling: Literal["last_token", "model"] = "last_token"
    """last_token: hidden state of `end_token`; model: whatever the sentence-transformers pipeline does."""
    begin_token: str | None = "<s>"  # noqa: S105 -- no password
    """Token that every input must begin with; None for families without one."""
    end_token: str | None = "</s>"  # noqa: S105
    """Token that every input must end with, on which the vector is pooled."""
    special_tokens: list[str] = []
    """Tokens that the tokenizer must hold, each as one id."""
    tokenization: Tokenization = "clean"
    """official: FlagICLModel's decode and re-encode; official-4x: as transformers 4 did it; clean: one pass."""
    prompted_types: list[TaskType] = list(get_args(TaskType))
    """Task types whose texts take the query template; others are encoded like documents."""
    query_max_tokens: int = Field(default=512, ge=8)
    document_max_tokens: int = Field(default=512, ge=8)
    normalize_except: list[TaskType] = []
    """Task types whose vectors are not normalised."""
    trained_for_examples: bool = False
    trained_on: dict[str, list[str]] = {}
    """Variant of the model -> registry tasks of whose data its training used; see harness/prompts/trained.py."""

    @field_validator("name")
    @classmethod
    def _usable_name(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", value):
            raise ValueError(f"{value!r} is not usable: small letters, digits and . _ - are allowed")
        return value

    @model_validator(mode="after")
    def _kind_fits(self) -> ModelProfile:
        expected = "last_token" if self.kind == "decoder" else "model"
        if self.pooling != expected:
            raise ValueError(f"kind {self.kind} goes with pooling: {expected}, not {self.pooling}")
        return self

    @property
    def prompt_template(self) -> PromptTemplate:
        """The template as the prompt builder takes it."""
        return PromptTemplate(**self.template.model_dump())

    def normalizes(self, task_type: str) -> bool:
        """Whether vectors of this task type are divided by their length."""
        return task_type not in self.normalize_except

    def side(self, task_type: str, prompt_type: str | None) -> Side:
        """Return which template a text takes: `side_of`, but bare text for types that this family does not prompt."""
        if task_type in TASK_TYPES and task_type not in self.prompted_types:
            return "document"
        return side_of(task_type, prompt_type)


def load_profiles() -> dict[str, ModelProfile]:
    """Read the built-in profiles.

    Raises:
        ConfigError: a malformed profile file, with file:line.
    """
    profiles = [validate_file(path, ModelProfile)[0] for path in sorted(paths.profiles_dir().glob("*.yaml"))]
    return {profile.name: profile for profile in profiles}


def _hub_id_of_snapshot(directory: Path) -> str | None:
    """Return org/name for a folder inside the hub's cache (models--org--name/snapshots/<commit>)."""
    return next((part[8:].replace("--", "/") for part in directory.parts if part.startswith("models--")), None)


def _matches(profile: ModelProfile, model: str) -> bool:
    """Whether a profile's patterns name a model.

    A pattern with a slash names hub ids. One without names directories; a string that is neither is a built-in name and
    must be written out, so that no made-up name finds a profile by its beginning.
    """
    path = Path(model)
    is_directory = path.is_dir()
    hub_id = (_hub_id_of_snapshot(path.resolve()) if is_directory else None) or model
    for pattern in profile.models:
        folded = pattern.casefold()
        if "/" in pattern:
            if fnmatchcase(hub_id.casefold(), folded):
                return True
        elif is_directory:
            if fnmatchcase(path.resolve().name.casefold(), folded):
                return True
        elif model.casefold() == folded:
            return True
    return False


def find_profile(model: str, profile: str | None = None) -> ModelProfile:
    """Return the profile of a model.

    Args:
        model: hub id, directory or built-in name, as given to --model.
        profile: name of a built-in profile, or path of a profile file; overrides the lookup by name.

    Raises:
        TaskNotFoundError: no such profile, or none fits the model's name.
        ConfigError: a malformed profile file.
    """
    profiles = load_profiles()
    if profile is not None:
        if profile in profiles:
            return profiles[profile]
        if profile.endswith((".yaml", ".yml")):
            return validate_file(Path(profile), ModelProfile)[0]
        raise TaskNotFoundError(
            f"profile {profile!r} is not known.{suggest(profile, profiles)} Known: {', '.join(profiles)}; "
            "or give the path of a profile file (*.yaml). See: icl-harness list models"
        )
    for candidate in profiles.values():
        if _matches(candidate, model):
            return candidate
    raise TaskNotFoundError(_no_profile(model, profiles))


def _no_profile(model: str, profiles: dict[str, ModelProfile]) -> str:
    name = Path(model).name.casefold()
    alike = [
        profile.name
        for profile in profiles.values()
        if any(fnmatchcase(name, Path(pattern).name.casefold()) for pattern in profile.models)
    ]
    if alike:
        hint = f" By its name it may be of the family {alike[0]!r}: if so, give --profile {alike[0]}."
    else:
        patterns = [pattern for profile in profiles.values() for pattern in profile.models if "*" not in pattern]
        hint = f"{suggest(model, patterns)} Give --profile NAME ({', '.join(profiles)}) or a profile file."
    return f"no profile (prompt format) fits model {model!r}.{hint} See docs/profiles.md"


__all__ = ["ModelProfile", "TemplateData", "Tokenization", "find_profile", "load_profiles"]
