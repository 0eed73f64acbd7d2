"""Object names: pure functions."""

from __future__ import annotations

import fnmatch
import pathlib
import posixpath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cottoncandy import keys
from cottoncandy.errors import InvalidObjectName

# what names are made of, with more of what is hard than chance would give
text = st.text(st.one_of(st.sampled_from("//..ab*?[]!% +\\~"), st.characters(exclude_categories=["Cs"])), max_size=12)
components = st.text(st.sampled_from("ab.*[ %+\\ü~-"), min_size=1, max_size=4).filter(
    lambda part: part not in {".", ".."}
)
names = st.lists(components, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", ""),
        ("/", ""),
        ("//", ""),
        ("a", "a"),
        ("/a", "a"),
        ("///a//b///c", "a/b/c"),
        ("a/", "a/"),
        ("a//", "a/"),
        ("/sub01//bold.arr", "sub01/bold.arr"),
        ("a%20b", "a%20b"),
        ("a b", "a b"),
        ("a+b", "a+b"),
        ("%41", "%41"),
        ("a\\b", "a\\b"),
        (" a ", " a "),
        ("...", "..."),
        (".a/..b/c..", ".a/..b/c.."),
        ("e\u0301", "e\u0301"),
        ("ü/😀", "ü/😀"),
        ("sub*/run?[12]", "sub*/run?[12]"),
    ],
)
def test_clean(typed: str, meant: str) -> None:
    assert keys.clean(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [".", "..", "../x", "a/../b", "a/..", "./a", "a/.", "/..", "//../x", "a//..//b", "nul\0", "\ud800", "a/\udcff"],
)
def test_clean_refuses_what_leaves_the_container_or_cannot_be_stored(typed: str) -> None:
    with pytest.raises(InvalidObjectName) as caught:
        keys.clean(typed)
    assert isinstance(caught.value, ValueError)
    str(caught.value).encode()  # the message can be printed, whatever the name


@pytest.mark.parametrize("typed", [None, 1, b"a", pathlib.PurePosixPath("a"), ["a"]])
def test_clean_refuses_what_is_no_text(typed: object) -> None:
    with pytest.raises(InvalidObjectName, match=type(typed).__name__):
        keys.clean(typed)  # type: ignore[arg-type]


def test_clean_takes_a_str_of_numpy() -> None:
    assert keys.clean(np.array(["/a//b"])[0]) == "a/b"


@given(text)
def test_clean_gives_a_name_that_is_clean(name: str) -> None:
    try:
        cleaned = keys.clean(name)
    except InvalidObjectName:
        return
    assert keys.clean(cleaned) == cleaned
    assert not cleaned.startswith("/")
    assert "//" not in cleaned
    assert {".", ".."}.isdisjoint(cleaned.split("/"))
    # a join with the root does not leave it, whoever resolves it
    assert posixpath.normpath(f"/base/{cleaned}").startswith("/base")
    # nothing but separators is taken away
    assert cleaned.replace("/", "") == name.replace("/", "")


@given(names)
def test_clean_leaves_a_clean_name_alone(name: str) -> None:
    assert keys.clean(name) == name


def test_clean_object_needs_a_name() -> None:
    assert keys.clean_object("/a") == "a"
    for nothing in ("", "/", "///"):
        with pytest.raises(InvalidObjectName, match="names no object"):
            keys.clean_object(nothing)


@pytest.mark.parametrize(
    ("parts", "joined"),
    [
        (("a", "b"), "a/b"),
        (("a/", "b"), "a/b"),
        (("a", "/b"), "a/b"),
        (("a//", "//b"), "a/b"),
        (("", "a"), "a"),
        (("", "", "a"), "a"),
        (("a", ""), "a/"),
        (("a", "", ""), "a/"),
        (("a", "", "b"), "a/b"),
        (("", ""), ""),
        (("a",), "a"),
        (("/", "a"), "/a"),
        (("sub01", "/run1/", "bold"), "sub01/run1/bold"),
    ],
)
def test_join(parts: tuple[str, ...], joined: str) -> None:
    assert keys.join(*parts) == joined


@given(st.lists(names, min_size=1, max_size=4))
def test_join_is_that_of_posixpath_on_clean_parts(parts: list[str]) -> None:
    assert keys.join(*parts) == posixpath.join(*parts)


@given(st.lists(names.filter(bool), min_size=1, max_size=4))
def test_join_then_split(parts: list[str]) -> None:
    joined = keys.join(*parts)
    assert joined.split("/") == [component for part in parts for component in part.split("/")]
    assert keys.join(keys.parent(joined), keys.basename(joined)) == joined


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("exp", "exp/"), ("exp/", "exp/"), ("/exp//", "exp/"), ("a/b", "a/b/"), ("", ""), ("/", ""), ("//", "")],
)
def test_a_directory_ends_where_its_siblings_begin(name: str, prefix: str) -> None:
    assert keys.as_directory(name) == prefix
    assert not "exp2/a".startswith(keys.as_directory("exp"))


@pytest.mark.parametrize(
    ("name", "parent", "basename"),
    [("a/b/c", "a/b", "c"), ("a/b/", "a", "b"), ("a", "", "a"), ("", "", ""), ("a/", "", "a")],
)
def test_parent_and_basename(name: str, parent: str, basename: str) -> None:
    assert (keys.parent(name), keys.basename(name)) == (parent, basename)


@pytest.mark.parametrize(
    ("pattern", "prefix", "magic"),
    [
        ("sub01/run*/bold", "sub01/run", True),
        ("sub0?", "sub0", True),
        ("sub[12]", "sub", True),
        ("*", "", True),
        ("sub01/bold", "sub01/bold", False),
        ("", "", False),
        ("a]b!{c}", "a]b!{c}", False),
    ],
)
def test_the_literal_part_of_a_pattern(pattern: str, prefix: str, *, magic: bool) -> None:
    assert keys.literal_prefix(pattern) == prefix
    assert keys.has_magic(pattern) is magic


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("a/*", "a/"),
        ("*", ""),
        ("a/b/*", "a/b/"),
        ("a*", "a*"),
        ("a/**", "a/**"),
        ("sub*/*", "sub*/*"),
        ("a/?", "a/?"),
        ("a/", "a/"),
        ("", ""),
    ],
)
def test_a_trailing_star_alone_is_no_pattern(pattern: str, meant: str) -> None:
    assert keys.without_trivial_magic(pattern) == meant


@given(text, text)
def test_matching_is_that_of_fnmatch(pattern: str, name: str) -> None:
    assert keys.matcher(pattern)(name) == fnmatch.fnmatchcase(name, pattern)


@given(names, st.lists(st.sampled_from(["*", "?", "[ab]", "[!a]", "/", "a", "b"]), max_size=4).map("".join), names)
def test_every_match_starts_with_the_literal_prefix(head: str, tail: str, name: str) -> None:
    pattern = head + tail
    for candidate in (name, head + name, pattern.replace("*", name).replace("?", "x").replace("[ab]", "a")):
        if keys.matcher(pattern)(candidate):
            assert candidate.startswith(keys.literal_prefix(pattern))


def test_case_matters_and_a_star_crosses_directories() -> None:
    assert keys.matcher("sub*/bold")("sub01/run1/bold")
    assert not keys.matcher("SUB*")("sub01")
    assert keys.matcher("*")("line\nfeed")
