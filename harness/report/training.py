"""Which tasks of a table are not unseen: their data were in the model's training, as its profile states it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.prompts.profile import ModelProfile, load_profiles
from harness.prompts.trained import is_trained_on, trained_on
from harness.registry import Registry
from harness.report.table import RowKey


class TrainingData:
    """The training data that the profiles state, looked up by a row's model name."""

    def __init__(self, variants: Mapping[str, str] | None = None) -> None:
        """Read the profiles.

        Args:
            variants: shipped reference row -> which training of the model it is of (`full`, `public`).
        """
        self._variants = variants or {}
        self._profiles = [profile for profile in load_profiles().values() if profile.trained_on]

    def of(self, key: RowKey, tasks: Sequence[str], registry: Registry) -> frozenset[str] | None:
        """Return the tasks among `tasks` that the row's model was trained on; None where nobody says.

        Only a model that is called like the profile's own counts: the embedded one takes that profile's prompts, and
        was trained on nothing.
        """
        for profile in self._profiles:
            variant = self._variant(profile, key)
            if variant in profile.trained_on:
                known = trained_on(profile, variant)
                return frozenset(
                    name for name in tasks if name in registry and is_trained_on(registry.get(name), known)
                )
        return None

    def _variant(self, profile: ModelProfile, key: RowKey) -> str | None:
        hub_ids = [pattern for pattern in profile.models if "/" in pattern and "*" not in pattern]
        names = {pattern.rpartition("/")[2].casefold() for pattern in hub_ids}
        organisation, _, name = key.model_name.rpartition("/")
        own = key.model_name in hub_ids or (organisation == "local" and name.casefold() in names)
        stated = self._variants.get(key.reference)
        if stated is not None:
            # The row of the checkpoint trained on public data is called bge-en-icl-e5data.
            return stated if own or any(name.casefold().startswith(f"{one}-") for one in names) else None
        return next(iter(profile.trained_on)) if own else None
