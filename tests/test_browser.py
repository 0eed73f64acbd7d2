"""The browser: attributes, reprs, what it costs to look, and a real IPython shell."""

from __future__ import annotations

import copy
import html
import pickle
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorder import RecordingProxy, Request, Response
from samples import assert_same
from stores import Recorded, Store
from test_trees import assert_same_tree

import cottoncandy
from cottoncandy.browser import S3HDF5, BrowserObject, S3Directory, S3FSLike
from cottoncandy.browser.names import guess_name, identifiers
from cottoncandy.errors import NotAnArray, ObjectNotFound

TREE = {"bold": np.arange(6.0).reshape(2, 3), "anat": {"mask": np.ones(4, dtype="?"), "t1": np.zeros((2, 2, 2))}}


def _fill(store: Store) -> Any:
    cci = store.interface()
    cci.dict2cloud("exp/sub01.grp", TREE, verbose=False)
    cci.upload_raw_array("exp/big.arr", np.zeros(131072), compression=False)
    cci.upload_json("exp/notes.json", {"slept": "well"})
    cci.upload_raw_array("01sub/a-b.arr", np.arange(3))
    return cci


def attributes(node: Any) -> set[str]:
    """What completion offers of a node that is the store's, not Python's."""
    return {name for name in dir(node) if not name.startswith("_")} - set(dir(type(node)))


# ---------------------------------------------------------------------- walking
def test_walk_by_attributes(store: Store) -> None:
    cci = _fill(store)
    browser = cci.get_browser()
    assert isinstance(browser, BrowserObject)
    assert isinstance(browser, S3FSLike)
    assert attributes(browser) == {"exp", "NUM_01sub"}
    assert attributes(browser.exp) == {"sub01_DOT_grp", "big_DOT_arr", "notes_DOT_json"}
    assert attributes(browser.NUM_01sub) == {"a_b_DOT_arr"}
    group = browser.exp.sub01_DOT_grp
    assert isinstance(group, S3HDF5)
    assert attributes(group) == {"bold", "anat"}
    assert isinstance(browser.exp, S3Directory)
    assert group._fullpath == "exp/sub01.grp"
    assert_same(group.bold.load(), TREE["bold"])
    assert_same(group.anat.t1.load(), TREE["anat"]["t1"])
    assert_same(browser.NUM_01sub.a_b_DOT_arr.load(), np.arange(3))


def test_listings_of_a_node(store: Store) -> None:
    browser = _fill(store).get_browser()
    assert sorted(browser._ls()) == ["01sub", "exp"]
    assert sorted(browser.exp._ls()) == ["exp/big.arr", "exp/notes.json", "exp/sub01.grp"]
    assert browser.exp._glob() == [
        *("exp/big.arr", "exp/notes.json", "exp/sub01.grp/anat/mask", "exp/sub01.grp/anat/t1", "exp/sub01.grp/bold"),
    ]
    assert browser.exp._glob("*mask") == ["exp/sub01.grp/anat/mask"]
    assert browser._glob("01*") == ["01sub/a-b.arr"]


def test_groups(store: Store) -> None:
    group = _fill(store).get_browser().exp.sub01_DOT_grp
    assert sorted(group.keys()) == ["anat", "bold"]
    assert sorted(group.anat.keys()) == ["mask", "t1"]
    assert_same(group.load("bold"), TREE["bold"])
    assert_same(group.load("anat/mask"), TREE["anat"]["mask"])
    assert_same_tree(group.load("anat"), TREE["anat"])
    assert_same_tree(group.load(), TREE)
    with pytest.raises(FileNotFoundError, match="nothing"):
        group.load("nothing")


@pytest.mark.stores("local", "moto")
def test_a_number_is_no_name_of_a_group(store: Store) -> None:
    group = _fill(store).get_browser().exp.sub01_DOT_grp
    assert group.get(0, "none") == "none"
    assert group.get(0) is None
    for index in (0, slice(0, 2), None):
        with pytest.raises(KeyError, match="names are text"):
            group[index]
    assert group.bold.get(0).shape == TREE["bold"].shape[1:]
    with pytest.raises(ObjectNotFound, match="does not exist"):
        store.interface().get_browser().exp.never[0]


@pytest.mark.stores("local", "moto")
def test_names_typed_in_full(store: Store) -> None:
    """Scripts write them without a listing before, and notebooks before the object is there."""
    cci = _fill(store)
    assert_same(cci.get_browser().exp.sub01_DOT_grp.anat.mask.load(), TREE["anat"]["mask"])
    assert_same(cci.get_browser().NUM_01sub.a_b_DOT_arr.load(), np.arange(3))
    browser = cci.get_browser()
    attributes(browser.exp)
    cci.upload_raw_array("exp/late.grp/new_one", np.arange(2))
    assert_same(browser.exp.late_DOT_grp.new_one.load(), np.arange(2))
    with pytest.raises(ObjectNotFound, match=r"exp/never\.grp"):
        browser.exp.never_DOT_grp.load()
    with pytest.raises(ObjectNotFound, match=r"exp/never\.arr"):
        browser.exp.never_DOT_arr.load()


@pytest.mark.stores("local", "moto")
def test_calling_a_leaf_gives_the_stores_object(store: Store) -> None:
    browser = _fill(store).get_browser()
    found = browser.exp.notes_DOT_json()
    assert found.key == "exp/notes.json"
    assert found.get()["Body"].read() == b'{"slept": "well"}'
    assert browser.exp.big_DOT_arr().key == "exp/big.arr"


@pytest.mark.stores("local", "moto")
def test_by_name(store: Store) -> None:
    browser = _fill(store).get_browser()
    assert browser["exp"]["sub01.grp"]["bold"]._fullpath == "exp/sub01.grp/bold"
    assert_same(browser["exp/sub01.grp/bold"].load(), TREE["bold"])
    assert_same(browser["01sub/a-b.arr"].load(), np.arange(3))
    assert sorted(browser["exp"]._ipython_key_completions_()) == ["big.arr", "notes.json", "sub01.grp"]


# ---------------------------------------------------------------------- names
ODD = [
    "a-b",
    "a_b",
    "a b",
    "a.b",
    "class",
    "import.grp",
    "_hidden",
    "__init__",
    "é",
    "1",
    "load",
    "keys",
    "a_DOT_b",
    "a+b",
]


def test_every_name_has_an_attribute_of_its_own(store: Store) -> None:
    names = ODD
    cci = store.interface()
    for name in names:
        cci.upload_raw_array(f"x.grp/{name}", np.array([len(name), sum(name.encode())]))
    group = cci.get_browser()["x.grp"]
    found = attributes(group)
    assert len(found) == len(names)
    assert all(name.isidentifier() for name in found)
    reached = {getattr(group, attribute)._fullpath: getattr(group, attribute).load() for attribute in found}
    assert set(reached) == {f"x.grp/{name}" for name in names}
    for name in names:
        assert_same(reached[f"x.grp/{name}"], np.array([len(name), sum(name.encode())]))
    assert group.a_b._fullpath == "x.grp/a_b"
    assert group.a_DOT_b._fullpath == "x.grp/a.b"  # as it is where nobody has looked before
    assert callable(group.load)
    assert sorted(group.keys()) == sorted(names)


@pytest.mark.stores("local", "moto")
def test_names_that_collide_stay_reachable_and_stable(store: Store) -> None:
    cci = store.interface()
    for name in ("a-b", "a_b"):
        cci.upload_raw_array(f"x.grp/{name}", np.array(ord(name[1])))
    first, second = cci.get_browser()["x.grp"], cci.get_browser()["x.grp"]
    assert attributes(first) == attributes(second)
    assert len(attributes(first)) == 2
    assert first.a_b.load() == ord("_")
    # typed without a look before, it is the same one
    assert cci.get_browser()["x.grp"].a_b.load() == ord("_")
    (other,) = attributes(first) - {"a_b"}
    assert getattr(first, other).load() == ord("-")
    assert getattr(cci.get_browser()["x.grp"], other).load() == ord("-")


@pytest.mark.stores("local", "moto")
def test_attributes_typed_without_a_look_before(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("sub-01/ses-1/x-y.grp/bold", np.arange(3))
    cci.upload_json("sub-01/ses-1/notes", {})
    fresh = cci.get_browser
    assert_same(fresh().sub_01.ses_1.x_y_DOT_grp.bold.load(), np.arange(3))
    assert attributes(fresh().sub_01) == {"ses_1"}
    assert attributes(fresh().sub_01.ses_1) == {"x_y_DOT_grp", "notes"}
    assert fresh().sub_01._ls() == ["sub-01/ses-1"]
    assert fresh().sub_01.ses_1._glob("*d") == ["sub-01/ses-1/x-y.grp/bold"]
    assert fresh().sub_01.ses_1.notes().key == "sub-01/ses-1/notes"
    assert fresh().sub_01["ses-1"].notes().key == "sub-01/ses-1/notes"
    assert repr(fresh().sub_01.ses_1).endswith("> sub-01/ses-1")
    assert repr(fresh().sub_01.ses_1.x_y_DOT_grp.bold).endswith("shape=(3)]>")
    assert repr(fresh().sub_01.ses_1.x_y_DOT_grp).endswith("(sub-01/ses-1/x-y.grp: 1 keys)>")
    assert fresh().sub_01.ses_1.x_y_DOT_grp.keys() == ["bold"]


MEANT_TWICE = ["01", "NUM_01", "a.b", "a_DOT_b", ".x", "US.x", "NUM_c.d", "c.d", "load", "load__2", "ä", "a\u0308", "ö"]


@pytest.mark.stores("local", "moto")
def test_an_attribute_is_the_same_name_before_a_look_and_after_it(store: Store) -> None:
    """Of all these names, and where some of them are missing."""
    cci = store.interface()
    decomposed = "o\u0308x"
    for number, name in enumerate([*MEANT_TWICE, decomposed]):
        cci.upload_raw_array(f"x.grp/{name}", np.array([number]))
    cci.upload_raw_array("y/NUM_01/r\u0308/bold", np.array([99]))
    for gone in ([], ["01", "a.b", "ä", "US.x"]):
        for name in gone:
            cci.rm(f"x.grp/{name}")
        looked = cci.get_browser()["x.grp"]
        found = attributes(looked)
        assert len(found) == len(MEANT_TWICE) + 1 - len(gone)
        for attribute in found:
            fresh = cci.get_browser().x_DOT_grp
            assert_same(getattr(fresh, attribute).load(), getattr(looked, attribute).load())
            assert getattr(fresh, attribute)._fullpath == getattr(looked, attribute)._fullpath
    assert looked.NUM_01._fullpath == "x.grp/NUM_01"
    # Python itself makes an attribute one character of what are two in the store
    assert_same(cci.get_browser().x_DOT_grp.öx.load(), np.array([len(MEANT_TWICE)]))
    assert_same(cci.get_browser().y.NUM_01.r̈.bold.load(), np.array([99]))


@given(st.lists(st.text("a1._-ä\u0308", min_size=1, max_size=5) | st.sampled_from(MEANT_TWICE), unique=True))
def test_what_is_guessed_and_is_there_is_what_a_listing_gives(found: list[str]) -> None:
    taken = frozenset({"load", "a"})
    given_by_listing = identifiers(found, taken)
    assert sorted(given_by_listing.values()) == sorted(found)
    for attribute, name in given_by_listing.items():
        assert guess_name(attribute) == name or guess_name(attribute) not in found


def _two_pages(request: Request) -> Response:
    """A first page that ends before the name that comes first for its attribute."""
    second = "continuation-token" in request.query
    names = ["x_y"] if second else [*(f"{number:05d}" for number in range(998)), "x+y", "x-y"]
    entry = "<Contents><Key>many.grp/{}</Key><Size>8</Size><ETag>&quot;x&quot;</ETag></Contents>"
    more = "<IsTruncated>false</IsTruncated>"
    if not second:
        more = "<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>"
    return Response(200, f"<ListBucketResult>{more}{''.join(map(entry.format, names))}</ListBucketResult>".encode())


def test_an_attribute_is_the_same_name_after_a_look_at_the_first_page(recorded: Recorded) -> None:
    cci = recorded.store.interface()
    recorded.proxy.hook = lambda request: _two_pages(request) if "list-type" in request.query else Response(404)
    node = cci.get_browser()["many.grp"]
    assert "1000+ keys" in repr(node)
    for attribute, name in {"x_y": "x_y", "x_y__2": "x+y", "x_y__3": "x-y"}.items():
        child = getattr(node, attribute)
        child._resolve()
        assert child._fullpath == f"many.grp/{name}"


# ---------------------------------------------------------------------- reprs
def test_reprs(store: Store) -> None:
    cci = _fill(store)
    browser, bucket = cci.get_browser(), f"bucket:{cci.bucket_name}"
    assert repr(browser) == f"cottoncandy-path <{bucket}> "
    assert repr(browser.exp) == f"cottoncandy-path <{bucket}> exp"
    assert repr(browser.exp.notes_DOT_json) == f"cottoncandy-path <{bucket}> exp/notes.json"
    assert repr(browser.exp.sub01_DOT_grp) == f"<cottoncandy-group <{bucket}> (exp/sub01.grp: 2 keys)>"
    assert repr(browser.exp.sub01_DOT_grp.anat) == f"<cottoncandy-group <{bucket}> (exp/sub01.grp/anat: 2 keys)>"
    assert repr(browser.exp.big_DOT_arr) == f"<cottoncandy-dataset <{bucket} [1.00MB:shape=(131072)]>"
    assert repr(browser.exp.sub01_DOT_grp.bold).endswith("MB:shape=(2,3)]>")
    assert repr(browser.exp) == str(browser.exp)


def test_a_node_of_what_is_not_there_can_be_shown(store: Store) -> None:
    cci = store.interface()
    browser, bucket = cci.get_browser(), f"bucket:{cci.bucket_name}"
    assert repr(browser) == f"cottoncandy-path <{bucket}> "
    assert attributes(browser) == set()
    assert repr(browser.nothing) == f"cottoncandy-path <{bucket}> nothing"
    assert repr(browser.nothing_DOT_grp) == f"<cottoncandy-group <{bucket}> (nothing.grp: 0 keys)>"
    assert browser.nothing._ls() == []


@pytest.mark.stores("local")
def test_get_browser(store: Store) -> None:
    cci = _fill(store)
    browser = cottoncandy.get_browser(store.container, backend="local")
    assert sorted(browser._ls()) == sorted(cci.lsdir())


@pytest.mark.stores("moto")
def test_get_browser_of_a_bucket(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    cci = _fill(store)
    access = (store.access["access_key"], store.access["secret_key"], store.access["endpoint_url"])
    browser = cottoncandy.get_browser(store.container, *access)
    assert sorted(browser._ls()) == sorted(cci.lsdir())
    assert capsys.readouterr() == ("", "")


@pytest.mark.stores("local")
def test_configured_extensions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_EXTENSIONS_CCGROUP", "lab")
    cci = store.interface()
    cci.upload_raw_array("x.lab/a", np.ones(2))
    assert repr(cci.get_browser().x_DOT_lab).startswith("<cottoncandy-group ")
    assert_same(cci.get_browser().x_DOT_lab.a.load(), np.ones(2))


@pytest.mark.stores("local")
@pytest.mark.parametrize("extension", ["grp", "arr", "hdf", "h5", "hf5", "hdf5", "GRP"])
def test_extensions_that_hold_arrays(store: Store, extension: str) -> None:
    cci = store.interface()
    cci.dict2cloud(f"x.{extension}", {"a": np.ones(2), "b": {"c": np.zeros(1)}}, verbose=False)
    node = cci.get_browser()[f"x.{extension}"]
    assert isinstance(node, S3HDF5)
    assert sorted(node.keys()) == ["a", "b"]
    assert_same(node.b.c.load(), np.zeros(1))
    assert repr(node) == f"<cottoncandy-group <bucket:{store.container}> (x.{extension}: 2 keys)>"


# ---------------------------------------------------------------------- what it costs
@pytest.fixture
def looked_at(recorded: Recorded) -> tuple[Any, RecordingProxy]:
    store, proxy = recorded
    cci = _fill(store)
    proxy.clear()
    return cci, proxy


PROBES = [
    *("_repr_svg_", "_repr_png_", "_repr_latex_", "_repr_json_", "_repr_pretty_"),
    *("_ipython_display_", "_ipython_canary_method_should_not_exist_", "__array_interface__", "__array_struct__"),
    *("__wrapped__", "__dataframe__", "_asdict", "__fspath__", "__dask_graph__", "__await__", "__next__"),
]


def test_probes_cost_nothing(looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    browser = cci.get_browser()
    nodes = [browser, browser.exp, browser.exp.sub01_DOT_grp, browser.exp.sub01_DOT_grp.bold, browser.NUM_01sub]
    for node in nodes:
        assert not any(hasattr(node, name) for name in PROBES)
        hasattr(node, "some_name")
        again = copy.copy(node)
        assert again._fullpath == node._fullpath
        assert type(again) is type(node)
        bool(node)
        isinstance(node, S3HDF5)
    assert proxy.requests == []


def test_a_walk_costs_nothing_before_it_looks(looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    browser = cci.get_browser()
    assert browser.exp.sub01_DOT_grp.anat.mask._fullpath
    assert browser.NUM_01sub.a_b_DOT_arr._fullpath
    assert proxy.requests == []


def test_showing_a_node_costs_one_request_at_most(looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    browser = cci.get_browser()
    group = browser.exp.sub01_DOT_grp
    for node in (browser, browser.exp, group, browser.exp.big_DOT_arr, group.bold, browser.exp.notes_DOT_json):
        proxy.clear()
        repr(node)
        assert len(proxy.requests) <= 1
    # and where they were listed before
    dir(group)
    dir(browser.NUM_01sub)
    for node in (group.anat, group.bold, browser.NUM_01sub.a_b_DOT_arr):
        proxy.clear()
        repr(node)
        assert len(proxy.requests) <= 1


def test_what_was_seen_is_remembered(looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    cci.upload_raw_array("my_study/sub_01.grp/bold_1", np.arange(3))
    browser = cci.get_browser()
    for show in (
        lambda: repr(browser.my_study),
        lambda: repr(browser.my_study.sub_01_DOT_grp),
        lambda: repr(browser.my_study.sub_01_DOT_grp.bold_1),
        browser.my_study.sub_01_DOT_grp.bold_1.load,
    ):
        proxy.clear()
        show()
        assert len(proxy.requests) <= 1


def test_a_listing_is_one_request(looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    browser = cci.get_browser()
    for look in (lambda: dir(browser.exp), browser.exp._ls, browser.exp.sub01_DOT_grp.keys, lambda: dir(browser)):
        proxy.clear()
        look()
        assert len(proxy.requests) == 1
        assert proxy.requests[0].query["delimiter"] == "/"


def test_loading_is_one_request_for_each_array(looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    browser = cci.get_browser()
    browser.exp.sub01_DOT_grp.bold.load()
    assert [request.method for request in proxy.requests] == ["GET"]
    proxy.clear()
    browser.exp.sub01_DOT_grp.load("bold")
    assert [request.method for request in proxy.requests] == ["GET"]


@pytest.mark.stores("local", "moto")
def test_nodes_pickle(store: Store) -> None:
    node = _fill(store).get_browser().exp.sub01_DOT_grp
    again = pickle.loads(pickle.dumps(node))
    assert repr(again) == repr(node)
    assert_same(again.bold.load(), TREE["bold"])
    assert copy.deepcopy(node)._fullpath == node._fullpath


# ---------------------------------------------------------------------- a real shell
@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    interactiveshell = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactiveshell.InteractiveShell()
    shell.Completer.use_jedi = False
    yield shell
    shell.history_manager.end_session()
    interactiveshell.InteractiveShell.clear_instance()


def _completed(shell: Any, line: str) -> list[str]:
    return [match.rpartition(".")[2] for match in shell.complete(line)[1]]


@pytest.mark.filterwarnings("ignore")  # IPython's own, of its many versions
def test_tab_completes_in_ipython(shell: Any, looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    shell.user_ns["browser"] = cci.get_browser()
    _, matches = shell.complete("browser.")
    assert {".exp", ".NUM_01sub"} <= {f".{match.rpartition('.')[2]}" for match in matches}
    assert len(proxy.requests) <= 2
    # that it sees behind the first dot, too, is for the extension: IPython runs no `__getattr__` that it does not know
    assert _completed(shell, "browser.exp.su") == []
    shell.run_line_magic("load_ext", "cottoncandy")
    proxy.clear()
    assert _completed(shell, "browser.exp.su") == ["sub01_DOT_grp"]
    assert len(proxy.requests) <= 2
    assert _completed(shell, "browser.exp.sub01_DOT_grp.b") == ["bold"]
    assert _completed(shell, "browser.exp.sub01_DOT_grp.anat.ma") == ["mask"]
    shell.run_line_magic("unload_ext", "cottoncandy")
    assert _completed(shell, "browser.exp.su") == []
    shell.user_ns["exp"] = shell.user_ns["browser"].exp
    assert _completed(shell, "exp.su") == ["sub01_DOT_grp"]
    _, matches = shell.complete("exp['su")
    assert any("sub01.grp" in match for match in matches)


@pytest.mark.filterwarnings("ignore")
def test_ipython_shows_a_node_with_one_request(shell: Any, looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    browser = cci.get_browser()
    for node in (browser, browser.exp, browser.exp.sub01_DOT_grp, browser.exp.big_DOT_arr):
        proxy.clear()
        shown, _ = shell.display_formatter.format(node)
        assert shown["text/plain"].startswith(("cottoncandy-path", "<cottoncandy-"))
        assert len(proxy.requests) <= 1


# ---------------------------------------------------------------------- groups are mappings, arrays are sliced
def test_groups_are_mappings(store: Store) -> None:
    cci = _fill(store)
    for group in (cci.get_browser().exp.sub01_DOT_grp, cci.cloud2dataset("exp/sub01.grp")):
        assert list(group) == group.keys() == ["anat", "bold"]
        assert len(group) == 2
        assert "bold" in group
        assert "anat/mask" in group
        assert not any(name in group for name in ("mask", "anat/nothing", "", 3, None))
        assert [name for name, _ in group.items()] == ["anat", "bold"]
        assert [node._fullpath for node in group.values()] == ["exp/sub01.grp/anat", "exp/sub01.grp/bold"]
        assert_same(dict(group)["bold"].load(), TREE["bold"])
        assert group["bold"] is group.bold
        assert group.get("bold") is group["bold"]
        assert group.get("nothing", 3) == 3
    assert sorted(cci.get_browser()) == ["01sub", "exp"]
    assert "exp/notes.json" in cci.get_browser()
    assert bool(cci.get_browser().nothing)


def test_groups_are_trees(store: Store) -> None:
    cci = _fill(store)
    groups = [cci.get_browser().exp.sub01_DOT_grp, cci.cloud2dataset("exp/sub01.grp")]
    for group in groups:
        cci.dict2cloud("copy", group, verbose=False)
        cci.dict2cloud("below", {"x": {"y": group}, "bold": group["bold"], "anat": group.anat}, verbose=False)
        found, below = cci.cloud2dict("copy", verbose=False), cci.cloud2dict("below", verbose=False)
        for tree in (found, below["x"]["y"], {"bold": below["bold"], "anat": below["anat"]}):
            assert_same_tree(tree, TREE)
        cci.rm("below", recursive=True)
    for nothing in (cci.cloud2dataset("nothing"), {"x": cci.get_browser().nothing}):
        with pytest.raises(ObjectNotFound, match=r"'nothing' in .* does not exist"):
            cci.dict2cloud("copy", nothing, verbose=False)
    assert_same_tree(cci.cloud2dict("copy", verbose=False), TREE)


def test_arrays_are_sliced(store: Store) -> None:
    cci = _fill(store)
    for bold in (cci.get_browser().exp.sub01_DOT_grp.bold, cci.cloud2dataset("exp/sub01.grp")["bold"]):
        assert isinstance(bold, BrowserObject)
        assert (bold.shape, bold.dtype, bold.ndim, bold.size, bold.nbytes) == ((2, 3), np.dtype(float), 2, 6, 48)
        assert (bold.order, len(bold)) == ("C", 2)
        assert bold.compression == cci.open_array("exp/sub01.grp/bold").compression
        assert np.array_equal(bold[1], TREE["bold"][1])
        assert np.array_equal(bold[..., ::-1], TREE["bold"][..., ::-1])
        assert np.array_equal(np.asarray(bold), TREE["bold"])
        assert [row.tolist() for row in bold] == TREE["bold"].tolist()
        assert bold.keys() == []
        assert float(bold.to_dask().sum().compute()) == 15


def test_functions_of_numpy_take_arrays(store: Store) -> None:
    cci = _fill(store)
    for bold in (cci.get_browser().exp.sub01_DOT_grp.bold, cci.cloud2dataset("exp/sub01.grp")["bold"]):
        assert np.mean(bold) == 2.5
        assert np.array_equal(np.std(bold, axis=0), TREE["bold"].std(axis=0))
        assert np.array_equal(np.transpose(bold), TREE["bold"].T)
        with pytest.raises(AttributeError, match=r"node\[\.\.\.\]\.mean"):
            bold.mean()


def test_an_array_of_any_name_is_sliced(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("sub01/bold", np.arange(10), compression=False)
    assert cci.get_browser().sub01.bold[2:4].tolist() == [2, 3]
    array = cci.cloud2dataset("sub01/bold")
    assert array[2:4].tolist() == [2, 3]
    assert array.shape == (10,)
    assert_same(array.load(), np.arange(10))
    with pytest.raises(ObjectNotFound, match="sub01/none"):
        cci.get_browser().sub01.none[:]
    with pytest.raises(TypeError, match="no array"):
        np.asarray(cci.get_browser().sub01)


def test_an_array_of_any_name_is_loaded(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("sub-01/my_run", {"bold": np.arange(10), "g": {"x": np.zeros(2)}}, verbose=False)
    cci.upload_json("sub-01/notes", {})
    for look in (lambda _: None, dir):
        run = cci.get_browser().sub_01.my_run
        look(run)
        for node in (run.bold, run["bold"]):
            look(node)
            assert_same(node.load(), np.arange(10))
    assert_same(cci.get_browser()["sub-01/my_run/g"].x.load(), np.zeros(2))
    with pytest.raises(ObjectNotFound, match=r"sub-01/my_run.*cloud2dict\('sub-01/my_run'\)"):
        cci.get_browser().sub_01.my_run.load()
    with pytest.raises(ObjectNotFound, match="sub-01/none"):
        cci.get_browser()["sub-01"].none.load()
    with pytest.raises(NotAnArray, match="sub-01/notes"):
        cci.get_browser()["sub-01"].notes.load()


def test_what_is_called_load_is_reached_as_any_other_name(store: Store) -> None:
    cci = store.interface()
    cci.upload_object("load", b"at the top")
    cci.upload_object("exp/load", b"an object")
    cci.upload_raw_array("task/load/bold", np.arange(3))
    for look in (lambda _: None, dir):
        browser = cci.get_browser()
        for node, body in ((browser, b"at the top"), (browser.exp, b"an object")):
            look(node)
            assert node.load().get()["Body"].read() == node["load"]().get()["Body"].read() == body
        look(browser.task)
        assert_same(browser.task.load.bold[:], np.arange(3))
        assert browser.task.load._ls() == ["task/load/bold"]


@pytest.mark.stores("moto")
def test_an_array_and_what_is_below_its_name(store: Store) -> None:
    cci = store.interface()
    for name in ("a", "a/b", "c", "c/load/d"):
        cci.upload_raw_array(name, np.array([len(name)]))
    cci.upload_raw_array("e", np.arange(3))
    cci.upload_object("e/load", b"an object")
    for look in (lambda _: None, dir):
        browser = cci.get_browser()
        for node in (browser, browser.a, browser.c, browser.e):
            look(node)
        assert (browser.a.load(), browser.a.b.load()) == (1, 3)
        assert (browser.c.load(), browser.c.load.d.load()) == (1, 8)
        assert browser.e.load().key == browser.e["load"]().key == "e/load"
        assert_same(browser.e[:], np.arange(3))


def test_loading_an_array_of_any_name_asks_whether_the_name_is_taken(recorded: Recorded) -> None:
    cci = recorded.store.interface()
    cci.upload_raw_array("sub01/bold", np.arange(10))
    assert not cci.exists_object("none")  # of the first that is missing the bucket is asked, too
    recorded.proxy.clear()
    load = cci.get_browser().sub01.bold.load
    assert recorded.proxy.requests == []
    load()
    assert [(request.method, request.path.rpartition("/")[2]) for request in recorded.proxy.requests] == [
        ("HEAD", "load"),
        ("GET", "bold"),
    ]


@pytest.mark.stores("local", "moto")
def test_a_child_may_be_called_as_what_arrays_have(store: Store) -> None:
    cci = store.interface()
    names = ("shape", "size", "order", "metadata")
    cci.dict2cloud("x.grp", {name: np.arange(3) for name in names}, verbose=False)
    cci.upload_raw_array("y.h5/size", np.arange(4))
    cci.upload_raw_array("y.h5/mean", np.arange(5))
    assert_same(cci.get_browser()["y.h5"].mean.load(), np.arange(5))
    for name in names:
        assert_same(getattr(cci.get_browser()["x.grp"], name).load(), np.arange(3))
    assert_same(cci.get_browser()["y.h5"].size.load(), np.arange(4))


def test_a_node_goes_on_with_the_array_that_took_its_place(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("x.arr", np.arange(100), compression=False)
    node = cci.get_browser()["x.arr"]
    assert node[5:7].tolist() == [5, 6]
    cci.upload_raw_array("x.arr", np.arange(200) * 2, compression=False)
    assert node[5:7].tolist() == [10, 12]
    assert node.shape == (200,)


def test_a_slice_of_a_node_costs_what_it_must(looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    node = cci.get_browser().exp.big_DOT_arr
    assert node[1000:1010].tolist() == [0] * 10
    assert [(request.method, request.answered) for request in proxy.requests] == [("HEAD", 0), ("GET", 80)]
    proxy.clear()
    node.shape, node.dtype, len(node), node.to_dask()
    assert len(proxy.requests) <= 1
    group = cci.get_browser().exp.sub01_DOT_grp
    proxy.clear()
    assert group.size._fullpath.endswith("size")
    assert proxy.requests == []


# ---------------------------------------------------------------------- what is shown in a notebook
def test_a_name_that_is_not_there_is_told_with_those_that_are_near(looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    group = cci.get_browser().exp.sub01_DOT_grp
    with pytest.raises(KeyError, match=r"exp/sub01.grp' in .* has nothing named 'bolt'; near: 'bold'"):
        group["bolt"]
    with pytest.raises(KeyError, match="nothing named 'bolt'"):
        group["bolt"]
    proxy.clear()
    assert group["bold"].shape == (2, 3)  # listed by then: the head is all that is asked for
    assert len(proxy.requests) == 1
    # an array that nobody has listed before: its head tells that it is there, and what it is
    fresh = cci.get_browser()
    proxy.clear()
    assert fresh["exp/sub01.grp/bold"].shape == (2, 3)
    assert "(2, 3)" in fresh["exp/sub01.grp/bold"]._repr_html_()
    assert [request.method for request in proxy.requests] == ["HEAD", "HEAD"]
    proxy.clear()
    assert fresh.exp.sub01_DOT_grp.bold.shape == (2, 3)
    assert [request.method for request in proxy.requests] == ["HEAD"]


HOSTILE = "<script>alert('1')<!script>&\u202egpj"


@pytest.mark.filterwarnings("ignore")
def test_nodes_are_tables_in_a_notebook(shell: Any, recorded: Recorded, looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    cci.upload_raw_array(f"x.grp/{HOSTILE}", np.zeros((7, 5)), note="</td><b>bold", compression=False)
    cci.upload_json("x.grp/notes", {})
    format = shell.display_formatter.format  # noqa: A001 - its name
    group = cci.get_browser()["x.grp"]
    assert group[HOSTILE].shape == (7, 5)
    proxy.clear()
    shown, _ = format(group)
    assert len(proxy.requests) == 1
    assert shown["text/plain"].endswith("(x.grp: 2 keys)>")
    text = shown["text/html"]
    assert html.escape("<script>alert('1')<!script>&") + "\\u202e" in text
    assert "<script" not in text
    assert all(part in text for part in ("(7, 5)", "float64", "280 B", "notes", "2 names"))
    proxy.clear()
    shown, _ = format(group[HOSTILE])
    assert len(proxy.requests) <= 1
    assert "&lt;/td&gt;&lt;b&gt;bold" in shown["text/html"]
    assert "<b>bold" not in shown["text/html"]
    opened = cci.open_array(f"x.grp/{HOSTILE}")
    proxy.clear()
    shown, _ = format(opened)
    assert proxy.requests == []
    assert all(part in shown["text/html"] for part in ("(7, 5)", "float64", "280 B, not compressed"))
    shown, _ = format(cci)
    assert len(proxy.requests) == 1
    assert all(part in shown["text/html"] for part in ("exp/", "01sub/", "x.grp/"))
    assert recorded.store.server.secret_key not in str(shown)
    shown, _ = format(cci.get_browser().nothing.at_DOT_all.arr)
    assert "0 names" in shown["text/html"]


def _page(request: Request) -> Response:
    """The first thousand of ten thousand names; nobody may ask for more."""
    assert "continuation-token" not in request.query
    entry = "<Contents><Key>many.grp/{:05d}</Key><Size>800</Size><ETag>&quot;x&quot;</ETag></Contents>"
    entries = "".join(entry.format(number) for number in range(1000))
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>"
    return Response(200, f"<ListBucketResult>{more}{entries}</ListBucketResult>".encode())


@pytest.mark.filterwarnings("ignore")
def test_a_node_of_ten_thousand_children_is_shown_at_once(shell: Any, recorded: Recorded) -> None:
    store, proxy = recorded
    proxy.hook = lambda request: _page(request) if "list-type" in request.query else None
    cci, seconds = store.interface(), []
    for _ in range(4):  # a shared machine is slow at times
        node = cci.get_browser().many_DOT_grp
        proxy.clear()
        began = time.perf_counter()
        shown, _ = shell.display_formatter.format(node)
        seconds.append(time.perf_counter() - began)
        assert len(proxy.requests) == 1
    assert shown["text/plain"].endswith("(many.grp: 1000+ keys)>")
    assert "1,000+ names; 975+ more are not shown" in shown["text/html"]
    assert shown["text/html"].count("<tr") == 26
    assert min(seconds) < 0.3


def test_a_node_of_an_array_that_is_kept_asks_whether_it_was_replaced(looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at
    cci.upload_raw_array("x.arr", np.arange(100), compression="Zstd")
    node = cci.get_browser().x_DOT_arr
    assert node[5:7].tolist() == [5, 6]
    proxy.clear()
    assert node[5:7].tolist() == [5, 6]
    assert [request.method for request in proxy.requests] == ["HEAD"]
    cci.upload_raw_array("x.arr", np.arange(50) * 2, compression="Zstd")
    assert node[5:7].tolist() == [10, 12]
    assert node.shape == (50,)


@pytest.mark.filterwarnings("ignore")
def test_names_are_completed_inside_of_strings(shell: Any, looked_at: tuple[Any, RecordingProxy]) -> None:
    cci, proxy = looked_at

    def complete(line: str) -> list[str]:
        proxy.clear()
        with provisionalcompleter():
            found = [*shell.Completer.completions(line, len(line))]
        assert len(proxy.requests) <= 1
        return sorted(line[: one.start] + one.text for one in found if one.text.startswith(("exp", "01", "sub", "x")))

    from IPython.core.completer import provisionalcompleter

    cci.upload_json("x y/it's", {})
    cci.upload_json("x y/b c", {})
    shell.user_ns.update(cci=cci, browser=cci.get_browser(), other={"exp": 1})
    assert complete("cci.download_raw_array('exp/b") == []
    shell.run_line_magic("load_ext", "cottoncandy")
    assert complete("cci.download_raw_array('exp/b") == ["cci.download_raw_array('exp/big.arr"]
    assert complete('a = cci.cp("exp/big.arr", overwrite=True, dest_name="01') == [
        'a = cci.cp("exp/big.arr", overwrite=True, dest_name="01sub/'
    ]
    assert complete("cci.ls('exp/sub01.grp/anat/nothing") == []
    assert complete("cci.ls('x y/") == ["cci.ls('x y/b c"]
    assert complete("browser['exp/su") == ["browser['exp/sub01.grp/"]
    assert complete("browser.exp['su") == ["browser.exp['sub01.grp/"]
    assert complete("other.get('ex") == []
    for status in (403, 503):  # nothing is tried again, for who types
        proxy.hook = lambda _, status=status: Response(status)  # type: ignore[misc]
        assert complete("cci.ls('exp/b") == []
    proxy.hook = None
    shell.run_line_magic("unload_ext", "cottoncandy")
    assert complete("cci.ls('exp/b") == []


@pytest.mark.parametrize("name", ["sub01/bold", "sub01/bold.arr"])
def test_an_array_opened_as_a_dataset_is_one_from_the_first_question_on(store: Store, name: str) -> None:
    cci = store.interface()
    cci.upload_raw_array(name, np.zeros((3, 4), "f4"))
    assert cci.cloud2dataset(name).shape == (3, 4)
    assert cci.cloud2dataset(name).dtype == "f4"
    assert np.shape(cci.cloud2dataset(name)) == (3, 4)
    # a name that an array has stays one of a child where there is a group
    cci.upload_raw_array("group/shape", np.ones(2))
    assert np.array_equal(cci.cloud2dataset("group").shape.load(), np.ones(2))


@pytest.mark.stores("local")
def test_several_extensions_are_configured_with_commas(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTTONCANDY_EXTENSIONS_CCGROUP", "grp, .ccg")
    monkeypatch.setenv("COTTONCANDY_EXTENSIONS_CCDATASET", "arr, rarr")
    cci = store.interface()
    for group in ("a.grp", "b.ccg"):
        cci.dict2cloud(group, {"x": np.arange(3)}, verbose=False)
    cci.upload_raw_array("c.rarr", np.arange(4))
    browser = cci.get_browser()
    assert browser.a_DOT_grp.keys() == browser.b_DOT_ccg.keys() == ["x"]
    assert_same(browser.c_DOT_rarr.load(), np.arange(4))


# ---------------------------------------------------------------------- names that mean themselves
@pytest.mark.stores("local", "moto")
def test_a_node_whose_name_looks_like_a_pattern(store: Store) -> None:
    cci = store.interface()
    for name in ("x[1].grp/a", "x1.grp/a", "x1.grp/secret"):
        store.raw.put(name, b"x")
    node = cci.get_browser()["x[1].grp"]
    assert node._glob() == node._glob("*") == ["x[1].grp/a"]
    assert node["a"]._glob() == ["x[1].grp/a"]


@pytest.mark.stores("local", "moto")
def test_an_attribute_that_is_the_name_itself(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("NUM_01/leaf", np.arange(3))
    assert cci.get_browser().NUM_01._ls() == ["NUM_01/leaf"]
    assert cci.cloud2dataset("").NUM_01.leaf.load().tolist() == [0, 1, 2]


@pytest.mark.stores("local", "moto")
def test_what_can_be_no_name_is_in_no_group(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("g.grp", {"x": np.arange(3)}, verbose=False)
    group = cci.cloud2dataset("g.grp")
    assert ".." not in group
    assert "a/../x" not in group
    for name in ("", "..", "y"):
        with pytest.raises(KeyError):
            group[name]


@pytest.mark.stores("local", "moto")
def test_an_array_that_became_a_group_has_keys(store: Store) -> None:
    cci = store.interface()
    cci.upload_raw_array("g.grp/x", np.arange(3.0))
    node = cci.cloud2dataset("g.grp")["x"]
    assert (node.shape, node.keys()) == ((3,), [])
    cci.rm("g.grp/x")
    cci.dict2cloud("g.grp/x", {"p": np.arange(2)}, verbose=False)
    assert node.keys() == ["p"]


@pytest.mark.stores("local", "moto")
def test_a_group_that_became_an_array_is_one_when_it_was_listed_again(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("x.grp/g", {"p": np.arange(2)}, verbose=False)
    group = cci.get_browser()["x.grp"]
    assert group.keys() == ["g"]
    node = group["g"]
    assert node["p"].shape == (2,)
    cci.rm("x.grp/g", recursive=True)
    cci.upload_raw_array("x.grp/g", np.arange(3.0))
    assert node.keys() == []
    assert node.shape == (3,)
    assert node.load().tolist() == [0, 1, 2]


@pytest.mark.stores("local", "moto")
def test_a_child_that_was_removed_is_not_there_after_a_listing(store: Store) -> None:
    cci = store.interface()
    cci.dict2cloud("x.grp", {"p": np.arange(2), "q": np.arange(3)}, verbose=False)
    group = cci.get_browser()["x.grp"]
    kept, _ = group["p"], group["q"].shape
    cci.rm("x.grp/q")
    assert group.keys() == ["p"]
    with pytest.raises(KeyError, match="nothing named 'q'"):
        group["q"]
    assert group["p"] is kept
