"""Arrays in chunks as dask's graphs. Imports dask: import this module where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dask.array
import numpy as np
from dask.base import tokenize
from dask.callbacks import Callback
from dask.core import flatten
from dask.delayed import Delayed, delayed
from dask.highlevelgraph import HighLevelGraph

from cottoncandy.backends.base import Receipt
from cottoncandy.chunkedarrays.folder import ChunkFolder
from cottoncandy.chunkedarrays.names import new_version
from cottoncandy.chunkedarrays.reader import StoredChunks
from cottoncandy.chunkedarrays.shared import Mark, SharedUpload
from cottoncandy.chunkedarrays.upload import ChunkFormat, Sent
from cottoncandy.chunking import Chunks

__all__ = ["DelayedUpload", "stored_array", "upload_graph"]

# What the names of the tasks that send a chunk begin with.
_SEND = "send-upload-"


# ---------------------------------------------------------------------- down
def stored_array(stored: StoredChunks, name: str, e_tag: str | None) -> dask.array.Array:
    """A dask array of what is stored; nothing of it is read yet.

    The graph holds the reader once, as data that each worker gets once; a task holds slices only, and dask fuses
    further slices with them, so that a slice of a chunk is all that is read of it.
    """
    folder = stored.folder
    token = tokenize(folder.backend.address, folder.directory, e_tag, stored.table.version)
    return dask.array.from_array(  # type: ignore[no-any-return] # dask has no hints here
        stored,
        chunks=stored.table.chunks,
        name=f"{name}-{token}",
        meta=np.empty((0,) * stored.ndim, stored.dtype),
    )


# ---------------------------------------------------------------------- up
class DelayedUpload(Delayed):
    """An upload that waits to be computed, which gives the receipt.

    It may be computed with `compute`, `dask.compute` or ``Client.compute``, and more than once.
    """

    __slots__ = ("_chunks", "_mark")
    # the array's own optimization: what makes a chunk and what sends it become one task
    __dask_optimize__ = staticmethod(dask.array.optimize)

    def __init__(self, key: str, graph: HighLevelGraph, mark: Mark, chunks: int) -> None:
        super().__init__(key, graph)  # type: ignore[no-untyped-call]
        self._mark = mark
        self._chunks = chunks

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key, self.dask, self._mark, self._chunks)

    def compute(self, **kwargs: Any) -> Receipt:
        """Upload; when that fails, what was sent is removed."""
        try:
            with _counted(self._mark.folder, self._chunks):
                receipt: Receipt = super().compute(**kwargs)  # type: ignore[no-untyped-call]
        except BaseException:
            self.discard()
            raise
        return receipt

    def discard(self) -> None:
        """Remove what was sent of an upload that failed: `compute` does it itself, other ways to compute do not."""
        self._mark.give_up()


def upload_graph(array: dask.array.Array, folder: ChunkFolder, how: ChunkFormat) -> DelayedUpload:
    """The upload of a dask array: each chunk is sent by a task where it is, the last one writes the table."""
    mark = Mark(folder, new_version())
    # what all tasks share is the result of one: as data it reaches each worker once
    begun = delayed(mark.begin)(how, array.npartitions, dask_key_name=f"begin-upload-{mark.token}")
    sent = dask.array.map_blocks(
        _send,
        array,
        begun,
        grid=array.numblocks,
        name=f"{_SEND}{mark.token}",
        chunks=tuple((1,) * count for count in array.numblocks),
        dtype=object,
        meta=np.empty((0,) * array.ndim, object),
    )
    name = f"publish-upload-{mark.token}"
    task: dict[Any, Any] = {name: (_publish, begun.key, array.chunks, list(flatten(sent.__dask_keys__())))}
    return DelayedUpload(name, HighLevelGraph.from_collections(name, task, [begun, sent]), mark, array.npartitions)


@contextmanager
def _counted(folder: ChunkFolder, chunks: int) -> Iterator[None]:
    """Count the chunks that dask sends. Its local schedulers tell, a cluster's does not."""

    def told(key: Any, *_: Any) -> None:
        if isinstance(key, tuple) and str(key[0]).startswith(_SEND):
            count.done()

    with folder.settings.progress.many("upload", folder.directory, chunks, "chunks") as count, Callback(posttask=told):
        yield


def _send(chunk: Any, upload: SharedUpload, grid: tuple[int, ...] = (), block_id: tuple[int, ...] = ()) -> Sent:
    return upload.send(int(np.ravel_multi_index(block_id, grid)) if grid else 0, chunk)


def _publish(upload: SharedUpload, chunks: Chunks, sent: Sequence[Sent]) -> Receipt:
    return upload.publish(chunks, sent)
