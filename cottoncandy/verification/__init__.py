"""Whether what is stored is still what was stored: every array of a branch is read and held to its checksum."""

from __future__ import annotations

from cottoncandy.verification.branch import verify_branch
from cottoncandy.verification.report import Damage, Unreadable, VerifyReport

__all__ = ["Damage", "Unreadable", "VerifyReport", "verify_branch"]
