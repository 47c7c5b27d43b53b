"""A stand-in for the hub on loopback: a few small repositories, and faults by script.

It answers what huggingface_hub and `datasets` ask: repository information, file trees, paths-info, and files with ranges,
large ones (LFS) by a redirect as the hub's CDN does. Every fault is bounded in number and time.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LFS_BYTES = 1024
"""Files from this size on are large ones, with a SHA-256."""
MAX_STALL_SECONDS = 20.0


@dataclass(frozen=True)
class Repo:
    """A repository at one commit."""

    kind: str
    """models or datasets."""
    name: str
    commit: str
    files: dict[str, bytes]
    gated: bool = False

    def entry(self, path: str) -> dict[str, Any]:
        """Return a file's entry in a tree."""
        content = self.files[path]
        found = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        if len(content) >= LFS_BYTES:
            found["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
        return found


@dataclass
class Fault:
    """What goes wrong, how often, and with which requests."""

    kind: str
    """A status (`503`), or stall, cut, wrong (other bytes of the same length), slow, drop (no answer at all)."""
    where: str = ""
    """Part of the request's path."""
    times: int = 1
    method: str = ""
    """GET or HEAD; empty for both."""
    retry_after: int | None = None
    seconds: float = 2.0
    after_bytes: int = 500


@dataclass
class Hub:
    """The running server."""

    repos: list[Repo]
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    """Range headers, in order."""
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_for(self, method: str, path: str) -> Fault | None:
        """Return the fault of a request and count it."""
        with self._lock:
            self.requests.append(f"{method} {path}")
            for fault in self.faults:
                if fault.times > 0 and fault.where in path and fault.method in ("", method):
                    fault.times -= 1
                    return fault
        return None

    def count(self, part: str) -> int:
        """Return how many requests had this part."""
        return sum(part in request for request in self.requests)


def sha256(content: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def git_hash(content: bytes) -> str:
    """Return git's hash of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def folder_files(folder: Path) -> dict[str, bytes]:
    """Return a folder's files by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def serving(*repos: Repo) -> Iterator[Hub]:
    """Serve repositories on a free port of 127.0.0.1 for the length of the block."""
    hub = Hub(list(repos))
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = _Server(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that give up are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer GET."""
        self._answer("GET")

    def do_HEAD(self) -> None:
        """Answer HEAD."""
        self._answer("HEAD")

    def do_POST(self) -> None:
        """Answer POST (paths-info)."""
        self._answer("POST")

    def _answer(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        path = unquote(urlsplit(self.path).path)
        fault = self.hub.fault_for(method, path)
        if fault is not None and fault.kind.isdecimal():
            extra = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            if fault.kind == "403":
                extra["X-Error-Code"] = "GatedRepo"
            return self._send(int(fault.kind), b"{}", extra)
        if fault is not None and fault.kind == "drop":
            self.close_connection = True
            return None
        if fault is not None and fault.kind == "stall" and method != "GET":
            time.sleep(min(fault.seconds, MAX_STALL_SECONDS))
        if path.startswith("/api/"):
            if fault is not None and fault.kind == "stall":
                time.sleep(min(fault.seconds, MAX_STALL_SECONDS))
            return self._api(path.removeprefix("/api/"), body)
        if path.startswith("/cdn/"):
            kind, owner, name, file = path.removeprefix("/cdn/").split("/", 3)
            repo = next(repo for repo in self.hub.repos if repo.kind == kind and repo.name == f"{owner}/{name}")
            return self._content(repo.files[file], {}, fault)
        return self._resolve(method, path, fault)

    def _find(self, kind: str, name: str, revision: str) -> Repo | None:
        known = [repo for repo in self.hub.repos if (repo.kind, repo.name) == (kind, name)]
        if not known:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return None
        if known[0].gated:
            self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
            return None
        if revision not in ("main", known[0].commit):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return None
        return known[0]

    def _api(self, path: str, body: bytes) -> None:
        kind, owner, name, *rest = path.split("/")
        revision = rest[1] if len(rest) > 1 else "main"
        repo = self._find(kind, f"{owner}/{name}", revision)
        if repo is None:
            return None
        entries = [repo.entry(file) for file in sorted(repo.files)]
        what = rest[0] if rest else "revision"
        if what == "tree":
            under = "/".join(rest[2:])
            return self._json([entry for entry in entries if not under or entry["path"].startswith(f"{under}/")])
        if what == "paths-info":
            asked = _paths(body, self.headers.get("Content-Type", ""))
            return self._json([entry for entry in entries if entry["path"] in asked])
        siblings = [
            {
                "rfilename": entry["path"],
                "size": entry["size"],
                "blobId": entry["oid"],
                "lfs": {**entry["lfs"], "sha256": entry["lfs"]["oid"]} if "lfs" in entry else None,
            }
            for entry in entries
        ]
        return self._json(
            {"id": repo.name, "sha": repo.commit, "private": False, "disabled": False, "gated": False, "downloads": 0,
             "likes": 0, "tags": [], "siblings": siblings}
        )  # fmt: skip

    def _resolve(self, method: str, path: str, fault: Fault | None) -> None:
        parts = path.strip("/").split("/")
        kind = "datasets" if parts[0] == "datasets" else "models"
        if kind == "datasets":
            parts = parts[1:]
        owner, name, _, revision, *file_parts = parts
        repo = self._find(kind, f"{owner}/{name}", revision)
        if repo is None:
            return None
        file = "/".join(file_parts)
        if file not in repo.files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repo.commit})
        content = repo.files[file]
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{git_hash(content)}"'}
        if len(content) >= LFS_BYTES:
            headers |= {"X-Linked-Etag": f'"{sha256(content)}"', "X-Linked-Size": str(len(content))}
            # Another host name, as the CDN has: huggingface_hub reads the headers of the hub itself alone.
            cdn = self.hub.url.replace("127.0.0.1", "localhost")
            headers["Location"] = f"{cdn}/cdn/{kind}/{repo.name}/{file}"
            return self._send(302, b"", headers)
        return self._content(content, headers, fault, head=method == "HEAD")

    def _content(self, content: bytes, headers: dict[str, str], fault: Fault | None, *, head: bool = False) -> None:
        start = 0
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes="):
            self.hub.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").split("-")[0])
            if start >= len(content):
                return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        self.send_response(206 if start else 200)
        for name, value in {**headers, "Content-Length": str(len(body)), "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.end_headers()
        if head:
            return None
        kind = fault.kind if fault is not None else ""
        if fault is not None and kind == "wrong":
            body = bytes(byte ^ 0x55 for byte in body)
        if fault is not None and kind in ("cut", "stall"):
            self.wfile.write(body[: fault.after_bytes])
            self.wfile.flush()
            if kind == "stall":
                time.sleep(min(fault.seconds, MAX_STALL_SECONDS))
            self.close_connection = True
            return None
        if fault is not None and kind == "slow":
            step = max(1, len(body) // 10)
            for place in range(0, len(body), step):
                self.wfile.write(body[place : place + step])
                self.wfile.flush()
                time.sleep(fault.seconds / 10)
            return None
        self.wfile.write(body)
        return None

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _paths(body: bytes, content_type: str) -> list[str]:
    if "json" in content_type:
        return list(json.loads(body)["paths"])
    return parse_qs(body.decode()).get("paths", [])
