"""What a check found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``cottoncandy doctor``.

    Attributes
    ----------
    check : str
        What was looked at.
    level : str
        ``'ok'``, ``'warn'`` or ``'fail'``.
    said : str
        What was found.
    advice : str
        What to change; ``''`` where nothing is to be.
    """

    check: str
    level: str
    said: str
    advice: str = ""


def ok(check: str, said: str) -> Finding:
    """A finding that all is well."""
    return Finding(check, OK, said)


def warn(check: str, said: str, advice: str = "") -> Finding:
    """A finding that something is slower, or less safe, than it could be."""
    return Finding(check, WARN, said, advice)


def fail(check: str, said: str, advice: str = "") -> Finding:
    """A finding that nothing will work as it is."""
    return Finding(check, FAIL, said, advice)
