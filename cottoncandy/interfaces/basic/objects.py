"""Objects: bytes, json and pickles."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
from collections.abc import Iterator
from typing import Any, BinaryIO

from cottoncandy import keys
from cottoncandy.backends.base import BytesLike, Receipt
from cottoncandy.bodies import read_bytes
from cottoncandy.errors import CorruptObject, CottonCandyError, ObjectNotFound, OutOfMemory, PickleForbidden
from cottoncandy.interfaces.basic.core import InterfaceCore
from cottoncandy.stream import CloudStream, stream_part

# What `json` and `pickle` raise for what they cannot write.
_UNWRITABLE = (TypeError, ValueError, AttributeError, pickle.PicklingError)


class Objects(InterfaceCore):
    """Single objects of the current bucket."""

    def exists_object(self, object_name: str, bucket_name: str | None = None, raise_err: bool = False) -> bool:
        """Whether there is an object of exactly this name: a mere prefix is none.

        Parameters
        ----------
        object_name : str
        bucket_name : str, optional
            The current bucket by default.
        raise_err : bool
            Raise `ObjectNotFound` where there is none.
        """
        backend = self._bound_backend(bucket_name)
        key = keys.clean_object(object_name)
        exists = backend.exists(key)
        if raise_err and not exists:
            raise ObjectNotFound(f"{backend.describe(key)} does not exist")
        return exists

    def get_object(self, object_name: str, bucket_name: str | None = None) -> Any:
        """The store's own object of that name: on S3 boto3's ``Object``. Nothing is asked of the store yet.

        Parameters
        ----------
        object_name : str
        bucket_name : str, optional
            The current one by default.
        """
        return self._bound_backend(bucket_name).native_object(keys.clean_object(object_name))

    def upload_object(
        self,
        object_name: str,
        body: BytesLike | str | BinaryIO,
        acl: str | None = None,
        threads: int | None = None,
        **metadata: Any,
    ) -> Receipt:
        """Upload bytes.

        Parameters
        ----------
        object_name : str
        body : bytes-like, str or binary file
            Text goes up as UTF-8; a file is read to its end, from where it stands.
        acl : str, optional
            A canned ACL.
        threads : int, optional
            Connections; the configured ``threads`` by default.
        **metadata
            User metadata; values are turned into text.

        Returns
        -------
        dict
            The boto3 response, or one in its shape.

        Raises
        ------
        BlockingIOError
            If the file does not block, and gives nothing before it is at its end; nothing is stored then.
        InvalidObjectName
            For a body under a name that ends with ``/``: on S3, an empty object may stand for a directory.

        Examples
        --------
        >>> response = cci.upload_object('notes.txt', b'slept well', subject='S01')
        >>> cci.download_object('notes.txt')
        b'slept well'
        """
        return self._upload(object_name, self._body(body), metadata, acl, threads)

    def _body(self, body: Any) -> Any:
        if isinstance(body, str):
            return body.encode()
        if isinstance(body, memoryview) and not (body.c_contiguous and body.nbytes):
            return body.tobytes()  # of which there is no view as bytes
        if isinstance(body, (bytes, bytearray, memoryview)):
            return body
        if hasattr(body, "read"):
            return self._blocks(body)
        raise TypeError(f"the body is bytes, text or a binary file, not {type(body).__name__}")

    def _blocks(self, file: Any) -> Iterator[bytes]:
        size = stream_part(self._settings)
        while block := read_bytes(file, size):
            yield block
            if len(block) < size and _is_typed(file):
                return  # Ctrl-D ended it, and would have to end another read too

    def download_stream(self, object_name: str, threads: int | None = None) -> CloudStream:
        """Open an object as a readable, seekable binary file.

        Parameters
        ----------
        object_name : str
        threads : int, optional
            Connections for large reads; the configured ``threads`` by default.

        Returns
        -------
        CloudStream
            With ``.content`` and ``.metadata`` beside the methods of a file.

        Raises
        ------
        ObjectNotFound

        Examples
        --------
        >>> response = cci.upload_object('table.csv', 'a,b', subject='S01')
        >>> with cci.download_stream('table.csv') as stream:
        ...     stream.metadata, stream.read()
        ({'subject': 'S01'}, b'a,b')
        """
        return CloudStream(self.backend_interface, keys.clean_object(object_name), self._settings, threads)

    def download_object(self, object_name: str, threads: int | None = None) -> bytes:
        """Download the bytes of an object.

        Parameters
        ----------
        object_name : str
        threads : int, optional
            Connections; the configured ``threads`` by default.

        Returns
        -------
        bytes

        Raises
        ------
        ObjectNotFound
        """
        with self._whole(keys.clean_object(object_name), threads) as stream:
            try:
                return stream.read()
            except MemoryError as error:
                raise OutOfMemory.of(self.backend_interface.describe(stream.name), stream.size) from error

    def _whole(self, key: str, threads: int | None) -> CloudStream:
        """An object that will be read from end to end."""
        return CloudStream(self.backend_interface, key, self._settings, threads, first=self._settings.opening)

    # ------------------------------------------------------------------ json and pickles
    @contextlib.contextmanager
    def _readable_as(self, object_name: str, kind: str) -> Iterator[None]:
        """Name the object whose bytes are something else."""
        try:
            yield
        except CottonCandyError:
            raise
        except (ValueError, EOFError, RecursionError, pickle.UnpicklingError) as error:
            where = self.backend_interface.describe(keys.clean_object(object_name))
            raise CorruptObject(f"{where} is not {kind}: {error}") from error

    @contextlib.contextmanager
    def _storable_as(self, object_name: str, kind: str, advice: str) -> Iterator[None]:
        """Name the object that was to hold what cannot be written so."""
        try:
            yield
        except (TypeError, ValueError, AttributeError, pickle.PicklingError) as error:
            if type(error) not in _UNWRITABLE:
                raise  # of somebody's own class, which may be made in another way
            where = self.backend_interface.describe(keys.clean_object(object_name))
            # what contains itself, a ValueError, nothing is done about
            told = str(error) if isinstance(error, ValueError) else f"{error}: {advice}"
            raise type(error)(f"{where}: no {kind} can be made of this: {told}") from error

    def upload_json(
        self,
        object_name: str,
        ddict: Any,
        acl: str | None = None,
        threads: int | None = 1,
        **metadata: Any,
    ) -> Receipt:
        """Upload a dictionary, or what else `json.dumps` takes, as JSON.

        Parameters
        ----------
        object_name : str
        ddict : dict
            Or a list, text, number...
        acl : str, optional
            A canned ACL.
        threads : int, optional
            Connections; None takes the configured ``threads``.
        **metadata
            User metadata; values are turned into text.

        Returns
        -------
        dict
            The boto3 response, or one in its shape.

        Raises
        ------
        TypeError
            For what JSON cannot hold.

        Examples
        --------
        >>> response = cci.upload_json('run.json', {'TR': 2.0})
        >>> cci.download_json('run.json')
        {'TR': 2.0}
        """
        advice = (
            "numpy numbers and arrays go by .item() and .tolist(), or as an array by upload_raw_array or dict2cloud"
        )
        with self._storable_as(object_name, "JSON", advice):
            text = json.dumps(ddict)
        return self.upload_object(object_name, text, acl, threads, **metadata)

    def download_json(self, object_name: str, threads: int | None = 1) -> Any:
        """Download a JSON object.

        Parameters
        ----------
        object_name : str
        threads : int, optional
            Connections; None takes the configured ``threads``.

        Returns
        -------
        dict
            Or what else the JSON holds.

        Raises
        ------
        ObjectNotFound
        CorruptObject
            If it is no JSON.
        """
        with self._readable_as(object_name, "JSON"):
            return json.loads(self.download_object(object_name, threads))

    def upload_pickle(
        self,
        object_name: str,
        data_object: Any,
        acl: str | None = None,
        threads: int | None = None,
        **metadata: Any,
    ) -> Receipt:
        """Upload what `pickle.dumps` takes.

        Parameters
        ----------
        object_name : str
        data_object : object
        acl : str, optional
            A canned ACL.
        threads : int, optional
            Connections; the configured ``threads`` by default.
        **metadata
            User metadata; values are turned into text.

        Returns
        -------
        dict
            The boto3 response, or one in its shape.

        Raises
        ------
        TypeError, AttributeError, pickle.PicklingError
            For what cannot be pickled: a lambda, an open file.

        See Also
        --------
        download_pickle : Tells what speaks against pickles.
        """
        advice = "functions and classes have to be those of a module, and open files, locks and connections stay out"
        with self._storable_as(object_name, "pickle", advice):
            body = pickle.dumps(data_object)
        return self.upload_object(object_name, body, acl, threads, **metadata)

    def download_pickle(self, object_name: str, threads: int | None = None) -> Any:
        """Download a pickled object.

        .. warning:: Reading a pickle runs what its writer put into it, with all that you may do: it can read and remove
           your files, and send your keys away. Anybody who may write to the bucket could have written it. Read only
           what people that you trust wrote, from a server that you trust; for arrays and dictionaries there are
           `download_raw_array` and `download_json`. ``allow_pickle = False`` in the configuration forbids it.

        Parameters
        ----------
        object_name : str
        threads : int, optional
            Connections; the configured ``threads`` by default.

        Returns
        -------
        object
            What was pickled.

        Raises
        ------
        ObjectNotFound
        PickleForbidden
            If the configuration does not allow it; nothing is downloaded then.
        CorruptObject
            If it is no pickle.
        """
        if not self._options.flag("basic", "allow_pickle"):
            where = self.backend_interface.describe(keys.clean_object(object_name))
            raise PickleForbidden(
                f"{where}: the configuration forbids to read pickles ([basic] allow_pickle = False): reading one runs "
                "what its writer put into it"
            )
        with self._readable_as(object_name, "a pickle"):
            return pickle.loads(self.download_object(object_name, threads))  # noqa: S301 - that is the call's purpose


def _is_typed(file: Any) -> bool:
    """Whether it is a terminal, read through a buffer: such a read is short only where the input ended."""
    return isinstance(file, (io.BufferedReader, io.TextIOWrapper)) and file.isatty()
