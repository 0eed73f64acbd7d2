"""A request of the lean way, before it is signed."""

from __future__ import annotations

from dataclasses import dataclass

from cottoncandy.backends.s3.lean.operations import Operation
from cottoncandy.backends.s3.lean.target import Target

#: The header that asks for an object's checksum.
CHECKSUM_MODE = "x-amz-checksum-mode"


@dataclass(eq=False, slots=True)
class Request:
    """A request that can be signed and sent, as often as it takes.

    Attributes
    ----------
    operation : Operation
    target : Target
    path, query : str
        Percent-encoded; the query is sorted.
    headers : dict
        All that are signed.
    body : memoryview
    payload : str
        What the signature says of the body.
    """

    operation: Operation
    target: Target
    path: str
    query: str
    headers: dict[str, str]
    body: memoryview
    payload: str

    @property
    def url(self) -> str:
        """For errors."""
        return self.target.url + self.path[len(self.target.path) :]

    @property
    def asks_for_checksum(self) -> bool:
        """Whether the object's checksum is to come with it."""
        return self.headers.get(CHECKSUM_MODE, "").upper() == "ENABLED"
