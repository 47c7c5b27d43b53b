"""A bound on how long one request of huggingface_hub may wait: some of them have none of their own."""

from __future__ import annotations

from typing import Any

from harness.fetch.download import PIECE_BYTES


def limit_waiting(timeout_seconds: float) -> None:
    """Give every HTTP client that huggingface_hub makes a time limit for connecting and for each piece of an answer.

    Pieces are made small as well: what is on its way to the disk is lost when a connection is cut (10 MiB by default).
    """
    from huggingface_hub import constants

    constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES
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
