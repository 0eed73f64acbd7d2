"""botocore's errors, which are loaded when the first one is asked for: as long as nothing fails, that is never.

botocore's errors are a thousand objects with what they bring along, and Python's garbage collector walks through all
of them again and again, so that what runs next finds its caches empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.exceptions import *  # noqa: F403 - what they are called there
else:

    def __getattr__(name: str) -> Any:
        from botocore import exceptions

        found = globals()[name] = getattr(exceptions, name)
        return found
