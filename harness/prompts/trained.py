"""Which evaluation tasks a model's training data contains, as the model's authors state it."""

from __future__ import annotations

from harness.errors import ConfigError
from harness.prompts.profile import ModelProfile
from harness.registry.registry import RegisteredTask, suggest


def trained_on(profile: ModelProfile, variant: str | None = None) -> frozenset[str]:
    """Return the registry tasks of whose data a model's training used; empty if the profile does not say.

    Args:
        profile: profile of the model.
        variant: which training of it (bge-en-icl: `full`, `public`); None takes the first one listed.

    Raises:
        ConfigError: the profile has no such variant.
    """
    known = profile.trained_on
    if variant is None:
        variant = next(iter(known), None)
        if variant is None:
            return frozenset()
    if variant not in known:
        raise ConfigError(
            f"profile {profile.name!r} has no training data listed for {variant!r}.{suggest(variant, known)} "
            f"Listed: {', '.join(known) or 'none'}."
        )
    return frozenset(known[variant])


def is_trained_on(task: RegisteredTask, tasks: frozenset[str]) -> bool:
    """Whether a task is among the trained ones, itself or as alias or part of one (STS22.v2 is STS22's data)."""
    return task.name in tasks or task.canonical in tasks
