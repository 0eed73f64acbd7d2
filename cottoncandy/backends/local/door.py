"""Where the system's errors become ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cottoncandy.errors import AccessDenied, CottonCandyError, InvalidObjectName, ObjectExists, ServiceError

_NO_SUCH_NAME = {
    # of 255 bytes on all usual file systems, ten are for the ending of the metadata's file
    errno.ENAMETOOLONG: "the name is too long: each part between two '/' may have 245 bytes, and all together 4,000",
    errno.ENOTDIR: "what should be a directory on the way to it is an object: remove that, or take another name",
    errno.EISDIR: "there is a directory of this name, or of its metadata's: remove that, or take another name",
    errno.ELOOP: "its symbolic links lead in a circle",
}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Run a block in which the system may fail; ``where`` says what the failure is about.

    Raises
    ------
    ObjectExists, InvalidObjectName, AccessDenied, ServiceError
    """
    try:
        yield
    except CottonCandyError:
        raise
    except OSError as error:
        raise _translate(error, where) from error


def _translate(error: OSError, where: str) -> CottonCandyError:
    if isinstance(error, FileExistsError):
        return ObjectExists(f"{where} exists, and was not to be replaced")
    if reason := _NO_SUCH_NAME.get(error.errno or 0):
        return InvalidObjectName(f"{where}: {reason}")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return AccessDenied(f"{where}: {error.strerror}: look at the rights of {_there(error.filename)!r}")
    return ServiceError(f"{where}: {error.strerror or error}")


def _there(path: Any) -> Any:
    """What of a path can be looked at: of a file that could not be made, the directory that it was to be in."""
    return next((str(one) for one in (Path(path), *Path(path).parents) if os.path.lexists(one)), path) if path else path
