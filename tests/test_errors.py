"""The tree of errors: what is drawn is what is there, and what users catch catches it."""

from __future__ import annotations

import inspect
import pickle
from itertools import takewhile

import pytest

from cottoncandy import errors
from cottoncandy.errors import CottonCandyError

ALL = [value for _, value in inspect.getmembers(errors, inspect.isclass) if value.__module__ == errors.__name__]


def drawn() -> dict[str, tuple[str, ...]]:
    """From the picture at the top of the module: each error's parent, and the builtins that it is as well."""
    lines = [line.removeprefix("    ") for line in (errors.__doc__ or "").splitlines() if "──" in line]
    branches: dict[str, tuple[str, ...]] = {}
    at_depth = {0: "CottonCandyError"}
    for line in lines:
        picture, _, facts = line.partition("── ")
        name, *others = facts.split()
        depth = len(picture) // 4 + 1
        at_depth[depth] = name
        builtins = takewhile(lambda word: word.endswith("Error"), (word.rstrip(",") for word in others))
        branches[name] = (at_depth[depth - 1], *builtins)
    return branches


def test_every_error_is_drawn_and_exported() -> None:
    names = {error.__name__ for error in ALL}
    assert names == {*drawn(), "CottonCandyError"} == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)


@pytest.mark.parametrize("name", drawn())
def test_an_error_is_what_the_tree_says(name: str) -> None:
    assert tuple(base.__name__ for base in getattr(errors, name).__bases__) == drawn()[name]


@pytest.mark.parametrize("error", ALL)
def test_an_error_says_what_it_is_told_and_pickles(error: type[CottonCandyError]) -> None:
    raised = error("object 'a' in bucket 'b': do this")
    assert str(raised) == "object 'a' in bucket 'b': do this"
    copy = pickle.loads(pickle.dumps(raised))
    assert (type(copy), str(copy)) == (error, str(raised))
    assert inspect.getdoc(error)


def test_the_builtin_errors_catch_them() -> None:
    for error, builtin in [
        (errors.ObjectNotFound, FileNotFoundError),
        (errors.ContainerNotFound, FileNotFoundError),
        (errors.ObjectExists, FileExistsError),
        (errors.AccessDenied, PermissionError),
        (errors.TransientError, ConnectionError),
        (errors.ServiceError, OSError),
        (errors.UnsupportedArray, TypeError),
        (errors.UnsupportedArray, ValueError),
        (errors.UnknownCodec, ValueError),
        (errors.ChecksumMismatch, ValueError),
        (errors.NotSupported, NotImplementedError),
    ]:
        with pytest.raises(builtin):
            raise error("x")
