"""The published interface: every class, method, parameter, order and default of the reference page."""

from __future__ import annotations

import ast
import importlib
import inspect
from typing import Any, NamedTuple

import pytest

import cottoncandy

#: Defaults that really come from the configuration: None is as good.
CONFIGURED = {
    "ACL": (None, "authenticated-read"),
    "EXTRA": (None, {"ACL": "authenticated-read"}),
    "THREADS": (None, 4),
    "MB_100": (None, 104857600),
}

REFERENCE = """
InterfaceObject:
BasicInterface(InterfaceObject):
    __init__(bucket_name, ACCESS_KEY, SECRET_KEY, url=None, force_bucket_creation=False, verbose=True, \
backend='s3', **kwargs)
    create_bucket(bucket_name, acl=ACL)
    download_json(object_name, threads=1)
    download_object(object_name, threads=THREADS)
    download_pickle(object_name, threads=THREADS)
    download_stream(object_name, threads=THREADS)
    download_to_file(object_name, file_name, threads=THREADS)
    exists_bucket(bucket_name)
    exists_object(object_name, bucket_name=None, raise_err=False)
    get_bucket()
    get_bucket_objects(**kwargs)
    get_bucket_size(limit=1000000, page_size=1000000)
    get_object(object_name, bucket_name=None)
    get_objects(**kwargs)
    get_size()
    pathjoin(a, *p)
    rm_bucket(bucket_name)
    set_bucket(bucket_name)
    show_buckets()
    show_objects(limit=1000, page_size=1000)
    upload_from_directory(disk_path, cloud_path=None, recursive=False, ExtraArgs=EXTRA, threads=THREADS)
    upload_from_file(flname, object_name=None, ExtraArgs=EXTRA, threads=THREADS)
    upload_json(object_name, ddict, acl=ACL, threads=1, **metadata)
    upload_object(object_name, body, acl=ACL, threads=THREADS, **metadata)
    upload_pickle(object_name, data_object, acl=ACL, threads=THREADS, **metadata)
ArrayInterface(BasicInterface):
    __init__(*args, **kwargs)
    cloud2dataset(object_root, **metadata)
    cloud2dict(object_root, verbose=True, keys=None, threads=THREADS, **metadata)
    dict2cloud(object_name, array_dict, acl=ACL, verbose=True, threads=THREADS, **metadata)
    download_dask_array(object_name, dask_name='array', threads=THREADS)
    download_npy_array(object_name, threads=THREADS)
    download_raw_array(object_name, buffersize=65536, threads=THREADS, **kwargs)
    download_sparse_array(object_name, threads=THREADS)
    upload_dask_array(object_name, arr, axis=-1, buffersize=MB_100, threads=THREADS, **metakwargs)
    upload_npy_array(object_name, array, acl=ACL, threads=THREADS, **metadata)
    upload_raw_array(object_name, array, compression=True, acl=ACL, threads=THREADS, **metadata)
    upload_sparse_array(object_name, arr, threads=THREADS)
FileSystemInterface(BasicInterface):
    __init__(*args, **kwargs)
    cp(source_name, dest_name, source_bucket=None, dest_bucket=None, overwrite=False)
    download_directory(directory, disk_name)
    get_browser()
    get_object_owner(object_name)
    glob(pattern, **kwargs)
    glob_google_drive(pattern)
    glob_s3(pattern, **kwargs)
    ls(pattern, page_size=1000, limit=1000, verbose=False)
    lsdir(path='/', limit=1000)
    mv(source_name, dest_name, source_bucket=None, dest_bucket=None, overwrite=False)
    rm(object_name, recursive=False, delete=True)
    search(pattern, **kwargs)
DefaultInterface(FileSystemInterface, ArrayInterface, BasicInterface):
    __init__(*args, **kwargs)
"""

#: What we add to a published signature, always with a default.
ADDITIONS = {
    ("ArrayInterface", "download_raw_array"): ["out"],
    ("BasicInterface", "__init__"): ["progress"],
    ("BasicInterface", "download_to_file"): ["through_link"],
    ("FileSystemInterface", "download_directory"): ["threads"],
    **{("FileSystemInterface", name): ["recursive"] for name in ("cp", "mv")},
}


class Method(NamedTuple):
    owner: str
    name: str
    parameters: list[tuple[str, str, Any]]


def _tables() -> tuple[dict[str, list[str]], list[Method]]:
    bases: dict[str, list[str]] = {}
    methods = []
    for line in filter(None, REFERENCE.splitlines()):
        node: Any = ast.parse(f"{'class' if not line.startswith(' ') else 'def'} {line.strip().rstrip(':')}: ...").body[
            0
        ]
        if isinstance(node, ast.ClassDef):
            bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
        else:
            methods.append(Method([*bases][-1], node.name, _parameters(node.args)))
    return bases, methods


def _parameters(arguments: ast.arguments) -> list[tuple[str, str, Any]]:
    required = len(arguments.args) - len(arguments.defaults)
    defaults = [_REQUIRED] * required + [_default(node) for node in arguments.defaults]
    listed: list[tuple[str, str, Any]] = [
        (one.arg, "POSITIONAL_OR_KEYWORD", default) for one, default in zip(arguments.args, defaults, strict=True)
    ]
    for one, kind in ((arguments.vararg, "VAR_POSITIONAL"), (arguments.kwarg, "VAR_KEYWORD")):
        if one:
            listed.append((one.arg, kind, _REQUIRED))
    return listed


_REQUIRED = (inspect.Parameter.empty,)


def _default(node: ast.expr) -> tuple[Any, ...]:
    """The values that are as good as the documented one."""
    if isinstance(node, ast.Name):
        return CONFIGURED[node.id]
    return (ast.literal_eval(node),)


BASES, METHODS = _tables()


def test_the_table_is_whole() -> None:
    assert len(METHODS) == 25 + 12 + 13 + 1
    assert sum(method.owner == "ArrayInterface" for method in METHODS) == 12


@pytest.mark.parametrize("name", BASES)
def test_the_classes_and_their_bases(name: str) -> None:
    kind = getattr(cottoncandy.interfaces, name)
    assert kind.__name__ == name
    assert kind.__doc__
    for base in BASES[name]:
        assert issubclass(kind, getattr(cottoncandy.interfaces, base))
    if name == "DefaultInterface":
        assert [base.__name__ for base in kind.__bases__] == BASES[name]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.owner}.{method.name}")
def test_the_signatures(method: Method) -> None:
    function = inspect.getattr_static(getattr(cottoncandy.interfaces, method.owner), method.name)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    added = ADDITIONS.get((method.owner, method.name), [])
    published = [one for one in parameters if one.name not in added]
    assert [(one.name, one.kind.name) for one in published] == [one[:2] for one in method.parameters]
    for one, (_, _, documented) in zip(published, method.parameters, strict=True):
        assert any(one.default == value and type(one.default) in _kinds(value) for value in documented)
    ours = [one for one in parameters if one.name in added]
    assert [one.name for one in ours] == added
    assert all(one.default is not inspect.Parameter.empty for one in ours)
    # behind all others, or by keyword only
    assert all(one.kind is one.KEYWORD_ONLY or one in parameters[len(published) :] for one in ours)


def _kinds(value: Any) -> set[type]:
    """A documented number may be a kind of number that knows it was not typed by the caller; True is no 1."""
    if type(value) is int:
        return {int, *int.__subclasses__()} - {bool}
    return {type(value)}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: f"{method.owner}.{method.name}")
def test_all_is_documented(method: Method) -> None:
    if method.name != "__init__":
        assert getattr(getattr(cottoncandy.interfaces, method.owner), method.name).__doc__


def test_bucket_name_is_a_property_that_is_not_set() -> None:
    found = inspect.getattr_static(cottoncandy.interfaces.BasicInterface, "bucket_name")
    assert isinstance(found, property)
    assert found.fset is None


def test_get_interface() -> None:
    parameters = inspect.signature(cottoncandy.get_interface).parameters
    assert list(parameters) == [
        *("bucket_name", "ACCESS_KEY", "SECRET_KEY", "endpoint_url", "force_bucket_creation", "verbose", "backend"),
        "encryption_key",
        "progress",
        "kwargs",
    ]
    assert parameters["verbose"].default is True
    assert parameters["backend"].default == "s3"
    assert all(parameters[name].default is None for name in list(parameters)[:5])
    assert parameters["kwargs"].kind is inspect.Parameter.VAR_KEYWORD


def test_get_browser() -> None:
    parameters = inspect.signature(cottoncandy.get_browser).parameters
    assert list(parameters)[:4] == ["bucket_name", "ACCESS_KEY", "SECRET_KEY", "endpoint_url"]
    assert all(one.default is not inspect.Parameter.empty for one in list(parameters.values())[:4])


@pytest.mark.parametrize("name", ["BrowserObject", "S3FSLike", "S3Directory", "S3HDF5"])
def test_the_browser_module(name: str) -> None:
    module = importlib.import_module("cottoncandy.browser")
    assert issubclass(getattr(module, name), module.BrowserObject)
    assert name in module.__all__


def test_the_version() -> None:
    assert cottoncandy.__version__.split(".")[0].isdigit()


def test_the_names_that_others_import() -> None:
    assert {"get_interface", "get_browser"} <= set(cottoncandy.__all__)
    assert set(BASES) == set(cottoncandy.interfaces.__all__)
