"""Faults by chance, for a `RecordingProxy` before an S3 server: mixed, and the same for the same seed."""

from __future__ import annotations

import random
import threading
from collections import Counter

from recorder import Fault, Request, Response

#: What can happen to a request, and how often beside the others.
KINDS = {"drop": 3, "lose": 3, "reset": 3, "truncate": 3, "500": 2, "503": 2, "200": 2, "delay": 1}
#: Operations that begin to answer before they are done, so that they may fail after a status 200.
_LATE = {"POST uploadId", "POST delete", "PUT copy"}
#: What breaks nothing where the answer is shorter.
_PERHAPS = {"reset", "truncate", "delay"}
_MARKS = ("uploads", "uploadId", "partNumber", "delete", "list-type", "versions")


def operation(request: Request) -> str:
    """What a request is for: its method, and what tells it from others of the same method."""
    marks = [mark for mark in _MARKS if mark in request.query]
    copy = ["copy"] if "x-amz-copy-source" in request.headers else []
    return " ".join([request.method, *marks, *copy])


def failure(status: int, code: str = "SlowDown") -> Response:
    """An error as S3 sends it."""
    body = f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>by chance</Message></Error>".encode()
    return Response(status, body, {"Content-Type": "application/xml", "Retry-After": "0"})


class Weather:
    """A hook: breaks this share of the requests.

    What becomes of a request depends on the seed, on what it asks for, and on how often that was asked before: not on
    the order in which threads come.

    Parameters
    ----------
    seed : int
    share : float

    Attributes
    ----------
    broken : collections.Counter
        How many requests were broken, by kind.
    hit : set of str
        The objects of those that surely failed.
    lost_uploads : int
        How many uploads were begun whose id nobody heard: they stay open.
    """

    def __init__(self, seed: int, share: float) -> None:
        self._seed = seed
        self._share = share
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.hit: set[str] = set()
        self.lost_uploads = 0

    def __call__(self, request: Request) -> Fault | Response | None:
        kind, chance = self._draw(request)
        if kind is None:
            return None
        if kind in {"500", "503"}:
            return failure(int(kind))
        if kind == "200":
            return failure(200, "InternalError")
        if kind in {"reset", "truncate"}:
            return Fault(kind, int(10 ** chance.uniform(0, 5.5)) - 1)  # type: ignore[arg-type] # of the two
        return Fault(kind, 0.02)  # type: ignore[arg-type] # of the three

    def _draw(self, request: Request) -> tuple[str | None, random.Random]:
        what = operation(request)
        path = request.path.partition("/")[2].partition("/")[2]  # without the bucket
        asked = f"{what} {path} {request.headers['Range']} {request.query.get('partNumber')}"
        with self._lock:
            self._asked[asked] += 1
            chance = random.Random(f"{self._seed} {asked} {self._asked[asked]}")
            if chance.random() >= self._share:
                return None, chance
            kinds = {kind: weight for kind, weight in KINDS.items() if kind != "200" or what in _LATE}
            kind = chance.choices([*kinds], [*kinds.values()])[0]
            self.broken[kind] += 1
            if kind not in _PERHAPS:
                self.hit.add(path)
            # a reset or an early end of the answer may be the loss of it
            self.lost_uploads += what == "POST uploads" and kind in {"lose", "reset", "truncate"}
        return kind, chance
