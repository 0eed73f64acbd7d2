"""The children of a name: one level of a listing."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Protocol

from cottoncandy import keys
from cottoncandy.backends.base import Backend, ObjectHead, ObjectInfo
from cottoncandy.datasets import Dataset
from cottoncandy.namesakes import distinct
from cottoncandy.trees import shown

__all__ = ["PAGE", "Children", "describe_missing", "list_children"]

#: Names that one request brings: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
PAGE = 1000

#: The children of a node by their names; what is known of each that is an object.
Children = dict[str, ObjectInfo | None]


class Interface(Protocol):
    """What a browser needs of an interface."""

    @property
    def bucket_name(self) -> str | None: ...
    @property
    def backend_interface(self) -> Backend: ...
    def get_object(self, object_name: str) -> Any: ...
    def glob(self, pattern: str) -> list[str]: ...
    def _dataset(self, key: str, head: ObjectHead) -> Dataset: ...
    # without the questions with which the public calls find out what else is there
    def _load_raw(self, key: str) -> Any: ...
    def _load_tree(self, object_root: str, wanted: Any, threads: int | None) -> dict[str, Any]: ...


def list_children(backend: Backend, path: str, most: int | None) -> tuple[Children, bool]:
    """The first children of a name, and whether they are all."""
    prefix = keys.as_directory(path)
    listed = list(islice(distinct(backend.list_level(prefix), backend.describe), most))
    children = {
        entry.key.removeprefix(prefix).rstrip(keys.SEPARATOR): entry if isinstance(entry, ObjectInfo) else None
        for entry in shown(listed, path)
        if entry.key != prefix  # a marker of the directory itself
    }
    return children, most is None or len(listed) < most


def describe_missing(backend: Backend, path: str, name: str, names: Iterable[str]) -> str:
    """What to say of a name that is not there: which names are near."""
    import difflib

    near = ", ".join(map(repr, difflib.get_close_matches(name, names)))
    return f"{backend.describe(path or None)} has nothing named {name!r}{near and f'; near: {near}'}"
