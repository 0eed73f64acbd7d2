"""Every code block of the README and the docs is run, and every example of a docstring; and nothing is left out."""

from __future__ import annotations

import configparser
import doctest
import importlib
import json
import os
import pkgutil
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pages
import pytest
from drive_store import sign_a_reader_in, write_key_file
from fake_drive import FakeDrive
from fsspec.registry import register_implementation
from pages import ROOT, Block, tomllib
from servers import ProgramMissing, Server, moto
from stores import STORES, RawBucket, s3_client

import cottoncandy as cc
from cottoncandy import backends, browser, codecs, errors
from cottoncandy.arrayformat import RESERVED_KEYS
from cottoncandy.backends import base
from cottoncandy.backends.encrypted.mark import MARK
from cottoncandy.backends.gdrive import settings
from cottoncandy.chunkedarrays.names import LEAF, VERSION
from cottoncandy.codecs import registry
from cottoncandy.config import defaults_path, user_file_path
from cottoncandy.fsspecfs import CottonCandyFileSystem

#: More than so many examples that are not run are an excuse.
MOST_NOT_RUN = 3
#: The buckets that the pages speak of, and what lies in them.
BUCKETS: dict[str, dict[str, bytes]] = {
    "my-bucket": {},
    "my-other-bucket": {},
    "openneuro.org": {"ds000001/dataset_description.json": b'{"Name": "Balloon Analog Risk-taking Task"}'},
}
#: The files on disk that they speak of.
FILES: dict[str, str | np.ndarray] = {
    "bold.npy": np.zeros((8, 8, 4), "float32"),
    "notes.txt": "slept well",
    "results/mean.npy": np.zeros(3),
    "results/motion/x.npy": np.zeros(3),
}
#: Any host of this made-up domain stands for the reader's own.
EXAMPLE_HOST = re.compile(r"https?://[\w.-]*example\.org(:\d+)?")

BLOCKS = [block for page in pages.pages() for block in pages.blocks(page)]
RUN = {"python", "pycon", "console"}


def modules() -> list[str]:
    return [cc.__name__, *(info.name for info in pkgutil.walk_packages(cc.__path__, "cottoncandy."))]


def docstring_examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for name in modules() for test in finder.find(importlib.import_module(name)) if test.examples]


EXAMPLES = docstring_examples()


# ---------------------------------------------------------------------- the reader's world
@pytest.fixture(scope="session")
def own_moto() -> Iterator[Server]:
    """A server of this process's own: the buckets that the pages speak of have fixed names."""
    try:
        with moto() as server:
            yield server
    except ProgramMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def own_drive() -> Iterator[FakeDrive]:
    with FakeDrive() as drive:
        drive.items.make_drive("Our lab")
        yield drive


@pytest.fixture
def google_drive(own_drive: FakeDrive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader who has signed in to Google, and has the key file of a service account."""
    monkeypatch.setattr(settings, "GOOGLE", f"{own_drive.url}/")
    sign_a_reader_in(own_drive, user_file_path().parent)
    write_key_file(own_drive, tmp_path / "robot.json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "robot.json"))


@pytest.fixture
def world(
    own_moto: Server, google_drive: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], str]]:
    """A reader's machine: an empty folder, keys in the environment, buckets. It gives what to make of a text."""
    monkeypatch.chdir(tmp_path)
    register_implementation("cottoncandy", CottonCandyFileSystem, clobber=True)  # as the entry point does
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(registry, "_CODECS", dict(registry._CODECS))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", own_moto.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", own_moto.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", own_moto.secret_key)
    environment = dict(os.environ)
    made = [_bucket(own_moto, name, objects) for name, objects in BUCKETS.items()]
    yield lambda text: EXAMPLE_HOST.sub(own_moto.endpoint, text)
    for bucket in made:
        bucket.remove()
    os.environ.clear()
    os.environ.update(environment)
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def _bucket(server: Server, name: str, objects: dict[str, bytes]) -> RawBucket:
    client = s3_client(server)
    client.create_bucket(Bucket=name)
    for key, body in objects.items():
        client.put_object(Bucket=name, Key=key, Body=body, ACL="public-read")
    return RawBucket(client, name)


@pytest.fixture
def namespace(world: Any) -> dict[str, Any]:
    """What an example may take for given."""
    cci = cc.get_interface("my_store", backend="local", verbose=False)
    arr = np.random.default_rng(0).standard_normal((4, 5, 6))
    for name, value in FILES.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(value) if isinstance(value, str) else np.save(name, value)
    return {"__name__": "__main__", "cc": cc, "np": np, "cci": cci, "arr": arr}


# ---------------------------------------------------------------------- what is run
@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: page.stem)
def test_code_of_the_page_runs(page: Path, namespace: dict[str, Any], world: Callable[[str], str]) -> None:
    if page.name == "README.md":  # it begins with nothing
        for name in FILES:
            Path(name).unlink()
    for block in pages.blocks(page):
        if block.language in RUN | {"toml"} and not block.reason:
            pages.run(block, world(block.text), namespace)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_of_the_docstring_runs(example: doctest.DocTest, namespace: dict[str, Any]) -> None:
    example.globs.update(namespace)
    pages.run_session(example)


def test_few_examples_are_not_run() -> None:
    not_run = [block.where for block in BLOCKS if block.reason]
    not_run += [test.name for test in EXAMPLES if any(doctest.SKIP in item.options for item in test.examples)]
    assert len(not_run) <= MOST_NOT_RUN, not_run


def test_the_worked_examples_of_a_backend_and_a_codec_are_short() -> None:
    files = {
        block.file: block.text for block in BLOCKS if block.page.stem == "extending" and block.language == "python"
    }
    assert set(files) == {"memory_store.py", "lzma_codec.py"}
    assert all(text.count("\n") < 60 for text in files.values())


def test_every_block_is_of_a_kind_that_is_checked() -> None:
    kinds = RUN | {"bash", "ini", "json", "toml", "text"}
    assert [block.where for block in BLOCKS if block.language not in kinds] == []
    assert {block.language for block in BLOCKS} >= RUN | {"bash", "ini"}


# ---------------------------------------------------------------------- what is checked
def _of(language: str) -> list[Any]:
    return [pytest.param(block, id=block.where) for block in BLOCKS if block.language == language]


@pytest.mark.parametrize("block", _of("ini"))
def test_options_exist(block: Block) -> None:
    parser, defaults = configparser.ConfigParser(interpolation=None), configparser.ConfigParser(interpolation=None)
    parser.read_string(block.text)
    defaults.read(defaults_path())
    for section in parser.sections():
        assert set(parser[section]) <= set(defaults[section])


@pytest.mark.parametrize("block", _of("json"))
def test_json_is_valid(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", _of("bash"))
def test_commands_name_what_there_is(block: Block) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    words = shlex.split(block.text, comments=True)
    script = ""
    for before, word in zip(["", *words], words, strict=False):
        if re.match(r"(\.ci|benchmarks|docs|examples|tests)/", word):
            script = (ROOT / word.partition("::")[0]).read_text() if "_build" not in word else ""
        if before == "--stores":
            assert set(word.split(",")) <= set(STORES)
        elif word.startswith("--") and "add_argument" in script:
            assert f'"{word}"' in script
        for extras in re.findall(r"(?:\.|cottoncandy)\[([\w,]+)\]", word):
            assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_the_two_commands_of_the_readme_set_everything_up() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Two commands")[2]
    first, second = [block.text for block in BLOCKS if block.page.name == "README.md" and block.text in text][:2]
    assert "-m venv" in first
    assert "examples/fmri.py" in first
    assert "-m venv" in second
    assert "pytest" in second


# ---------------------------------------------------------------------- nothing is left out
def public_names(thing: type) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_the_reference_has_every_public_name() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    directives = re.findall(r"^(?:\.\. auto\w+::|   :members:) (.+)$", page, re.MULTILINE)
    documented = {name for directive in directives for name in re.findall(r"\w+", directive)}
    assert public_names(cc.interfaces.DefaultInterface) <= documented
    expected = {
        *cc.__all__,
        *errors.__all__,
        *browser.__all__,
        *backends.__all__,
        *codecs.__all__,
        *cc.interfaces.__all__,
    }
    expected |= {name for name, thing in vars(base).items() if getattr(thing, "__module__", "") == base.__name__}
    assert expected - {"__version__", "BytesLike", "browse", "fill"} <= documented


def test_the_configuration_page_has_every_option() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    defaults = configparser.ConfigParser(interpolation=None)
    defaults.read(defaults_path())
    for section in defaults.sections():
        table = page.partition(f"\n## [{section}]")[2].partition("\n## ")[0].lower()
        for key, value in defaults[section].items():
            assert re.search(rf"^\| `{key}` \| `?{re.escape(value.lower())}`? \|", table, re.MULTILINE), (section, key)


def test_the_tutorial_has_every_name_that_metadata_may_not_have() -> None:
    _, _, text = (ROOT / "docs" / "tutorial.md").read_text().partition("### Your own metadata")
    told = set(re.findall(r"`([\w-]+)`", text.partition("### ")[0]))
    assert {*RESERVED_KEYS, VERSION, LEAF, MARK} - {"compression"} <= told  # which is an argument


def test_the_errors_page_has_every_error() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert [name for name in errors.__all__ if f"`{name}`" not in page] == []


def test_the_landing_page_leads_to_every_page() -> None:
    docs = ROOT / "docs"
    body = (docs / "index.md").read_text(encoding="utf-8").partition("```{toctree}")[0]
    pages_below = {str(page.relative_to(docs)) for page in docs.rglob("*.md") if "_build" not in page.parts}
    assert pages_below - set(re.findall(r"\]\(([^)#]+)", body)) == {"index.md"}


def headings(text: str) -> set[str]:
    """What a link may name behind the ``#``: a heading as it is spelled in addresses, or a label."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    spelled = {re.sub(r"[^\w -]", "", title).strip().replace(" ", "-").lower() for title in titles}
    return {*spelled, *re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", pages.pages()[:4], ids=lambda page: page.stem)
def test_links_outside_of_the_site_lead_to_files_and_headings(page: Path) -> None:
    # within the site, Sphinx sees to it
    for link in re.findall(r"\]\(([^):]+)\)", page.read_text("utf-8")):
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file()
        assert not heading or heading in headings(target.read_text("utf-8")), link


def test_addresses_are_written_right() -> None:
    # nothing is asked of the network
    for page in pages.pages():
        for address in re.findall(r"(?:\]\(|<)(https?:[^)>]*)", page.read_text("utf-8")):
            parts = urlsplit(address)
            assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.hostname or ""), (page.name, address)
            assert re.fullmatch(r"[\w/.~%&=?#+-]*", address.partition(parts.netloc)[2]), (page.name, address)


def test_the_map_of_the_house_is_true() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = page.partition("\n## The map of the house")[2].partition("\n## ")[0]
    drawn = set(re.findall(r"^\s*([\w./]+?)/?\s{2,}", text, re.MULTILINE))
    package = {path.name for path in (ROOT / "cottoncandy").iterdir() if not path.name.startswith(("_", "py.typed"))}
    assert package <= drawn, package - drawn


@pytest.mark.filterwarnings("ignore::UserWarning")  # matplotlib's, where there is no window
def test_the_notebook_of_the_picture_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    notebook = json.loads((ROOT / "docs" / "jupyter.ipynb").read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {}
    for cell in notebook["cells"]:
        assert not cell["outputs"]
        exec("".join(cell["source"]).replace("6000", "60"), namespace)
    shown = namespace["subject"]._repr_html_()
    assert all(text in shown for text in ("head.arr", "(80, 100, 70)", "Zstd-blocks", "trials.grp/"))
