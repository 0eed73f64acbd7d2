"""Uploads that are open when the interpreter exits: nothing will end them any more, so they are aborted.

What fails is aborted at once by the code that sends it. Left are uploads that a program has open when it ends, and
those whose abort Ctrl-C broke off.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from cottoncandy import forks
from cottoncandy.backends.base import MultipartUpload
from cottoncandy.errors import TransientError
from cottoncandy.interrupts import shielded, undisturbed

log = logging.getLogger(__name__)

Upload = TypeVar("Upload", bound=MultipartUpload)

_open: set[MultipartUpload] = set()


def begin(start: Callable[[], Upload]) -> Upload:
    """Begin an upload, which is aborted when the interpreter exits before it is `ended`.

    Ctrl-C may come when the store has begun it and the answer is under way: a caller that stopped then would not
    know what to abort.
    """
    return undisturbed(lambda: _watched(start()), lambda upload: upload.abort())


def _watched(upload: Upload) -> Upload:
    if not _open:
        # now, not at import: what was registered before, as to close connections, is called behind it
        atexit.unregister(_abort_all)
        atexit.register(_abort_all)
    _open.add(upload)
    return upload


def ended(upload: MultipartUpload) -> None:
    """Forget an upload that is complete or aborted."""
    _open.discard(upload)


@contextmanager
def once(upload: MultipartUpload) -> Iterator[None]:
    """Abort an upload: a store that has refused it is not asked again at exit, but Ctrl-C leaves it to be done."""
    try:
        with shielded():
            yield
    except Exception:
        ended(upload)
        raise
    ended(upload)


def _abort_all() -> None:
    for upload in list(_open):
        try:
            upload.abort()
        except TransientError as error:
            log.warning("an upload that was left open stays open, as the store cannot be reached: %s", error)
            return  # nor for the others, and nobody waits for so long
        except Exception as error:  # noqa: BLE001 - the others are still to be aborted
            log.warning("an upload that was left open could not be aborted: %s", error)


# they are the parent's, which goes on with them
forks.in_child(_open.clear)
