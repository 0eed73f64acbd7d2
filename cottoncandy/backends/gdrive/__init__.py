"""Google Drive as a store: object names are paths below a folder, metadata are a file's properties."""

from __future__ import annotations

from cottoncandy.backends.gdrive.backend import GoogleDriveBackend

__all__ = ["GoogleDriveBackend"]
