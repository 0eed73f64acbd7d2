"""The pages that people read, as code blocks; and what running a block means."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cottoncandy import cli

if sys.version_info >= (3, 11):
    import tomllib
else:  # pytest brings it along
    import tomli as tomllib

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n)?"
    r"^```(?P<language>[^\n`]+)\n"
    r"(?P<options>(?::\w+:[^\n]*\n)*)\n?"
    r"(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_CAPTION = re.compile(r"^:caption: (?P<file>\S+)$", re.MULTILINE)
_DOCTEST_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes
    ----------
    file : str or None
        The name that its caption gives it: it is the content of a file.
    reason : str or None
        Why it is not run: ``<!-- not run: REASON -->`` stands right above it.
    """

    page: Path
    line: int
    language: str
    text: str
    file: str | None = None
    reason: str | None = None

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """What people read, the README first; notebooks are run when the site is built."""
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
    return [
        *(ROOT / name for name in names),
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted(ROOT.glob("docs/howto/*.md")),
    ]


def blocks(page: Path) -> Iterator[Block]:
    """The code blocks of a page; MyST's directives are left out, but for code with a caption."""
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        language = match["language"].removeprefix("{code-block} ")
        caption = _CAPTION.search(match["options"])
        if not language.startswith("{"):
            yield Block(page, line, language, match["text"], caption and caption["file"], match["reason"])


def run(block: Block, text: str, namespace: dict[str, Any]) -> None:
    """Run a block as a reader would: as a script, as a session, or by making the file that it is."""
    if block.file:
        _make_file(block.file, text)
    elif block.language == "pycon":
        session = doctest.DocTestParser().get_doctest(text, {}, block.where, str(block.page), block.line - 1)
        session.globs = namespace  # not a copy: the next block goes on from here
        run_session(session)
    elif block.language == "console":
        run_console(text)
    else:
        # as many empty lines before it, so that a traceback names the line in the page
        exec(compile("\n" * (block.line - 1) + text, block.page, "exec"), namespace)


def run_console(text: str) -> None:
    """Run the commands of a block, and compare what they print; ``export`` sets the environment from there on.

    Raises
    ------
    AssertionError
    """
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
        program, *arguments = shlex.split(command, comments=True)
        if program == "export":
            os.environ.update(word.split("=", 1) for word in arguments)
            continue
        if program != "cottoncandy":
            raise AssertionError(f"{program}: only our own command is run")
        printed = _printed(arguments)
        if not doctest.OutputChecker().check_output(expected, printed, _DOCTEST_FLAGS):
            raise AssertionError(f"$ {command}\n{printed}--- expected\n{expected}")


def _printed(arguments: list[str]) -> str:
    """What a command of ours prints, which must succeed."""
    printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")  # as stdout is: bytes may be written to its buffer
    with contextlib.redirect_stdout(printed):
        code = cli.run(arguments)
        printed.flush()
    if code:
        raise AssertionError(f"cottoncandy {shlex.join(arguments)} ended with {code}")
    return printed.buffer.getvalue().decode()  # type: ignore[attr-defined]


def run_session(session: doctest.DocTest) -> None:
    """Run a doctest; what it defines stays in its namespace.

    Raises
    ------
    AssertionError
        With doctest's own report.
    """
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=_DOCTEST_FLAGS, verbose=False)
    runner.run(session, out=report.append, clear_globs=False)
    if report:
        raise AssertionError("".join(report))


def _make_file(name: str, text: str) -> None:
    """Make the file in the current directory; what a ``pyproject.toml`` declares counts as installed."""
    Path(name).write_text(text, encoding="utf-8")
    if name == "pyproject.toml":
        _install(tomllib.loads(text)["project"])
    elif name.endswith(".py"):
        importlib.invalidate_caches()
        importlib.import_module(name.removesuffix(".py"))


def _install(project: dict[str, Any]) -> None:
    """What pip writes of a project's entry points."""
    folder = Path(f"{project['name'].replace('-', '_')}-{project['version']}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines: list[str] = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines))
