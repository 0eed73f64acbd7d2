"""What a server's certificate was refused for, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cottoncandy.extras import loaded_kinds

__all__ = ["AUTHORITIES", "Refusal", "refused"]

#: Where the authorities to trust are named.
AUTHORITIES = "verify=, --ca-bundle or AWS_CA_BUNDLE"

# X509_V_ERR_*: https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/
_OF_ANOTHER_HOST = {62, 64}  # a name, an address
_OF_ANOTHER_TIME = {9, 10}  # not yet, no longer

_OPENSSL = (("ssl", "SSLCertVerificationError"),)
#: urllib3 looks at the names itself.
_URLLIB3 = (("urllib3.util.ssl_match_hostname", "CertificateError"),)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a certificate is not trusted.

    Attributes
    ----------
    fault : str
        As the library says that looked at it.
    code : int
        OpenSSL's.
    """

    fault: str
    code: int

    @property
    def advice(self) -> str:
        """What to do; no other authority makes the certificate one of this host, or of today."""
        if self.code in _OF_ANOTHER_HOST:
            return "the host in endpoint_url is none that the certificate is for: write one that it names"
        if self.code in _OF_ANOTHER_TIME:
            return "who runs the server has to renew it; or this machine's clock is wrong"
        return f"name the file of the authority that signed it: {AUTHORITIES}"


def refused(error: BaseException) -> Refusal | None:
    """The refusal of a certificate that an error comes from, if that is what it comes from."""
    by_openssl, by_urllib3 = loaded_kinds(_OPENSSL), loaded_kinds(_URLLIB3)
    for one in _origins(error):
        if isinstance(one, by_openssl):
            fault = str(getattr(one, "verify_message", "") or one)
            return Refusal(fault.rstrip("."), getattr(one, "verify_code", 0))
        if isinstance(one, by_urllib3):
            return Refusal(str(one), min(_OF_ANOTHER_HOST))
    return None


def _origins(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it comes from; botocore's and urllib3's hold them, chained or not."""
    seen: set[int] = set()
    ahead: list[object] = [error]
    while ahead:
        one = ahead.pop()
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            ahead += [one.__context__, one.__cause__, getattr(one, "kwargs", {}).get("error"), *one.args]
