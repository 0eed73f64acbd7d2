"""A small S3 server on 127.0.0.1, fast enough not to be what is measured.

Bodies go from the socket into files in memory and back by ``sendfile``; worker processes share one listening socket.
It keeps what the protocol says about ranges, conditions, listings and multipart uploads, and looks at no signature and
no checksum. ``python -m benchmarks.server`` runs it by hand, until its input ends.
"""

from __future__ import annotations

from benchmarks.server.running import LoopbackServer, running

__all__ = ["LoopbackServer", "running"]
