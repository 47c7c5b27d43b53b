"""What an exception of the hub's libraries means: refused for good, worth another attempt, or no fault of the network."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from harness.errors import ConfigError, HarnessError, StorageError

# Statuses after which another attempt may succeed (RFC 9110; 416 means a partial file that does not fit, which is dropped).
_AGAIN = frozenset({408, 416, 425, 429, 500, 502, 503, 504})
_NETWORK = frozenset(
    {
        "ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout", "WriteError", "WriteTimeout", "PoolTimeout",
        "RemoteProtocolError", "CloseError", "NetworkError", "TimeoutException", "ProxyError", "DecodingError",
        "ChunkedEncodingError", "SSLError", "LocalEntryNotFoundError", "IncompleteRead", "FileMetadataError",
    }
)  # fmt: skip
"""Names of exceptions, as huggingface_hub has changed its HTTP library (requests, httpx) between versions."""
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})


class TemporaryError(Exception):
    """One attempt failed in a way that another may not."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        """Keep the message and how long the hub asks to wait."""
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        self.got_on = False
        """Whether the attempt brought a piece that is kept; attempts are then counted anew."""


def meaning_of(error: BaseException, what: str) -> HarnessError | TemporaryError | None:
    """Return an exception's meaning for the user, or None if it comes from neither the hub, the network nor the disk.

    Args:
        error: what a library raised; its causes are looked through.
        what: the thing that was asked for, for the message (`model 'org/name'`).
    """
    for one in _chain(error):
        if isinstance(one, (HarnessError, TemporaryError)):
            return one
        if isinstance(one, OSError) and one.errno in _DISK:
            return StorageError(
                f"{one.filename or 'the cache'}: cannot be written: {one.strerror}. What is there is kept."
            )
    whole = what.split(", file ")[0]  # a repository is refused as a whole, whichever file was asked for first
    for one in _chain(error):
        status = _status(one)
        name = type(one).__name__
        if status is None:
            continue
        if status in (401, 403) and name == "RepositoryNotFoundError":
            return ConfigError(f"the hub has no {whole}, or it is private: check the name, or set HF_TOKEN ({status}).")
        if status in (401, 403):
            return ConfigError(
                f"the hub refuses {whole} ({status}): it is gated or private. Accept its terms on its page, then set HF_TOKEN."
            )
        if name == "RevisionNotFoundError":
            return ConfigError(f"{whole} has no such revision (404). Look it up on its page.")
        if name == "RepositoryNotFoundError":
            return ConfigError(f"the hub has no {whole} (404): check the name.")
        if status == 404:
            return ConfigError(f"{what}: a file that it should have is not on the hub (404).")
        if status in _AGAIN:
            return TemporaryError(f"{what}: the hub answered {status}", _retry_after(one))
        return ConfigError(f"{what}: the hub answered {status}.")
    for one in _chain(error):
        if type(one).__name__ in _NETWORK or isinstance(one, (ConnectionError, TimeoutError)):
            return TemporaryError(f"{what}: {_short(one)}")
        if isinstance(one, OSError) and "onsistency check failed" in str(one):
            return TemporaryError(f"{what}: the download was cut")
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    response: Any = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return status if isinstance(status, int) and status >= 400 else None


def _retry_after(error: BaseException) -> float | None:
    """Return the seconds of a Retry-After header; its date form is rare on the hub and read as absent."""
    headers: Any = getattr(getattr(error, "response", None), "headers", {})
    value = str(headers.get("Retry-After", "")).strip()
    return float(value) if value.isascii() and value.isdecimal() else None


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())[:120]
    name = type(error).__name__
    if "imeout" in name or "timed out" in text:
        return "the hub did not answer in time"
    return f"{name}: {text}" if text else name
