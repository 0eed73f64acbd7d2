"""URLs that carry their own signature."""

from __future__ import annotations

from botocore import UNSIGNED

from cottoncandy.backends.s3.bucket import Bucket
from cottoncandy.errors import ConfigurationError, CredentialsNotFound

#: Seconds that a signature of version 4 may hold, 7 days:
#: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
LONGEST = 7 * 24 * 3600
_OPERATIONS = {"get": "get_object", "put": "put_object"}


def presigned_url(bucket: Bucket, key: str, method: str, seconds: int) -> str:
    """Sign a request for somebody else to send; nothing is asked of the store."""
    if not 1 <= seconds <= LONGEST:
        raise ConfigurationError(f"{bucket.describe(key)}: a URL holds for 1 to {LONGEST} seconds, not {seconds}")
    if bucket.client.meta.config.signature_version is UNSIGNED:
        raise CredentialsNotFound(f"{bucket.describe(key)}: without keys no URL can be signed")
    with bucket.door(key):
        url: str = bucket.client.generate_presigned_url(
            _OPERATIONS[method], Params=bucket.source(key), ExpiresIn=seconds
        )
    return url
