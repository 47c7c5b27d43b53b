"""Model profiles: what a model family needs to be encoded as its authors did, as data."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from harness import paths
from harness.errors import ConfigError, TaskNotFoundError
from harness.prompts.template import PromptTemplate
from harness.registry.load import validate_file
from harness.registry.registry import suggest
from harness.types import TASK_TYPES

Tokenization = Literal["official", "official-4x", "clean"]


class TemplateData(BaseModel):
    """The template strings of a profile file; see PromptTemplate."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    query: str
    suffix: str = ""
    example: str | None = None
    separator: str = "\n\n"
    document: str = "{text}"


class ModelProfile(BaseModel):
    """One profile file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    source: str
    """Where the values come from."""
    kind: Literal["decoder", "sentence-transformer"]
    """decoder: transformers causal LM, last-token pooling. sentence-transformer: the model's own pipeline."""
    models: list[str] = []
    """Model ids (shell patterns) that take this profile."""
    template: TemplateData
    pooling: Literal["last_token", "model"] = "last_token"
    """last_token: hidden state of `end_token`; model: whatever the sentence-transformers pipeline does."""
    begin_token: str | None = "<s>"
    """Token that every input must begin with; None for families without one."""
    end_token: str | None = "</s>"
    """Token that every input must end with, on which the vector is pooled."""
    special_tokens: list[str] = []
    """Tokens that the tokenizer must hold, each as one id."""
    tokenization: Tokenization = "clean"
    """official: FlagICLModel's decode and re-encode; official-4x: as transformers 4 did it; clean: one pass."""
    prompted_types: list[str] = list(TASK_TYPES)
    """Task types whose texts take the query template; others are encoded like documents."""
    query_max_tokens: int = 512
    document_max_tokens: int = 512
    normalize_except: list[str] = []
    """Task types whose vectors are not normalised."""
    trained_for_examples: bool = False

    @property
    def prompt_template(self) -> PromptTemplate:
        """The template as the prompt builder takes it."""
        return PromptTemplate(**self.template.model_dump())

    def normalizes(self, task_type: str) -> bool:
        """Whether vectors of this task type are divided by their length."""
        return task_type not in self.normalize_except


def load_profiles() -> dict[str, ModelProfile]:
    """Read the built-in profiles.

    Raises:
        ConfigError: a malformed profile file, with file:line.
    """
    profiles = [validate_file(path, ModelProfile)[0] for path in sorted(paths.profiles_dir().glob("*.yaml"))]
    return {profile.name: profile for profile in profiles}


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
            "or give the path of a profile file (*.yaml)."
        )
    names = {model.casefold(), Path(model).name.casefold()}
    for candidate in profiles.values():
        for pattern in candidate.models:
            if any(fnmatchcase(name, pattern.casefold()) for name in names):
                return candidate
    known = [pattern for candidate in profiles.values() for pattern in candidate.models]
    raise TaskNotFoundError(
        f"no profile fits model {model!r}.{suggest(model, known)} Name one with --profile "
        f"({', '.join(profiles)}, or a profile file; see docs/profiles.md)."
    )


__all__ = ["ConfigError", "ModelProfile", "Tokenization", "find_profile", "load_profiles"]
