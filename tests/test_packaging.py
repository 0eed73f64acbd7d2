"""What is installed: by a wheel, by a source distribution, in place; and by others who add a backend."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import cottoncandy

ROOT = Path(__file__).parent.parent

FACTS = """
import json, pathlib, cottoncandy
from cottoncandy.config import Options, defaults_path
from importlib.metadata import version
package = pathlib.Path(cottoncandy.__file__).parent
print(json.dumps({
    "package": str(package),
    "version": [version("cottoncandy"), cottoncandy.__version__],
    "defaults": str(defaults_path()),
    "threads": Options.load().integer("basic", "threads"),
    "typed": (package / "py.typed").exists(),
}))
"""


def build(source: Path, target: str, folder: Path) -> Path:
    """Build one distribution of a source tree with the build backend itself: no network, no isolation."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


def unpack_wheel(wheel: Path, folder: Path) -> Path:
    """What an installer does with a wheel of pure Python."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(code: str, folder: Path) -> str:
    """Run code where the folder is a site-packages that comes first."""
    start = f"import site, sys; sys.path[1:1] = [{str(folder)!r}]; site.addsitedir({str(folder)!r})\n"
    environment = {**os.environ, "PYTHONPATH": ""}
    command = [sys.executable, "-W", "error", "-c", start + textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of an unpacked source distribution."""
    archive = build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))
    folder = tmp_path_factory.mktemp("sources")
    with tarfile.open(archive) as members:
        members.extractall(folder, filter="data")
    (tree,) = folder.iterdir()
    return tree


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return Parser().parsestr(archive.read(name).decode())


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_a_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    info = f"cottoncandy-{cottoncandy.__version__}.dist-info"
    assert {"cottoncandy/__init__.py", "cottoncandy/py.typed", "cottoncandy/defaults.cfg"} <= names(wheel)
    assert f"{info}/licenses/LICENSE" in names(wheel)
    assert {name.split("/")[0] for name in names(wheel)} == {"cottoncandy", info}
    modules = {f"cottoncandy/{path.relative_to(ROOT / 'cottoncandy')}" for path in ROOT.glob("cottoncandy/**/*.py")}
    assert {name for name in names(wheel) if name.endswith(".py")} == modules
    assert not [name for name in names(wheel) if "__pycache__" in name]


def test_a_commit_is_held_to_what_ci_holds_it_to() -> None:
    hooks = re.findall(r"entry: python -m (\w+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert set(hooks) == {"ruff", "mypy"}
    assert [hook for hook in hooks if f'"$bin/{hook}"' not in (ROOT / ".ci" / "run").read_text()] == []


def test_a_wheel_is_found(wheel: Path, tmp_path: Path) -> None:
    facts = json.loads(run(FACTS, unpack_wheel(wheel, tmp_path)))
    assert facts["package"] == str(tmp_path / "cottoncandy")
    assert facts["defaults"] == str(tmp_path / "cottoncandy" / "defaults.cfg")
    assert (facts["threads"], facts["typed"]) == (4, True)
    assert facts["version"] == [cottoncandy.__version__] * 2


def test_a_source_distribution_has_all_to_build_test_and_document(sources: Path) -> None:
    for name in ("LICENSE", "README.md", "defaults.cfg", "pyproject.toml", "tests/conftest.py", "cottoncandy/py.typed"):
        assert (sources / name).is_file(), name
    for name in ("docs", "examples", "tests/data"):
        assert any((sources / name).iterdir()), name
    assert (sources / "defaults.cfg").read_bytes() == (ROOT / "defaults.cfg").read_bytes()


def test_the_wheel_of_a_source_distribution_is_the_same(wheel: Path, sources: Path, tmp_path: Path) -> None:
    again = build(sources, "wheel", tmp_path)
    assert again.name == wheel.name
    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(again) as theirs:
        assert {name: ours.read(name) for name in ours.namelist()} == {
            name: theirs.read(name) for name in theirs.namelist()
        }


def test_an_editable_install_is_the_checkout(tmp_path: Path) -> None:
    wheel = build(ROOT, "wheel:editable", tmp_path / "wheel")
    facts = json.loads(run(FACTS, unpack_wheel(wheel, tmp_path / "site")))
    assert facts["package"] == str(ROOT / "cottoncandy")
    assert (facts["threads"], facts["typed"]) == (4, True)
    assert Path(facts["defaults"]).read_bytes() == (ROOT / "defaults.cfg").read_bytes()


def test_the_metadata(metadata: Message) -> None:
    assert metadata["Name"] == "cottoncandy"
    assert metadata["Version"] == cottoncandy.__version__
    assert metadata["License-Expression"] == "BSD-2-Clause"
    assert metadata["Requires-Python"] == ">=3.10"
    assert {"dask", "gdrive", "test", "docs", "examples"} <= set(metadata.get_all("Provides-Extra", []))
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_boto3_has_no_upper_bound(metadata: Message) -> None:
    (boto3,) = [line for line in metadata.get_all("Requires-Dist", []) if line.startswith("boto3")]
    assert "<" not in boto3
    assert "=" not in boto3.replace(">=", "")


# ------------------------------------------------------------------ a third party's backend
LAB = """
from cottoncandy.backends.local import LocalBackend

class LabBackend(LocalBackend):
    name = "lab"

class Stranger:
    pass
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A site-packages with a small distribution that names a backend."""
    site = tmp_path / "site"
    info = site / "labstore-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "labstore.py").write_text(LAB)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: labstore\nVersion: 1.0\n")
    points = ["lab = labstore:LabBackend", "stranger = labstore:Stranger"]
    (info / "entry_points.txt").write_text("[cottoncandy.backends]\n" + "\n".join(points))
    (site / "cottoncandy.pth").write_text(f"{ROOT}\n")
    return site


def test_a_third_party_adds_a_backend(lab: Path, tmp_path: Path) -> None:
    code = f"""
    import numpy, cottoncandy
    from cottoncandy.backends import backend_class, backend_names
    assert backend_class("lab").__module__ == "labstore"
    assert {{"lab", "local", "s3", "gdrive"}} <= set(backend_names())
    cci = cottoncandy.get_interface({str(tmp_path / "data")!r}, backend="lab", verbose=False)
    cci.upload_raw_array("a", numpy.arange(3))
    print(type(cci.backend_interface).__name__, cci.download_raw_array("a").tolist())
    """
    assert run(code, lab) == "LabBackend [0, 1, 2]\n"
    assert (tmp_path / "data" / "a").read_bytes() != b""


def test_an_entry_point_that_is_no_backend_is_refused(lab: Path) -> None:
    code = """
    from cottoncandy.backends import backend_class
    from cottoncandy.errors import ConfigurationError
    for name in ("stranger", "nobody"):
        try:
            backend_class(name)
        except ConfigurationError as error:
            print(error)
    """
    refused, unknown = run(code, lab).splitlines()
    assert "labstore:Stranger" in refused
    assert "lab" in unknown
    assert "s3" in unknown
