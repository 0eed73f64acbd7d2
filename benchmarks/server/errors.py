"""What a request is refused with."""

from __future__ import annotations


class S3Error(Exception):
    """An answer of the protocol that is an error.

    Parameters
    ----------
    status : int
        Of HTTP.
    code : str
        As in https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
    message : str
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
