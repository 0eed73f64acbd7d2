"""Real object stores on free ports of 127.0.0.1, for the tests.

Each is a context manager that starts a server, waits until it serves, and stops it::

    with seaweedfs() as server:
        boto3.client("s3", endpoint_url=server.endpoint, ...)

``python -m servers NAME`` (in ``tests/``) runs one by hand until its input ends. A whole test session shares
one `Pool`: see there how it is kept from leaving processes behind.
"""

from __future__ import annotations

from servers._ceph import ceph
from servers._moto import moto
from servers._pool import Pool, ServerPool, SharedPool
from servers._process import ProgramMissing, Server
from servers._seaweedfs import seaweedfs
from servers._swift import swift

__all__ = [
    "LAUNCHERS",
    "Pool",
    "ProgramMissing",
    "Server",
    "ServerPool",
    "SharedPool",
    "ceph",
    "moto",
    "seaweedfs",
    "swift",
]

#: What can be started, by name.
LAUNCHERS = {"ceph": ceph, "moto": moto, "seaweedfs": seaweedfs, "swift": swift}
