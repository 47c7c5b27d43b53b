"""Whether the hub can be reached, asked once and quickly, so that no task waits through the libraries' own retries."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def hub_host() -> str:
    """Return the host name of the hub (`HF_ENDPOINT`)."""
    return urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname or ""


def why_unreachable(timeout_seconds: float = 3.0) -> str | None:
    """Return why the hub cannot be reached, or None if a connection works (or a proxy makes that unknowable)."""
    if any(os.environ.get(name) for name in _PROXIES):
        return None
    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=timeout_seconds):
            return None
    except OSError as error:
        return str(error)


def go_offline() -> None:
    """Tell the hub's libraries not to try the network; works before and after they are imported."""
    import sys

    os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    for module, names in (
        ("huggingface_hub.constants", ("HF_HUB_OFFLINE",)),
        ("datasets.config", ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")),
    ):
        loaded = sys.modules.get(module)
        for name in names:
            if loaded is not None and hasattr(loaded, name):
                setattr(loaded, name, True)
