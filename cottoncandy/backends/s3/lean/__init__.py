"""A lean wire under the S3 backend: boto3's hot methods without boto3's price.

A call of boto3 costs two to three milliseconds of the interpreter's time, and hashes and copies what it moves. Here a
request is signed and sent in a tenth of that, over connections of our own, and bodies go between the socket and the
caller's memory. Arguments, responses and errors are boto3's, and what is not served exactly so goes to boto3.

::

    client        LeanClient: boto3's methods, and which way a call goes; PlainClient: without botocore
      exchange    a request is built, signed, sent, and sent again where that may help
        wiring        what the botocore client knows: endpoints, credentials, timeouts, TLS, handlers
        plain         the same where nothing but an endpoint and keys is configured, without botocore
          target        where requests go
        operations    arguments to requests and headers to responses, from botocore's model
          model         the little of it that the library itself needs
        documents     XML to responses
        checksums     as the configuration asks for them
        signing       Signature Version 4
        bodies        of answers
          answers       their heads
            connections   sockets, and the pool
        failures      what goes wrong, in botocore's errors
      listing     pages of a listing
"""

from __future__ import annotations

from cottoncandy.backends.s3.lean.client import LeanClient, PlainClient
from cottoncandy.backends.s3.lean.documents import LOST, parse_time, readable
from cottoncandy.backends.s3.lean.failures import EXPLOSIVE, may_explode
from cottoncandy.backends.s3.lean.model import knows
from cottoncandy.backends.s3.lean.operations import parse_expires
from cottoncandy.backends.s3.lean.plain import FixedKeys, Plainness, find_plainness

__all__ = [
    "EXPLOSIVE",
    "LOST",
    "FixedKeys",
    "LeanClient",
    "PlainClient",
    "Plainness",
    "find_plainness",
    "knows",
    "may_explode",
    "parse_expires",
    "parse_time",
    "readable",
]
