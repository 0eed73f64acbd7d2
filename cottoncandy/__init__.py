"""Sugar for object storage, for people who compute.

>>> import cottoncandy as cc
>>> cci = cc.get_interface('my-bucket', verbose=False)
>>> response = cci.upload_raw_array('sub01/bold', arr)
>>> arr = cci.download_raw_array('sub01/bold')
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from cottoncandy.backends.encrypted.keys import EncryptionKeys, KeySource, generate_encryption_key
    from cottoncandy.browser import BrowserObject
    from cottoncandy.interfaces import DefaultInterface
    from cottoncandy.progress import MakeBar

__version__ = "0.5.0.dev0"

__all__ = ["EncryptionKeys", "__version__", "generate_encryption_key", "get_browser", "get_interface"]

_ENCRYPTION = frozenset({"EncryptionKeys", "generate_encryption_key"})
_MODULES = frozenset({"backends", "browser", "config", "errors", "interfaces", "stream"})


def __getattr__(name: str) -> Any:
    # `cottoncandy.interfaces` is there after `import cottoncandy`, and costs nothing before it is used
    if name in _MODULES:
        return importlib.import_module(f"cottoncandy.{name}")
    if name in _ENCRYPTION:
        return getattr(importlib.import_module("cottoncandy.backends.encrypted.keys"), name)
    raise AttributeError(f"module 'cottoncandy' has no attribute {name!r}")


def load_ipython_extension(ipython: Any) -> None:
    """Complete object names inside of strings; IPython calls this for ``%load_ext cottoncandy``."""
    from cottoncandy import completion

    completion.add_to(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Complete them no longer; IPython calls this for ``%unload_ext cottoncandy``."""
    from cottoncandy import completion

    completion.remove_from(ipython)


def get_interface(
    bucket_name: str | None = None,
    ACCESS_KEY: str | None = None,  # noqa: N803 - the published name
    SECRET_KEY: str | None = None,  # noqa: N803 - the published name
    endpoint_url: str | None = None,
    force_bucket_creation: bool | None = None,
    verbose: bool = True,
    backend: str = "s3",
    *,
    encryption_key: KeySource | Literal[False] | None = None,
    progress: bool | str | MakeBar | None = None,
    **kwargs: Any,
) -> DefaultInterface:
    """Open a bucket, a directory or a Google Drive.

    What is None is taken from the environment, your own configuration file or the defaults, in this order.

    Parameters
    ----------
    bucket_name : str, optional
        The bucket; the configured ``default_bucket`` by default. With ``backend='local'`` a directory, which is
        made.
    ACCESS_KEY, SECRET_KEY : str, optional
        S3 keys; looked up by default: in the configuration, in ``~/.passwd-s3fs``, in ``AWS_ACCESS_KEY`` and
        ``AWS_SECRET_KEY``, then in the whole standard chain of boto3.
    endpoint_url : str, optional
        The URL of an S3-compatible store; Amazon's own by default.
    force_bucket_creation : bool, optional
        Make the bucket if it does not exist; False by default.
    verbose : bool
        Print the buckets that can be seen, and the current one.
    backend : str
        ``'s3'``, ``'local'``, ``'gdrive'`` or the name of an installed backend.
    progress : bool or 'auto' or callable, optional
        Whether calls that take longer than a second show a bar: True, False, or ``'auto'``, which shows them in
        notebooks and at a prompt on a terminal; the configured ``show`` by default. Or what makes bars of your own: it
        is called with the arguments of `tqdm.tqdm`, and gives what has ``update(n)`` and ``close()``.
    encryption_key : bytes, str, EncryptionKeys, callable or False, optional
        Encrypt what is stored before it leaves, and decrypt what was so: 32 bytes, their base64 text (as
        `generate_encryption_key` makes it), an `EncryptionKeys` with older keys beside the current one, or a function
        that gives one of these. The configured one by default; False uses none though there is one.
    **kwargs
        Passed to the backend; on S3 to boto3: ``config=botocore.client.Config(...)``, ``region_name``, ``verify``.

    Returns
    -------
    DefaultInterface

    Raises
    ------
    ContainerNotFound
        If the bucket does not exist, and is not to be made.
    CredentialsNotFound, AccessDenied, TransientError
        If the store cannot be used.

    Examples
    --------
    >>> import cottoncandy as cc
    >>> import numpy as np
    >>> cci = cc.get_interface('my_store', backend='local', verbose=False)
    >>> response = cci.upload_raw_array('sub01/bold', np.arange(3))
    >>> cci.download_raw_array('sub01/bold')
    array([0, 1, 2])
    """
    # imported here, so that `import cottoncandy` is fast and does nothing
    from cottoncandy.interfaces import DefaultInterface
    from cottoncandy.redaction import hidden, with_hidden_keys

    # from here on, no traceback that shows variables shows them
    ACCESS_KEY, SECRET_KEY, encryption_key = hidden(ACCESS_KEY), hidden(SECRET_KEY), hidden(encryption_key)  # noqa: N806
    kwargs = with_hidden_keys(kwargs)
    return DefaultInterface(
        bucket_name,
        ACCESS_KEY,
        SECRET_KEY,
        endpoint_url,
        force_bucket_creation=force_bucket_creation,
        verbose=verbose,
        backend=backend,
        progress=progress,
        encryption_key=encryption_key,
        **kwargs,
    )


def get_browser(
    bucket_name: str | None = None,
    ACCESS_KEY: str | None = None,  # noqa: N803 - the published name
    SECRET_KEY: str | None = None,  # noqa: N803 - the published name
    endpoint_url: str | None = None,
    **kwargs: Any,
) -> BrowserObject:
    """Browse a bucket as if its names were attributes, completed with tab.

    The parameters are those of `get_interface`.

    Returns
    -------
    BrowserObject
        The bucket's root.

    Examples
    --------
    >>> cci.dict2cloud('sub01.grp', {'bold': np.arange(3)}, verbose=False)
    >>> browser = cc.get_browser('my_store', backend='local')
    >>> browser.sub01_DOT_grp.bold.load()
    array([0, 1, 2])
    """
    from cottoncandy.redaction import hidden, with_hidden_keys

    ACCESS_KEY, SECRET_KEY = hidden(ACCESS_KEY), hidden(SECRET_KEY)  # noqa: N806
    kwargs = {"verbose": False, **with_hidden_keys(kwargs)}
    return get_interface(bucket_name, ACCESS_KEY, SECRET_KEY, endpoint_url, **kwargs).get_browser()
