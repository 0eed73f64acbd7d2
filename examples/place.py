"""Where the examples keep what they store: a directory, or a bucket of any S3."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cottoncandy as cc
from cottoncandy.errors import CottonCandyError
from cottoncandy.interfaces import DefaultInterface


class Arguments(argparse.ArgumentParser):
    """The options that all examples have.

    Parameters
    ----------
    name : str
        Of the example, for the directory that it uses by default.
    description : str
    """

    def __init__(self, name: str, description: str | None) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        directory = Path(tempfile.gettempdir(), f"cottoncandy-{name}-{user()}")
        self.add_argument("--store", metavar="DIR", default=str(directory), help="the directory (default: %(default)s)")
        self.add_argument("--bucket", help="a bucket instead of the directory; made where there is none")
        self.add_argument(
            "--endpoint-url", metavar="URL", help="of the S3 service that has the bucket (default: Amazon)"
        )

    def read(self) -> argparse.Namespace:
        """The arguments of the command."""
        arguments = self.parse_args()
        if arguments.endpoint_url and not arguments.bucket:
            self.error("--endpoint-url needs --bucket")
        return arguments


def user() -> str:
    """Who runs this: others have directories of their own on the same machine."""
    return str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()


def open_store(arguments: argparse.Namespace) -> DefaultInterface:
    """The interface: from here on it makes no difference which store it is."""
    if arguments.bucket is None:
        return cc.get_interface(arguments.store, backend="local", verbose=False)
    return cc.get_interface(
        arguments.bucket, endpoint_url=arguments.endpoint_url, force_bucket_creation=True, verbose=False
    )


@contextmanager
def ending_in_words() -> Iterator[None]:
    """End with what the library says is wrong, as that no keys were found: a traceback would hide it."""
    try:
        yield
    except CottonCandyError as error:
        sys.exit(str(error))
