"""Access to a container of a store behind the library's back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping


class Raw(ABC):
    """A container as its store shows it, without a line of our own."""

    @abstractmethod
    def put(self, key: str, body: bytes, metadata: Mapping[str, str] = {}) -> None: ...

    @abstractmethod
    def get(self, key: str) -> tuple[bytes, dict[str, str]]:
        """The bytes and the metadata; KeyError where there is no such object."""

    @abstractmethod
    def keys(self, prefix: str = "") -> list[str]:
        """Sorted by their UTF-8 bytes."""

    def bodies(self, prefix: str) -> dict[str, bytes]:
        """What is below a prefix, by the names there."""
        return {key.removeprefix(prefix): self.get(key)[0] for key in self.keys(prefix)}

    @abstractmethod
    def delete(self, key: str) -> None: ...

    @abstractmethod
    def leftovers(self) -> list[str]:
        """What no finished call leaves: open multipart uploads, metadata without an object, empty directories."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the container with all that is in it, if it is still there."""
