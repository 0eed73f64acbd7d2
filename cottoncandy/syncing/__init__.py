"""Two trees made alike: which names take part, what differs, and how it moves."""

from __future__ import annotations

from cottoncandy.syncing.failures import Failures
from cottoncandy.syncing.pair import Pair
from cottoncandy.syncing.plan import Plan, SyncReport, selection, without_place
from cottoncandy.syncing.trees import Branch, Disk
from cottoncandy.syncing.ways import pair_of

__all__ = ["Branch", "Disk", "Failures", "Pair", "Plan", "SyncReport", "pair_of", "selection", "without_place"]
