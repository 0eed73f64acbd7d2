"""Buckets, and what is in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from cottoncandy import keys
from cottoncandy.backends.base import ObjectInfo, Receipt
from cottoncandy.errors import AccessDenied, ConfigurationError, ContainerNotFound, NotSupported
from cottoncandy.interfaces.basic.core import InterfaceCore
from cottoncandy.interfaces.basic.listing import ALL_OF_A_MILLION, ALL_OF_A_THOUSAND, describe_object, limited
from cottoncandy.trees import shown


class Buckets(InterfaceCore):
    """The containers of a store."""

    def exists_bucket(self, bucket_name: str) -> bool:
        """Whether the bucket exists."""
        return self.backend_interface.container_exists(bucket_name)

    def create_bucket(self, bucket_name: str, acl: str | None = None) -> Receipt:
        """Make a bucket. It becomes the current one where there was none.

        Parameters
        ----------
        bucket_name : str
        acl : str, optional
            A canned ACL; the configured ``default_acl`` by default, which Amazon is not sent.

        Returns
        -------
        dict
            The boto3 response.

        Raises
        ------
        ContainerExists
            If the name belongs to somebody else.
        """
        prefix = self._options.text("basic", "mandatory_bucket_prefix")
        if prefix and not bucket_name.startswith(prefix):
            raise ConfigurationError(
                f"bucket name {bucket_name!r} must begin with {prefix!r} (mandatory_bucket_prefix)"
            )
        receipt = self.backend_interface.create_container(bucket_name, acl=acl)
        if self.bucket_name is None:
            self.backend_interface = self.backend_interface.at(bucket_name)
        return receipt

    def rm_bucket(self, bucket_name: str) -> Receipt:
        """Remove an empty bucket.

        Raises
        ------
        ContainerNotEmpty
            If it holds objects: remove them first, ``rm('/', recursive=True)`` in that bucket.
        ContainerNotFound
        """
        return self.backend_interface.remove_container(bucket_name)

    def set_bucket(self, bucket_name: str) -> None:
        """Use another bucket from here on.

        Raises
        ------
        ContainerNotFound
            If there is no such bucket; the current one stays.
        """
        if not self.exists_bucket(bucket_name):
            raise ContainerNotFound(f"bucket {bucket_name!r} does not exist: make it with create_bucket()")
        self.backend_interface = self.backend_interface.at(bucket_name)

    def get_bucket(self) -> Any:
        """The store's own object for the current bucket: on S3 boto3's ``Bucket``."""
        return self.backend_interface.native_container()

    def show_buckets(self) -> None:
        """Print the names of all buckets that can be seen."""
        for name in self.backend_interface.list_containers():
            print(name)  # noqa: T201 - documented to print

    def get_bucket_objects(self, **kwargs: Any) -> list[ObjectInfo]:
        """List the objects of the current bucket.

        Parameters
        ----------
        limit : int, optional
            The most objects to give; all by default.
        page_size : int, optional
            How many names the store is asked for at once.
        filter : dict, optional
            ``{'Prefix': 'exp/'}`` gives only the objects whose name begins so.

        Returns
        -------
        list of ObjectInfo
            With boto3's attribute names: ``key``, ``size``, ``last_modified``, ``e_tag``.
        """
        return list(self._objects(**kwargs))

    def get_objects(self, **kwargs: Any) -> list[ObjectInfo]:
        """List the objects of the container, as `get_bucket_objects` does."""
        return self.get_bucket_objects(**kwargs)

    def _objects(
        self,
        limit: int | None = None,
        page_size: int | None = None,
        filter: Mapping[str, str] | None = None,  # noqa: A002 - boto3's name
        **unknown: Any,
    ) -> Iterator[ObjectInfo]:
        if unknown:
            raise TypeError(f"unknown arguments: {', '.join(sorted(unknown))}; limit, page_size and filter are known")
        prefix = (filter or {}).get("Prefix", "")
        prefix = "" if prefix == keys.SEPARATOR else prefix
        return limited(shown(self._listed(prefix, page_size), prefix), limit)

    def show_objects(self, limit: int | None = ALL_OF_A_THOUSAND, page_size: int | None = 1000) -> None:
        """Print the objects of the current bucket.

        Parameters
        ----------
        limit : int
            The most objects to print; all by default.
        page_size : int
            How many names the store is asked for at once.
        """
        for info in self._objects(limit=limit, page_size=page_size):
            print(describe_object(info))  # noqa: T201 - documented to print

    def get_bucket_size(self, limit: int | None = ALL_OF_A_MILLION, page_size: int | None = 10**6) -> int:
        """Count the bytes of all objects in the current bucket.

        Parameters
        ----------
        limit : int
            The most objects to count; all by default.
        page_size : int
            How many names the store is asked for at once.
        """
        return sum(info.size for info in limited(self._listed(page_size=page_size), limit))

    def get_size(self) -> int:
        """Count the bytes of all objects in the container."""
        return sum(info.size for info in self._listed())

    def _require_bucket(self, create: bool) -> None:
        name = self.bucket_name
        if name is None or self.backend_interface.container_exists(name):
            return
        if not create:
            raise ContainerNotFound(
                f"bucket {name!r} does not exist: check its name and the endpoint, or make it with "
                "force_bucket_creation=True"
            )
        self.create_bucket(name)

    def _print_buckets(self) -> None:
        # keys that may use one bucket often may not list them all: that is no reason to fail
        with contextlib.suppress(AccessDenied, NotSupported):
            names = self.backend_interface.list_containers()
            print("Available buckets:", *names, sep="\n")  # noqa: T201 - documented to print
        print(f"Current bucket: {self.bucket_name}")  # noqa: T201
