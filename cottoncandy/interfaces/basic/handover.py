"""Handing over: URLs for others, and what an object was before."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import TYPE_CHECKING

from cottoncandy import keys
from cottoncandy.backends.base import ObjectVersion, Receipt
from cottoncandy.interfaces.basic.core import InterfaceCore

if TYPE_CHECKING:
    from typing_extensions import Self

_METHODS = ("get", "put")


class Handover(InterfaceCore):
    """URLs for others, and versions of objects."""

    def get_presigned_url(self, object_name: str, expires: float | timedelta = 3600, method: str = "get") -> str:
        """Make a URL by which anybody can read or write one object for some time, without keys and without cottoncandy.

        Nothing is asked of the store: whether the object is there, and whether these keys may read it, shows when the
        URL is used.

        .. warning:: Anybody with the URL has the object. The URL is a secret while it holds: keep it out of logs and
           tickets.

        Parameters
        ----------
        object_name : str
        expires : float or datetime.timedelta
            Seconds for which it holds, up to 7 days; an hour by default. It ends earlier with the credentials that
            signed it, where these are temporary (SSO, roles).
        method : str
            ``'get'`` to read; ``'put'`` to write the bytes that are sent, without metadata.

        Returns
        -------
        str

        Raises
        ------
        NotSupported
            On stores that have no such URLs: a directory, Google Drive.
        ConfigurationError
            If it is to hold for longer than the store allows.

        Examples
        --------
        >>> bucket = cc.get_interface('my-bucket', verbose=False)
        >>> response = bucket.upload_object('notes.txt', 'slept well')
        >>> url = bucket.get_presigned_url('notes.txt', expires=600)
        >>> import urllib.request
        >>> with urllib.request.urlopen(url) as answer:
        ...     answer.read()
        b'slept well'
        """
        if method.lower() not in _METHODS:
            raise ValueError(f"method is 'get' or 'put', not {method!r}")
        seconds = expires.total_seconds() if isinstance(expires, timedelta) else expires
        return self.backend_interface.presigned_url(keys.clean_object(object_name), method.lower(), int(seconds))

    def get_object_versions(self, object_name: str) -> list[ObjectVersion]:
        """Tell the versions of an object, in a bucket that keeps them.

        Parameters
        ----------
        object_name : str

        Returns
        -------
        list of cottoncandy.backends.base.ObjectVersion
            The newest first; those where the object was deleted too. Without versioning it is the one that there is.

        Raises
        ------
        NotSupported
            On stores that keep none: a directory, Google Drive.

        See Also
        --------
        at_version, restore_version

        Examples
        --------
        >>> bucket = cc.get_interface('my-bucket', verbose=False)
        >>> response = bucket.get_bucket().Versioning().enable()  # boto3's
        >>> response = bucket.upload_object('notes.txt', 'slept well')
        >>> response = bucket.upload_object('notes.txt', 'slept badly')
        >>> new, old, *_ = bucket.get_object_versions('notes.txt')
        >>> new.size, new.is_latest, old.size, old.is_latest
        (11, True, 10, False)
        >>> bucket.at_version(old.version_id).download_object('notes.txt')
        b'slept well'
        >>> response = bucket.restore_version('notes.txt', old.version_id)
        >>> bucket.download_object('notes.txt')
        b'slept well'
        """
        return self.backend_interface.list_versions(keys.clean_object(object_name))

    def at_version(self, version_id: str) -> Self:
        """Give an interface that reads one object as it was: every call that reads a single object does.

        ``cci.at_version(id).download_raw_array(name)``, ``.open_array``, ``.download_json``, ``.get_presigned_url``...
        What would write, delete or list raises `NotSupported`. A version belongs to one object: arrays and trees of
        several objects have one for each of them.

        Parameters
        ----------
        version_id : str
            From `get_object_versions`.

        Raises
        ------
        NotSupported
            On stores that keep none.
        """
        interface = copy.copy(self)
        interface.backend_interface = self.backend_interface.at_version(version_id)
        return interface

    def restore_version(self, object_name: str, version_id: str) -> Receipt:
        """Make an old version the newest one: a copy inside the store, with its metadata. All others stay.

        Parameters
        ----------
        object_name : str
        version_id : str
            From `get_object_versions`.

        Returns
        -------
        dict
            The boto3 response.

        Raises
        ------
        ObjectNotFound
            If there is no such version.
        """
        return self.backend_interface.restore_version(keys.clean_object(object_name), version_id)
