"""``python _moto_app.py PORT``: moto's server, which is quicker where it is S3 alone.

`moto.server` finds out for each request which of Amazon's services it is for, and looks through its own directories for
that. That is more than half of its time.
"""

from __future__ import annotations

import sys

from moto.server import MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple


class QuietHandler(MotoRequestHandler):
    """Its log would hold a line for each request."""

    def log_request(self, code: object = "-", size: object = "-") -> None:
        pass


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), create_backend_app("s3"), threaded=True, request_handler=QuietHandler)
