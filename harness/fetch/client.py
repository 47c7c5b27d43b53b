"""A bound on how long one request of huggingface_hub may wait: some of them have none of their own."""

from __future__ import annotations

from typing import Any


def limit_waiting(timeout_seconds: float) -> None:
    """Give every HTTP client that huggingface_hub makes a time limit for connecting and for each piece of an answer."""
    try:
        from huggingface_hub import set_client_factory
        from huggingface_hub.utils._http import default_client_factory
    except ImportError:  # a version before 1.0, whose requests carry limits of their own
        return

    def make() -> Any:
        client = default_client_factory()
        client.timeout = timeout_seconds
        return client

    set_client_factory(make)
