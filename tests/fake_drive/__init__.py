"""A Google Drive (v3) on loopback, in memory.

It serves the methods, parameters and fields of the discovery document that Google's own client bundles, keeps to the
limits of Google's guides, and fails when it is asked to (`faults`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import google.auth.credentials
from google.oauth2.credentials import Credentials

from fake_drive.faults import Faults, Request
from fake_drive.items import FOLDER, Item, Items, Lag
from fake_drive.methods import Methods
from fake_drive.server import Server
from fake_drive.sessions import Sessions
from fake_drive.tokens import Tokens

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["FOLDER", "FakeDrive", "Item", "Lag", "Request"]


class FakeDrive:
    """The server, and a way around it for tests.

    Attributes
    ----------
    url : str
    requests : list of Request
        All that came but for the token service's.
    faults : Faults
    crashes : list of str
        Tracebacks of the server itself; a test looks that there are none.
    """

    def __init__(self, quota: int | None = None) -> None:
        self.items = Items(quota)
        self.methods = Methods(self.items)
        self.sessions = Sessions(self.items)
        self.tokens = Tokens()
        self.faults = Faults()
        self.requests: list[Request] = []
        self.crashes: list[str] = []
        self._server = Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def credentials(
        self, *, refreshable: bool = True, lifetime: float | None = None
    ) -> google.auth.credentials.Credentials:
        """What signs requests here."""
        refresh = {"refresh_token": self.tokens.new_refresh()} if refreshable else {}
        return Credentials(
            self.tokens.new(lifetime),
            token_uri=f"{self.url}/token",
            client_id="the-client",
            client_secret="the-client-secret",
            **refresh,
        )

    def client_secrets(self) -> dict[str, Any]:
        """The content of a ``client_secrets.json``."""
        client = {
            "client_id": "the-client",
            "client_secret": "the-client-secret",
            "auth_uri": f"{self.url}/consent",
            "token_uri": f"{self.url}/token",
            "redirect_uris": ["http://localhost"],
        }
        return {"installed": client}

    # ------------------------------------------------------------------ behind the service's back
    def add(
        self,
        name: str,
        content: bytes | None = None,
        *,
        parent: str = "root",
        properties: Mapping[str, str] | None = None,
        kind: str = "application/octet-stream",
        age: float = 60.0,
    ) -> Item:
        """A new item, some time old; names may be there already."""
        with self.items.lock:
            body = {"name": name, "mimeType": kind, "parents": [parent], "properties": dict(properties or {})}
            item = self.items.make(body, content, all_drives=True)
            item.created = item.modified = time.time() - age
            return item

    def folder(self, path: str, top: str = "root") -> str:
        """The id of a folder, made if need be."""
        for name in filter(None, path.split("/")):
            found = [item for item in self.inside(top) if item.name == name and item.type == FOLDER]
            top = found[0].id if found else self.add(name, parent=top, kind=FOLDER).id
        return self.items.real_id(top)

    def put(self, path: str, content: bytes, properties: Mapping[str, str] | None = None, top: str = "root") -> Item:
        """A new file at a path."""
        folder, _, name = path.rpartition("/")
        return self.add(name, content, parent=self.folder(folder, top), properties=properties)

    def inside(self, folder: str = "root") -> list[Item]:
        """What lies in a folder and not in the trash."""
        with self.items.lock:
            return [item for item in self.items.children(self.items.real_id(folder)) if not item.trashed]

    def below(self, folder: str = "root", path: str = "") -> dict[str, list[Item]]:
        """All files and folders (with a ``/`` at the end) below a folder and not in the trash, by their path."""
        found: dict[str, list[Item]] = {}
        for item in self.inside(folder):
            name = path + item.name + ("/" if item.type == FOLDER else "")
            found.setdefault(name, []).append(item)
            if item.type == FOLDER:
                for inner, items in self.below(item.id, name).items():
                    found.setdefault(inner, []).extend(items)
        return found

    def trash(self) -> list[Item]:
        """What somebody put into the trash."""
        return [item for item in self.items.all() if item.trashed]
