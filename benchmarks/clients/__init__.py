"""What is measured: one adapter for each library, in a module that is imported only in the process that runs it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field

from benchmarks.clients.base import Client, Like
from benchmarks.place import Place

__all__ = ["CLIENTS", "LIMIT", "OURS", "Client", "ClientInfo", "Like", "make_client"]

#: What cannot be passed: sockets, and nothing on top of them.
LIMIT = "raw sockets"
OURS = "cottoncandy"


@dataclass(frozen=True)
class ClientInfo:
    """What is known of a client without importing it.

    Attributes
    ----------
    name : str
    adapter : str
        ``module:class``, below this package.
    packages : tuple of str
        The distributions that it measures: their versions are told with the results.
    packings : tuple of str
        The kinds of compression that are measured.
    arguments : tuple of int
        Of the adapter.
    lists : bool
        Whether it lists and removes.
    group : str
        Clients of one group are variants of one thing: the best of them counts.
    environment : tuple of (str, str)
        Variables of its process.
    """

    name: str
    adapter: str
    packages: tuple[str, ...] = ()
    packings: tuple[str, ...] = ()
    arguments: tuple[int, ...] = ()
    lists: bool = True
    group: str = ""
    environment: tuple[tuple[str, str], ...] = field(default=(("BOTO_DISABLE_CRT", "true"),))


_BY_HAND = ("zstd",)
_ALL = (
    *(ClientInfo(f"{LIMIT} x {n}", "raw:Raw", arguments=(n,), group=LIMIT, lists=False) for n in (1, 2, 4)),
    ClientInfo(OURS, "ours:Cottoncandy", ("cottoncandy", "boto3"), ("default", "Blosc", "Zstd", "LZ4")),
    ClientInfo("obstore", "obstore:Obstore", ("obstore",), _BY_HAND),
    ClientInfo("tensorstore", "tensorstore:Tensorstore", ("tensorstore",), _BY_HAND, lists=False),
    ClientInfo("zarr", "zarr:Zarr", ("zarr",), ("default",), lists=False),
    ClientInfo("minio", "minio:Minio", ("minio",), _BY_HAND),
    # awscrt, where it is installed, changes how boto3 signs: here it is on
    ClientInfo("boto3+crt", "boto:BotoCrt", ("boto3", "awscrt"), _BY_HAND, environment=()),
    ClientInfo("boto3", "boto:Boto", ("boto3",), _BY_HAND),
    ClientInfo("smart_open", "smart:SmartOpen", ("smart_open",), _BY_HAND, lists=False),
    ClientInfo("s3fs", "s3fs:S3FS", ("s3fs",), _BY_HAND),
)
#: All of them, by name.
CLIENTS = {info.name: info for info in _ALL}


def make_client(name: str, place: Place) -> Client:
    """Import a client and let it connect."""
    info = CLIENTS[name]
    module, _, kind = info.adapter.partition(":")
    adapter: type[Client] = getattr(importlib.import_module(f"benchmarks.clients.{module}"), kind)
    return adapter(place, *info.arguments)
