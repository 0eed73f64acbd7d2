"""Requests that are answered later, on a store that answers at once: what a server has done, and when, is chance's."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from cottoncandy.backends.base import WriteOptions
from cottoncandy.interfaces import DefaultInterface
from cottoncandy.pipelines import Begun

Result = TypeVar("Result")


class Later(Begun[Result], Generic[Result]):
    """A request that the store does when chance wants it, at the latest when its answer is read."""

    def __init__(self, function: Callable[[], Result], chance: random.Random) -> None:
        self._function = function
        self._chance = chance
        self._answer: tuple[Any, Exception | None] | None = None
        self._client, self._server = socket.socketpair()
        self._server.send(b"x")
        try:
            self.answered()
        except BaseException:  # as if the process had ended
            self.drop()
            raise

    def fileno(self) -> int:
        return self._client.fileno()

    def answered(self) -> bool:
        if self._answer is None and self._chance.random() < 0.5:
            self.do()
        return self._answer is not None

    def do(self) -> tuple[Any, Exception | None]:
        """Have it done; what came of it."""
        if self._answer is None:
            try:
                self._answer = self._function(), None
            except Exception as error:  # noqa: BLE001 - it is the answer
                self._answer = None, error
        return self._answer

    def late(self) -> Exception:
        return TimeoutError()

    def result(self) -> Result:
        result, error = self.do()
        self.drop()
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def drop(self) -> None:
        self._client.close()
        self._server.close()


def answer_later(cci: DefaultInterface, seed: int) -> None:
    """Have the interface's backend answer later, as S3 does, and keep to conditions."""
    backend: Any = cci.backend_interface
    chance = random.Random(seed)

    def begin_put(key: str, body: Any, metadata: Any, options: WriteOptions = WriteOptions()) -> Later[Any]:
        return Later(lambda: backend.put(key, body, metadata, options), chance)

    def begin_names(prefix: str) -> Later[list[str]]:
        return Later(lambda: [info.key for info in backend.list_objects(prefix)], chance)

    def begin_copy(source: str, key: str, size: int, options: WriteOptions = WriteOptions()) -> Later[Any]:
        return Later(lambda: backend.copy(source, key, options=options), chance)

    backend.answers_later = lambda of_use: True
    backend.keeps_conditions = lambda: True
    backend.begin_put, backend.begin_names, backend.begin_copy = begin_put, begin_names, begin_copy
