"""Objects, files, json, pickles and buckets."""

from __future__ import annotations

from typing import Any

from cottoncandy.backends.opening import open_backend
from cottoncandy.interfaces.basic.buckets import Buckets
from cottoncandy.interfaces.basic.core import InterfaceObject
from cottoncandy.interfaces.basic.ecosystem import Ecosystem
from cottoncandy.interfaces.basic.encryption import Encryption
from cottoncandy.interfaces.basic.files import Files
from cottoncandy.interfaces.basic.handover import Handover
from cottoncandy.interfaces.basic.integrity import Integrity
from cottoncandy.interfaces.basic.tables import Tables
from cottoncandy.interfaces.basic.unfinished import Unfinished
from cottoncandy.progress import MakeBar
from cottoncandy.redaction import hidden, with_hidden_keys

__all__ = ["BasicInterface", "InterfaceObject"]


class BasicInterface(Files, Tables, Buckets, Unfinished, Integrity, Encryption, Ecosystem, Handover):
    """Objects, files, json, pickles and buckets of one store.

    Parameters
    ----------
    bucket_name : str or None
        The bucket (a directory, a folder). None opens a store without choosing one.
    ACCESS_KEY, SECRET_KEY : str or None
        S3 keys; None looks them up (see `cottoncandy.config`). On Google Drive the names of the client-secrets
        and of the credentials file.
    url : str, optional
        The URL of an S3-compatible store; Amazon's own by default.
    force_bucket_creation : bool
        Make the bucket if it does not exist.
    verbose : bool
        Print the buckets that can be seen, and the current one.
    backend : str
        ``'s3'``, ``'local'``, ``'gdrive'`` or the name of an installed backend.
    progress : bool or 'auto' or callable, optional
        Whether long calls show a bar; see `cottoncandy.get_interface`.
    encryption_key : bytes, str, EncryptionKeys, callable or False, optional
        See `cottoncandy.get_interface`.
    **kwargs
        Passed to the backend; on S3 to boto3: ``config=botocore.client.Config(...)``, ``region_name``, ``verify``.

    Raises
    ------
    ContainerNotFound
        If the bucket does not exist, and is not to be made.
    CredentialsNotFound, AccessDenied, TransientError
        If the store cannot be used.
    """

    def __init__(
        self,
        bucket_name: str | None,
        ACCESS_KEY: str | None,  # noqa: N803 - the published name
        SECRET_KEY: str | None,  # noqa: N803 - the published name
        url: str | None = None,
        force_bucket_creation: bool | None = False,
        verbose: bool = True,
        backend: str = "s3",
        *,
        progress: bool | str | MakeBar | None = None,
        **kwargs: Any,
    ) -> None:
        ACCESS_KEY, SECRET_KEY, kwargs = hidden(ACCESS_KEY), hidden(SECRET_KEY), with_hidden_keys(kwargs)  # noqa: N806
        url = kwargs.pop("endpoint_url", url)
        self._load_options()
        self._show_progress(progress)
        self.backend_interface = open_backend(
            backend,
            bucket_name,
            self._options,
            ACCESS_KEY=ACCESS_KEY,
            SECRET_KEY=SECRET_KEY,
            endpoint_url=url,
            **kwargs,
        )
        if force_bucket_creation is None:
            force_bucket_creation = self._options.flag("basic", "force_bucket_creation")
        self._require_bucket(force_bucket_creation)
        if verbose:
            self._print_buckets()
