"""What an import costs and does: nothing that a reader of `import cottoncandy` would not expect."""

from __future__ import annotations

import ast
import graphlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# An audit hook sees what Python does for the interpreter's whole life: https://docs.python.org/3/library/audit_events.html
WATCH = """
import os, sys
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FORBIDDEN = ("socket.", "subprocess.", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.chmod",
             "os.fork", "os.exec", "os.posix_spawn", "os.putenv", "_thread.start_new_thread", "http.client", "urllib.")
seen = []
def watch(event, arguments):
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING and arguments[0] != os.devnull:
        seen.append((event, arguments))
    elif event.startswith(FORBIDDEN):
        seen.append((event, arguments))
sys.addaudithook(watch)
"""


def run(code: str, tmp_path: Path, home: str = "/nonexistent") -> str:
    """What a fresh interpreter prints; warnings are errors, and no home can be written."""
    environment = {
        "HOME": home,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []
    return done.stdout


def test_the_watch_sees_files_and_sockets(tmp_path: Path) -> None:
    """The test of the test."""
    code = """
    import pathlib, socket, subprocess
    pathlib.Path("x").write_text("1")
    pathlib.Path("x").unlink()
    socket.socket().close()
    print(sorted({event for event, _ in seen}))
    """
    assert run(WATCH + textwrap.dedent(code), tmp_path) == "['open', 'os.remove', 'socket.__new__']\n"


def test_importing_prints_nothing_writes_nothing_and_asks_nobody(tmp_path: Path) -> None:
    assert run(WATCH + "import cottoncandy; sys.exit(repr(seen) if seen else 0)", tmp_path) == ""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="zarr 3 needs Python 3.11")
def test_so_does_each_of_its_modules(tmp_path: Path) -> None:
    """Each in its turn, all in one interpreter: what other libraries do at their import is theirs."""
    code = """
    import importlib, pkgutil
    import warnings
    warnings.simplefilter("ignore")  # theirs; ours are errors again below
    import boto3, dask.array, googleapiclient.discovery, google_auth_oauthlib.flow, scipy.sparse, pandas, h5py
    import fsspec.callbacks, fsspec.compression, fsspec.spec, zarr, textual.app, textual.widgets
    warnings.simplefilter("error")
    seen.clear()
    import cottoncandy
    for module in pkgutil.walk_packages(cottoncandy.__path__, "cottoncandy."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    sys.exit(repr(seen) if seen else 0)
    """
    assert run(WATCH + textwrap.dedent(code), tmp_path) == ""


HEAVY = (
    "boto3",
    "botocore",
    "dask",
    "scipy",
    "googleapiclient",
    "google",
    "pandas",
    "h5py",
    "tqdm",
    "IPython",
    "zarr",
    "fsspec",
    "click",
    "textual",
)
LOADED = f"print(sorted(name for name in {HEAVY!r} if name in sys.modules))"


def test_importing_is_light(tmp_path: Path) -> None:
    code = f"import sys, cottoncandy; cottoncandy.get_interface; print('numpy' in sys.modules); {LOADED}"
    assert run(code, tmp_path) == "False\n[]\n"


def test_a_directory_needs_no_library_of_a_service(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("store") / "lab"
    code = f"""
    import sys, numpy, cottoncandy
    cci = cottoncandy.get_interface({str(root)!r}, backend="local", verbose=False)
    cci.upload_raw_array("a/b", numpy.arange(10))
    assert (cci.download_raw_array("a/b") == numpy.arange(10)).all()
    assert cci.glob("a/*") and cci.exists_object("a/b")
    {LOADED}
    """
    assert run(code, tmp_path) == "[]\n"


def test_the_names_of_the_page_are_there_after_the_import(tmp_path: Path) -> None:
    code = """
    import cottoncandy
    names = ["InterfaceObject", "BasicInterface", "ArrayInterface", "FileSystemInterface", "DefaultInterface"]
    assert all(hasattr(cottoncandy.interfaces, name) for name in names)
    assert all(hasattr(cottoncandy.browser, name) for name in ["BrowserObject", "S3FSLike", "S3Directory", "S3HDF5"])
    assert not hasattr(cottoncandy, "no_such_module")
    print(cottoncandy.__version__)
    """
    assert run(code, tmp_path).count(".") >= 2


# ---------------------------------------------------------------------- the direction of imports
def imports_of(path: Path, names: set[str]) -> set[str]:
    """The modules that a file imports, anywhere in it; not those of its own package that only a type checker sees."""
    tree, package = ast.parse(path.read_text()), ".".join(path.relative_to(ROOT).parts[:-1])
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            targets = {f"{node.module}.{alias.name}" for alias in node.names}
            targets = {target if target in names else node.module for target in targets}
        elif isinstance(node, ast.Import):
            targets = {alias.name for alias in node.names}
        else:
            continue
        is_inside = id(node) in for_types and all(target.startswith(f"{package}.") for target in targets)
        found |= set() if is_inside else targets & names
    return found


def test_imports_make_no_circle() -> None:
    """Those that are made late, or for types alone, too: each way through the house goes down."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / "cottoncandy").rglob("*.py")
    }
    assert len(files) > 200
    graph = {name: imports_of(path, {*files}) - {name} for name, path in files.items()}
    graphlib.TopologicalSorter(graph).prepare()


def test_what_only_a_type_checker_needs_is_never_imported() -> None:
    """``typing_extensions`` comes with what develops the library, not with the library."""
    for path in (ROOT / "cottoncandy").rglob("*.py"):
        source = path.read_text()
        if "typing_extensions" not in source:
            continue
        guarded = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
        names = [ast.unparse(node.test) for node in guarded if "typing_extensions" in ast.unparse(node)]
        outside = [line for line in source.splitlines() if line.startswith(("from typing_ext", "import typing_ext"))]
        assert (names, outside) == (["TYPE_CHECKING"], []), path
