"""How transfers are cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cottoncandy.backends.base import MIB
from cottoncandy.progress import QUIET, Progress

if TYPE_CHECKING:
    from cottoncandy.config import Options


# Bytes: what lies behind them is worth a connection of its own.
_OPENING = 16 * MIB
# Bytes: a part of less, by a slip of the pen in the configuration, would make millions of requests.
_LEAST_PART = 1 * MIB


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """How transfers are cut. Sizes are in bytes.

    Attributes
    ----------
    threads : int
        Connections of one call that does not name its own number.
    most_threads : int
        Up to so many, where such a call moves many small objects and mostly waits.
    upload_threshold, download_threshold : int
        Larger objects move in parts.
    upload_part, download_part : int
        The size of a part.
    checksum : bool
        Whether a checksum of an array's bytes goes with it.
    progress : Progress
        Whether long calls show how far they are; not by default.
    """

    threads: int = 4
    most_threads: int = 128
    upload_threshold: int = 32 * MIB
    upload_part: int = 32 * MIB
    download_threshold: int = 64 * MIB
    download_part: int = 32 * MIB
    checksum: bool = True
    progress: Progress = QUIET

    @property
    def opening(self) -> int:
        """What the opening request brings where all of an object is wanted: the rest of a large one comes meanwhile."""
        return min(self.download_threshold, _OPENING)

    def opening_of(self, size: int) -> int:
        """What it brings of an object of so many bytes, as a listing told. S3 has no range of an empty one."""
        return min(size, self.opening)

    @classmethod
    def from_options(cls, options: Options) -> TransferSettings:
        """Take the settings from the configuration."""
        return cls(
            threads=options.integer("basic", "threads"),
            most_threads=options.integer("basic", "most_threads"),
            upload_threshold=options.megabytes("upload_settings", "mpu_use_threshold"),
            upload_part=max(_LEAST_PART, options.megabytes("upload_settings", "mpu_chunksize")),
            download_threshold=options.megabytes("download_settings", "mpd_use_threshold"),
            download_part=max(_LEAST_PART, options.megabytes("download_settings", "mpd_chunksize")),
            checksum=options.flag("integrity", "checksum"),
            progress=Progress(options.choice("progress", "show")),
        )
