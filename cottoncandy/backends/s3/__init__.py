"""The S3 backend: Amazon's, and every server that speaks its protocol."""

from __future__ import annotations

from cottoncandy.backends.s3.backend import S3Backend

__all__ = ["S3Backend"]
