"""How to go on reading where an answer broke."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from cottoncandy import progress
from cottoncandy.errors import TransientError

if TYPE_CHECKING:
    from cottoncandy.backends.base import ObjectReader
    from cottoncandy.retry import Retries, RetryPolicy

__all__ = ["read_resuming"]


def read_resuming(
    policy: RetryPolicy,
    view: memoryview,
    open_at: Callable[[int], ObjectReader],
    where: str,
    reader: ObjectReader | None = None,
) -> None:
    """Read into all of a view; where an answer breaks, the next one goes on from that byte.

    Parameters
    ----------
    policy : RetryPolicy
        How often an answer may break with little or nothing between. To ask again where an answer does not even begin
        is the backend's own affair.
    view : memoryview
    open_at : callable
        ``open_at(count)`` asks for what comes behind the first ``count`` bytes of the view, of the same version.
    where : str
        How the log and errors name the object.
    reader : ObjectReader, optional
        An answer that is there already.

    Raises
    ------
    TransientError
        When it broke too often with little or nothing between.
    """
    retries: Retries | None = None
    done, count = 0, progress.current()
    step = len(view) if count is None else progress.STEP
    while True:
        answer = reader or open_at(done)
        try:
            with answer:
                while done < len(view):
                    arrived = answer.readinto(view[done : done + step]) or _ended_early(where)
                    done += arrived
                    if retries is not None:
                        retries.progressed(arrived)
                    if count is not None:
                        count.add(arrived)
        except TransientError as error:
            retries = retries or policy.start(where)
            retries.wait(error, reason=f"broke after {done} of {len(view)} bytes")
            reader = None
        else:
            return


def _ended_early(where: str) -> NoReturn:
    raise TransientError(f"{where}: the answer ended early")
