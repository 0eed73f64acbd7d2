"""What all nodes of a browser have in common: a name in the bucket, its children, and what is stored there."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from cottoncandy import keys
from cottoncandy.backends.base import ObjectHead
from cottoncandy.browser.listing import PAGE, Children, Interface, describe_missing, list_children
from cottoncandy.browser.looks import children_html, object_html
from cottoncandy.browser.names import Extensions, guess_name, identifiers
from cottoncandy.datasets import Dataset
from cottoncandy.errors import CottonCandyError, InvalidObjectName, NotAnArray, ObjectChanged, ObjectNotFound

__all__ = ["BrowserObject", "S3FSLike"]

Result = TypeVar("Result")


class BrowserObject:
    """The root of all nodes of a browser."""


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a node comes from: its parent, its name there, and the attribute that the name was guessed from."""

    parent: S3FSLike
    name: str
    attribute: str | None

    def looked_up(self) -> _Origin:
        """The name as the parent's listing has it; the guess where it is not in there."""
        self.parent._list()  # noqa: SLF001
        name = self.parent._names().get(self.attribute or "", self.name)  # noqa: SLF001
        return _Origin(self.parent, name, None)


class S3FSLike(BrowserObject):
    """A name in the bucket whose children are its attributes.

    ``node.sub01_DOT_grp`` and ``node['sub01.grp']`` are the same; press tab to see what there is. A name typed in
    full works though the listing did not show it. A node is a container of its children's names: ``in``, ``len``, a
    loop. That of an array is sliced instead (``node[10:20]``), and looped over along the first axis.
    """

    def __init__(self, interface: Interface, fullpath: str, extensions: Extensions, *, as_group: bool = False) -> None:
        self._interface = interface
        self._fullpath = fullpath
        self._extensions = extensions
        self._is_leaf: bool | None = None
        self._as_group = as_group  # until it is known better
        self._children: Children | None = None
        self._is_all = False
        self._nodes: dict[str, S3FSLike] = {}
        self._origin: _Origin | None = None
        self._opened: Dataset | None = None

    # -------------------------------------------------------------- listing
    def _list(self, most: int | None = None) -> Children:
        """The children, the first ``most`` of them; one listing, kept for what comes next."""
        self._children = self._list_here(most)
        if not self._children and self._resolve():
            self._children = self._list_here(most)
        self._forget_what_is_gone(self._children)
        return self._children

    def _forget_what_is_gone(self, children: Children) -> None:
        """A node stands for a name, under which there may be something else by now."""
        if self._is_all:
            self._nodes = {
                place: node for place, node in self._nodes.items() if place in children or place.startswith("/")
            }
        if not children and self._is_leaf is False:
            self._is_leaf = None  # a group that became an array

    def _list_here(self, most: int | None) -> Children:
        children, self._is_all = list_children(self._interface.backend_interface, self._fullpath, most)
        return children

    def _names(self) -> dict[str, str]:
        """The children's names by their attributes."""
        return identifiers(list(self._children or ()), frozenset(dir(type(self))))

    def _ls(self) -> list[str]:
        """List the full names of the children."""
        children = self._list()  # finds the full name of this node, too
        return [keys.join(self._fullpath, name) for name in children]

    def _glob(self, pattern: str = "") -> list[str]:
        """List the full names of all objects below this one, or of those that match a pattern below it."""
        self._resolve()
        name = glob.escape(self._fullpath)  # what is called `run[1]` is no pattern
        below = self._interface.glob(keys.as_directory(name) + (pattern or "*"))
        return below or ([] if pattern else self._interface.glob(name))

    # -------------------------------------------------------------- children
    def __dir__(self) -> list[str]:
        self._list()
        return [*super().__dir__(), *self._names()]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._list())

    def __getattr__(self, attribute: str) -> S3FSLike:
        # notebooks, copy and pickle probe names like these: no request, and no endless recursion
        if attribute.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r}")
        name, guess = self._names().get(attribute), guess_name(attribute)
        # beyond the page that is known there may be the guess, which comes before all others
        is_known = name == guess or (name is not None and self._is_all)
        return self._child(str(name)) if is_known else self._child(guess, attribute)

    def __getitem__(self, name: Any) -> Any:
        """The child of exactly this name, ``'a/b'`` goes down two levels; or a slice of the array (see `Dataset`).

        Raises
        ------
        KeyError
            If there is no such child. It names those whose names are near.
        """
        if isinstance(name, str):
            try:
                name = keys.clean_object(name).rstrip(keys.SEPARATOR)
            except InvalidObjectName as error:
                raise KeyError(str(error)) from error
            return self._named(name)
        try:
            return self._with_array(lambda array: array[name])
        except ObjectNotFound as error:
            if isinstance(found := self._look(PAGE), dict) and found:
                raise KeyError(f"{name!r}: this is a group, whose names are text") from error
            raise

    def __iter__(self) -> Iterator[Any]:
        found = self._look()
        return iter(found) if isinstance(found, dict) else self._with_array(iter)

    def __len__(self) -> int:
        found = self._look()
        return len(found) if isinstance(found, dict) else self._with_array(len)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            child, _, below = keys.clean(name).partition(keys.SEPARATOR)
        except InvalidObjectName:
            return False
        return child in self._list() and (not below or below in self[child])

    def __bool__(self) -> bool:
        return True  # asked for by many that do not mean the length, which costs a request

    def _child(self, name: str, attribute: str | None = None) -> S3FSLike:
        """The node of a child; the same one each time, so that it keeps what it has listed."""
        place = name if attribute is None else f"/{attribute}"  # no name begins with /
        if place not in self._nodes:
            self._nodes[place] = self._new_child(name)
            self._nodes[place]._origin = _Origin(self, name, attribute)  # noqa: SLF001 - a node of the same family
        node = self._nodes[place]
        if self._children is not None and name in self._children:
            node._is_leaf = self._children[name] is not None  # noqa: SLF001
        return node

    def _branches(self) -> dict[str, S3FSLike] | None:
        """The nodes below this one, for `cottoncandy.trees`; None for an object.

        Raises
        ------
        ObjectNotFound
            Where there is neither: an empty tree would take the place of another.
        """
        found = self._look()
        if not isinstance(found, dict):
            return None
        if not found:
            raise ObjectNotFound(f"{self._interface.backend_interface.describe(self._fullpath)} does not exist")
        return {name: self._child(name) for name in found}

    def _named(self, name: str) -> S3FSLike:
        """The child of a name, looked at where it is not known yet."""
        known = name in self._nodes or name in (self._children or ())
        child = self._child(name)
        if not known and child._is_missing():  # noqa: SLF001 - a node of the same family
            self._nodes.pop(name, None)
            names = self._list(PAGE) if self._children is None else self._children
            raise KeyError(describe_missing(self._interface.backend_interface, self._fullpath, name, names))
        return child

    def _is_missing(self) -> bool:
        found = self._look(PAGE)
        return isinstance(found, dict) and not found

    def _new_child(self, name: str) -> S3FSLike:
        kind = self._kind_of_child(name)
        return kind(self._interface, keys.join(self._fullpath, name), self._extensions)

    def _kind_of_child(self, name: str) -> type[S3FSLike]:  # noqa: ARG002 - in directories the name tells
        """The class of a child's node: its parent's own, but in directories."""
        return type(self)

    def _resolve(self) -> bool:
        """Find the names that were meant by attributes which may stand for several; whether that changes the path."""
        origin, before = self._origin, self._fullpath
        if origin is not None:
            origin.parent._resolve()  # noqa: SLF001 - a node of the same family
            # of `a-b` and `01`, and in another form of Unicode, an attribute shows only what Python allows
            if origin.attribute is not None and ("_" in origin.attribute or not origin.attribute.isascii()):
                origin = self._origin = origin.looked_up()
                children = origin.parent._children or {}  # noqa: SLF001
                self._is_leaf = children[origin.name] is not None if origin.name in children else None
            self._fullpath = keys.join(origin.parent._fullpath, origin.name)  # noqa: SLF001
        return self._fullpath != before

    def _look(self, most: int | None = None) -> ObjectHead | Children:
        """The head of an array, or the children of a group: one request where the kind is known or the name tells."""
        if self._is_leaf is False or (self._is_leaf is None and self._seems_a_group()):
            children = self._list(most)
            if children or not self._fullpath:
                return children
        head = self._head()
        if head is None and self._resolve():
            head = self._head()
        self._is_leaf = head is not None
        if head is None:
            return self._list(most) if self._children is None else self._children
        return head

    def _seems_a_group(self) -> bool:
        return bool(self._children) or "." not in keys.basename(self._fullpath)

    def _head(self) -> ObjectHead | None:
        try:
            head = self._interface.backend_interface.stat(self._fullpath)
        except ObjectNotFound:
            return None
        self._keep(head)
        return head

    def _keep(self, head: ObjectHead) -> None:
        """Open the array of this head: the next question costs no request; of an old one nothing is kept."""
        if self._opened is None or self._opened.e_tag != head.e_tag:
            self._opened = None
            with contextlib.suppress(NotAnArray):
                self._opened = self._interface._dataset(self._fullpath, head)  # noqa: SLF001 - no second request

    # -------------------------------------------------------------- the array
    def _array(self) -> Dataset:
        """The array of this name, opened; the same one each time."""
        if self._opened is None:
            try:
                self._opened = self._open()
            except ObjectNotFound:
                if not self._resolve():
                    raise
                self._opened = self._open()
            self._is_leaf = True
        return self._opened

    def _open(self) -> Dataset:
        head = self._interface.backend_interface.stat(self._fullpath)
        return self._interface._dataset(self._fullpath, head)  # noqa: SLF001 - without asking what else is there

    def _with_array(self, use: Callable[[Dataset], Result]) -> Result:
        """Use the array; a new one where it was replaced, for a node stands for a name."""
        if self._opened is not None and self._opened.is_kept:
            self._head()  # what is kept would be given though the array was replaced
        try:
            return use(self._array())
        except ObjectChanged:
            self._opened = None
            return use(self._array())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if isinstance(self._look(), dict):
            raise TypeError(f"{self!r} is no array")
        return self._with_array(lambda array: array.__array__(dtype, copy))

    # -------------------------------------------------------------- the object
    def __call__(self) -> Any:
        """The store's own object of this name: on S3 boto3's ``Object``."""
        self._resolve()
        return self._interface.get_object(self._fullpath)

    def __repr__(self) -> str:
        self._resolve()
        return f"cottoncandy-path <bucket:{self._interface.bucket_name}> {self._fullpath}"

    def _repr_html_(self) -> str:
        return self._html(self._look(PAGE))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:  # noqa: ARG002 - IPython's
        """Text and HTML of one look: IPython would take a look for each."""
        try:
            found = self._look(PAGE)
        except CottonCandyError as error:
            return {"text/plain": f"<cottoncandy-path {self._fullpath!r} cannot be shown: {error}>"}
        return {"text/plain": self._text(found), "text/html": self._html(found)}

    def _text(self, found: ObjectHead | Children) -> str:  # noqa: ARG002 - of arrays and groups it tells more
        return S3FSLike.__repr__(self)

    def _html(self, found: ObjectHead | Children) -> str:
        title = (
            f"{self._interface.backend_interface.name}: {keys.join(str(self._interface.bucket_name), self._fullpath)}"
        )
        if isinstance(found, dict):
            return children_html(title, found, self._open_children(found), complete=self._is_all)
        return self._opened._repr_html_() if self._opened is not None else object_html(title, found)

    def _open_children(self, found: Children) -> dict[str, Dataset]:
        """The arrays that were opened already, and that are still those of the listing."""
        opened = ((name, self._nodes[name]._opened) for name in found if name in self._nodes)  # noqa: SLF001
        return {
            name: array
            for name, array in opened
            if array is not None and (info := found[name]) is not None and array.e_tag == info.e_tag
        }
