"""The number of few-shot examples as people write it."""

from __future__ import annotations

from harness.errors import ConfigError


def parse_num_fewshot(value: int | str) -> int | None:
    """Return k, or None for "all".

    Raises:
        ConfigError: neither a whole number >= 0 nor "all".
    """
    text = str(value).strip()
    if text == "all":
        return None
    if text.isascii() and text.isdecimal():
        return int(text)
    raise ConfigError(f"--num-fewshot {text!r}: a whole number of examples or 'all' is expected.")


def configuration_name(num_fewshot: int | None, fewshot_seed: int | None = None) -> str:
    """Return the short name of a configuration: k0, k3, kall, and k3-s1 for an order drawn with seed 1."""
    shots = "kall" if num_fewshot is None else f"k{num_fewshot}"
    return shots if fewshot_seed is None or num_fewshot == 0 else f"{shots}-s{fewshot_seed}"
