"""A small server on loopback that speaks what `push` and `load` need of the Hugging Face hub.

It makes repositories, takes uploads (small files in the commit, large ones by Git LFS or Xet),
lists files with their digests, and serves ranges. Tokens are `hf_write` and `hf_read`.

By Xet, the hub's library hands large files to another server. Here that is a folder, which hf_xet
itself reads and writes (its addresses `local://`).
"""

import base64
import hashlib
import json
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import close_session, constants

LFS_BYTES = 20_000  # larger files, and those of these kinds, go by Git LFS
LFS_KINDS = (".safetensors", ".parquet")


@dataclass
class Repository:
    """A repository: its newest files, and those of each commit."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    head: str = ""

    def commit(self) -> str:
        """Keep the files as they are."""
        text = f"{len(self.commits)} {sorted(self.files)}".encode()
        self.head = hashlib.sha1(text).hexdigest()
        self.commits[self.head] = dict(self.files)
        return self.head


class HubServer(ThreadingHTTPServer):
    """The hub.

    Attributes:
        repositories: by their names, such as `ann/moths`.
        objects: what was uploaded by Git LFS or Xet, by its SHA-256.
        xet_store: the folder that stands for Xet's server; None: the hub has no Xet.
        xet_hashes: Xet's digest of a file, by its SHA-256. The hub reads it from Xet's own tables;
            here the test says it.
        requests: method and path of each request.
        spoil: changes the bytes of a file as they are sent, by its path.
        is_dead: every answer is 503.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.xet_store: Path | None = None
        self.xet_hashes: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.spoil: Callable[[str, bytes], bytes] = lambda path, content: content
        self.is_dead = False
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Its address, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    def uploaded(self, sha256: str, size: int) -> bytes:
        """What was uploaded by Git LFS, or else by Xet."""
        if sha256 not in self.objects:
            self.objects[sha256] = self._read_xet(self.xet_hashes[sha256], size)
        return self.objects[sha256]

    def _read_xet(self, digest: str, size: int) -> bytes:
        from hf_xet import XetFileInfo, XetSession

        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "content"
            with XetSession().new_file_download_group(
                endpoint=self.xet_address,
                token="any",
                token_expiry_unix_secs=far_ahead(),
                token_refresh_url=self.address,
                token_refresh_headers={},
                custom_headers={},
                progress_callback=None,
            ) as group:
                group.start_download_file(XetFileInfo(digest, size), str(file))
            return file.read_bytes()

    @property
    def xet_address(self) -> str:
        """The address of Xet's server."""
        return f"local://{self.xet_store}"

    def stop(self) -> None:
        """End it."""
        self.shutdown()
        self._thread.join()
        self.server_close()


class RefusedError(Exception):
    """An answer with an error: status, and the hub's code for it."""

    def __init__(self, status: int, code: str = "") -> None:
        self.status = status
        self.code = code


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def _serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append((self.command, path))
        body = self._body()
        try:
            if self.server.is_dead:
                raise RefusedError(503)
            for pattern, answer in ROUTES:
                match = re.fullmatch(pattern, f"{self.command} {path}")
                if match:
                    answer(self, body, *match.groups())
                    return
            raise RefusedError(404, "EntryNotFound")
        except RefusedError as refusal:
            headers = {"X-Error-Code": refusal.code} if refusal.code else {}
            self._send(b"{}", refusal.status, headers)

    # The names that `http.server` calls.
    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(
        self, content: bytes, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, content: Any) -> None:
        self._send(json.dumps(content).encode(), headers={"Content-Type": "application/json"})

    def _token(self) -> str:
        return str(self.headers.get("Authorization", "")).removeprefix("Bearer ")

    def _check_writer(self) -> None:
        if self._token() != "hf_write":
            raise RefusedError(403 if self._token() else 401)

    def _repository(self, name: str) -> Repository:
        repository = self.server.repositories.get(name)
        if repository is None or (repository.private and not self._token()):
            raise RefusedError(404 if self._token() else 401, "RepoNotFound")
        return repository

    # What each route answers; its arguments are the groups of the pattern.

    def create(self, body: bytes) -> None:
        self._check_writer()
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.server.repositories:
            raise RefusedError(409)
        private = asked.get("private") or asked.get("visibility") == "private"
        self.server.repositories[name] = Repository(bool(private))
        self.server.repositories[name].commit()
        self._json({"url": f"{self.server.address}/{name}"})

    def validate(self, body: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def info(self, body: bytes, name: str, revision: str | None) -> None:
        repository = self._repository(name)
        sha = repository.head if revision in (None, "main") else str(revision)
        if sha not in repository.commits:
            raise RefusedError(404, "RevisionNotFound")
        siblings = [described(path, content) for path, content in repository.commits[sha].items()]
        told = {"id": name, "sha": sha, "private": repository.private, "siblings": siblings}
        self._json(told | {"tags": []})

    def preupload(self, body: bytes, name: str) -> None:
        self._check_writer()
        self._repository(name)
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if is_large(file["path"], file["size"]) else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(body)["files"]
        ]
        self._json({"files": files})

    def batch(self, body: bytes, name: str) -> None:
        self._check_writer()
        objects = []
        for wanted in json.loads(body)["objects"]:
            told = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.server.objects:
                told["actions"] = {"upload": {"href": f"{self.server.address}/lfs/{wanted['oid']}"}}
            objects.append(told)
        self._json({"transfer": "basic", "objects": objects})

    def put(self, body: bytes, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            raise RefusedError(400)
        self.server.objects[oid] = body
        self._send(b"")

    def xet_token(self, body: bytes, name: str, right: str) -> None:
        if right == "write":
            self._check_writer()
        self._repository(name)
        if self.server.xet_store is None:
            raise RefusedError(404, "EntryNotFound")
        # hf_xet reads the body, and huggingface_hub the headers.
        told = {"casUrl": self.server.xet_address, "accessToken": "any", "exp": far_ahead()}
        headers = {
            "X-Xet-Cas-Url": told["casUrl"],
            "X-Xet-Access-Token": told["accessToken"],
            "X-Xet-Token-Expiration": str(told["exp"]),
        }
        self._send(json.dumps(told).encode(), headers=headers)

    def commit(self, body: bytes, name: str) -> None:
        self._check_writer()
        repository = self._repository(name)
        for line in body.splitlines():
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if key == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                content = self.server.uploaded(value["oid"], value["size"])
                repository.files[value["path"]] = content
            elif key == "deletedFile":
                del repository.files[value["path"]]
        sha = repository.commit()
        self._json({"commitOid": sha, "commitUrl": f"{self.server.address}/{name}/commit/{sha}"})

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        repository = self._repository(name)
        sha = repository.head if revision == "main" else revision
        content = repository.commits.get(sha, {}).get(path)
        if content is None:
            raise RefusedError(404, "EntryNotFound")
        told = described(path, content)
        digest = told["lfs"]["sha256"] if "lfs" in told else told["blobId"]
        headers = {"ETag": f'"{digest}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if "lfs" in told and self.server.xet_store is not None:
            headers["X-Xet-Hash"] = self.server.xet_hashes[digest]
            route = f"{self.server.address}/api/models/{name}/xet-read-token/{sha}"
            headers["X-Xet-Refresh-Route"] = route
        sent = self.server.spoil(path, content) if self.command == "GET" else content
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None:
            self._send(sent, headers=headers)
            return
        start, end = int(asked[1]), int(asked[2] or len(sent) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(sent)}"
        self._send(sent[start : end + 1], 206, headers)


def far_ahead() -> int:
    """A time at which no token of a test is used any more, in seconds since 1970."""
    return int(time.time()) + 3600


def served_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[HubServer]:
    """An empty hub that the hub's library asks, with a token that may write.

    Args:
        monkeypatch: undoes it.
        folder: for the library's cache.
    """
    server = HubServer()
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub-cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    url = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
    yield server
    close_session()  # its open connections would warn in another test
    server.stop()


def is_large(path: str, size: int) -> bool:
    """Whether a file goes by Git LFS."""
    return size > LFS_BYTES or path.endswith(LFS_KINDS)


def described(path: str, content: bytes) -> dict[str, Any]:
    """What the hub tells of a file."""
    git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
    told: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": git}
    if is_large(path, len(content)):
        sha256 = hashlib.sha256(content).hexdigest()
        told["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
    return told


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate),
    (rf"GET /api/models/{NAME}(?:/revision/(.+))?", Handler.info),
    (rf"POST /api/models/{NAME}/preupload/main", Handler.preupload),
    (rf"GET /api/models/{NAME}/xet-(read|write)-token/.+", Handler.xet_token),
    (rf"POST /{NAME}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /lfs/(\w+)", Handler.put),
    (rf"POST /api/models/{NAME}/commit/main", Handler.commit),
    (rf"(?:GET|HEAD) /{NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
]
