"""The terminal browser: a tree of names, and beside it what is known of the one under the cursor."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Footer, Header, Static, Tree
from textual.widgets.tree import TreeNode
from textual.worker import get_current_worker

from cottoncandy import keys
from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.cli.looking import described
from cottoncandy.cli.output import date_text, size_text
from cottoncandy.cli.sampling import preview
from cottoncandy.errors import CottonCandyError
from cottoncandy.trees import shown

if TYPE_CHECKING:
    from cottoncandy.cli.places import Place
    from cottoncandy.interfaces import DefaultInterface

Entry = ObjectInfo | ObjectPrefix
Result = TypeVar("Result")
# Names of a directory that are shown: one page of a listing.
_MOST = 1000


class StoreBrowser(App[None]):
    """A store as a tree.

    Parameters
    ----------
    cci : DefaultInterface
    where : Place
        What is shown as the root.

    Attributes
    ----------
    screenshot_to : pathlib.Path or None
        Write an SVG of what is shown when the root is listed, and end.
    """

    CSS = "Tree { width: 2fr; } VerticalScroll { width: 3fr; padding: 0 2; border-left: solid $primary; }"
    BINDINGS = [  # noqa: RUF012 - textual's own way
        Binding("p", "preview", "Preview"),
        Binding("r", "reload", "Reload"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, cci: DefaultInterface, where: Place) -> None:
        super().__init__()
        self.cci = cci
        self.where = where
        self.title = where.at(where.name)
        self.screenshot_to: Path | None = None

    def compose(self) -> ComposeResult:
        """Lay out the tree, and the panel beside it."""
        yield Header()
        with Horizontal():
            yield Tree[Entry](self.title, ObjectPrefix(keys.as_directory(self.where.name)), id="names")
            with VerticalScroll():
                yield Static("", id="panel")
        yield Footer()

    @property
    def names(self) -> Tree[Entry]:
        """The tree."""
        return self.query_one("#names", Tree)

    def on_mount(self) -> None:
        """List the root."""
        self.names.root.expand()
        self.names.focus()

    # ------------------------------------------------------------------ the tree
    def on_tree_node_expanded(self, event: Tree.NodeExpanded[Entry]) -> None:
        """List a directory when it is opened for the first time."""
        if not event.node.children:
            self._list(event.node)

    @work(thread=True)
    def _list(self, node: TreeNode[Entry]) -> None:
        prefix = _prefix(node)
        listed = self.cci.backend_interface.list_level(prefix)
        names = shown(islice(listed, _MOST + 1), prefix)
        found = self._try(lambda: [entry for entry in names if entry.key != prefix])
        if found is not None:
            self.call_from_thread(self._fill, node, found)

    def _fill(self, node: TreeNode[Entry], found: list[Entry]) -> None:
        node.remove_children()
        prefix = _prefix(node)
        for entry in found[:_MOST]:
            label = Text(entry.key.removeprefix(prefix))
            if isinstance(entry, ObjectPrefix):
                node.add(label, entry)
            else:
                node.add_leaf(label.append(f"  {size_text(entry.size, human=True)}", "dim"), entry)
        if len(found) > _MOST:
            node.add_leaf(Text(f"the first {_MOST} are shown", "italic"))
        if node.is_root and self.screenshot_to is not None:
            self.call_after_refresh(self._take)

    def _take(self) -> None:
        if self.screenshot_to is not None:
            self.screenshot_to.write_text(self.export_screenshot(title="cottoncandy browse"), encoding="utf-8")
            self.exit()

    # ------------------------------------------------------------------ the panel
    def show(self, text: str) -> None:
        """Write into the panel; markup in it means nothing."""
        self.query_one("#panel", Static).update(Text(text))

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[Entry]) -> None:
        """Tell what the listing told: no request. What is still read for another name is shown no more."""
        self.workers.cancel_group(self, "panel")
        entry = event.node.data
        if isinstance(entry, ObjectInfo):
            size = f"{size_text(entry.size, human=True)} ({entry.size} bytes)"
            self.show(f"{entry.key}\n\n{size}\n{date_text(entry.last_modified)}\n\nEnter: all of it   p: preview")
        elif entry is not None:
            self.show(f"{entry.key or self.title}")

    def on_tree_node_selected(self, event: Tree.NodeSelected[Entry]) -> None:
        """Tell all of an object: one request."""
        if isinstance(event.node.data, ObjectInfo):
            self._describe(event.node.data.key)

    @work(thread=True, exclusive=True, group="panel")
    def _describe(self, name: str) -> None:
        facts = self._try(lambda: described(self.cci, name))
        if facts is not None:
            metadata = facts.pop("metadata", {})
            if "last_modified" in facts:
                facts["last_modified"] = date_text(facts["last_modified"])
            lines = [f"{key.replace('_', ' '):<15}{value}" for key, value in facts.items()]
            lines += ["", *(f"{key}: {value}" for key, value in metadata.items())]
            self._show_result("\n".join([name, "", *lines]))

    def action_preview(self) -> None:
        """Show values of the array, or the beginning of the file, under the cursor."""
        node = self.names.cursor_node
        if node is not None and isinstance(node.data, ObjectInfo):
            self._preview(node.data.key)

    @work(thread=True, exclusive=True, group="panel")
    def _preview(self, name: str) -> None:
        text = self._try(lambda: preview(self.cci, name))
        if text is not None:
            self._show_result(f"{name}\n\n{text}")

    def action_reload(self) -> None:
        """List the directory under the cursor anew."""
        node = self.names.cursor_node
        if node is not None and not isinstance(node.data, ObjectPrefix):  # an object, or the note at the end
            node = node.parent
        if node is not None:
            self._list(node)

    def _try(self, function: Callable[[], Result]) -> Result | None:
        """What a function gives; an error is told, and ends nothing."""
        try:
            return function()
        except (CottonCandyError, OSError, ValueError) as error:
            self._show_result(str(error))
            return None

    def _show_result(self, text: str) -> None:
        """Show what a worker found, from its thread."""
        worker = get_current_worker()  # a thread cannot be stopped where another name was chosen meanwhile
        self.call_from_thread(lambda: None if worker.is_cancelled else self.show(text))


def _prefix(node: TreeNode[Entry]) -> str:
    """What the names in a directory begin with."""
    if not isinstance(node.data, ObjectPrefix):
        raise TypeError(f"{node.label} is no directory")
    return node.data.key
