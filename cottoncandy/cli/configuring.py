"""config: what is configured, where it was found, and a way to set it."""

from __future__ import annotations

import difflib
import io
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from cottoncandy.cli.options import json_option
from cottoncandy.cli.output import print_json
from cottoncandy.cli.streams import tell
from cottoncandy.config import Options
from cottoncandy.configfiles import SECRETS, Sections, holds_secrets, make_user_file, parsed, user_file_path
from cottoncandy.diskfiles import replacing
from cottoncandy.errors import ConfigurationError
from cottoncandy.misspelt import Unread


def _options_like(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    names = map(".".join, Options.load(create=False, check=False).names)
    return [name for name in names if name.startswith(incomplete)]


@click.command()
@click.argument("option", required=False, metavar="[SECTION.KEY]", shell_complete=_options_like)
@click.argument("value", required=False)
@click.option("--path", "show_path", is_flag=True, help="Print where your own file is.")
@json_option
def config(option: str | None, value: str | None, *, show_path: bool, as_json: bool) -> None:
    """Show all options and where each was found, one of them, or set one in your own file.

    \b
    cottoncandy config basic.default_bucket              print it
    cottoncandy config basic.default_bucket my-bucket    set it
    """  # noqa: D301 - click takes a backspace for its mark
    if show_path:
        tell(str(user_file_path()))
    elif option is None:
        _show(None, as_json=as_json)
    elif value is None:
        _show(option, as_json=as_json)
    else:
        _set(option, value)
        _tell_what_was_set(option, as_json=as_json)


def _split(option: str, options: Options) -> tuple[str, str]:
    section, _, key = option.partition(".")
    if (section, key.lower()) not in options.names:
        near = difflib.get_close_matches(option.lower(), map(".".join, options.names), 1)
        said = f"near is {near[0]}" if near else "they look like basic.threads"
        raise ConfigurationError(f"there is no option {option!r}: {said}; `cottoncandy config` shows all")
    return section, key.lower()


def _shown(options: Options, section: str, key: str) -> tuple[str, str]:
    value, source = options.find(section, key)
    if value is None:
        return "not set", source.value
    return ("***" if (section, key) in SECRETS else value), source.value


def _show(option: str | None, *, as_json: bool) -> None:
    """Print one option, or all with where each was found."""
    options = Options.load(check=False)  # it is here that what is misspelt shall be found
    names = options.names if option is None else [_split(option, options)]
    rows = [(".".join(name), *_shown(options, *name)) for name in names]
    unread = options.unread() if option is None else {}
    if as_json:
        shown: dict[str, Any] = {name: {"value": value, "from": source} for name, value, source in rows}
        print_json(shown | {one.name: _as_json(one, place) for place, all_ in unread.items() for one in all_})
        return
    for name, value, source in rows:
        tell(value if option is not None else f"{name:<35} {value:<28} {source}")
    for place, misspelt in unread.items():
        for one in misspelt:
            tell(f"{one.name:<35} {'nothing reads it' + (f'; near is {one.near}' if one.near else ''):<28} {place}")


def _as_json(one: Unread, place: str) -> dict[str, Any]:
    return {"value": None, "from": place, "read": False, "near": one.near}


def _tell_what_was_set(option: str, *, as_json: bool) -> None:
    if as_json:  # what counts from now on, which may be another place's
        _show(option, as_json=True)
    else:
        section, key = _split(option, Options.load(create=False, check=False))
        tell(f"{section}.{key} is set in {_home(user_file_path())}")


def _set(option: str, value: str) -> None:
    path = user_file_path()
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"{path} is no file that options could be kept in")
    section, key = _split(option, Options.load(create=False, check=False))
    if "\n" in value or "\r" in value:
        raise ConfigurationError(f"{section}.{key}: the value is one line")
    _check(section, key, value)
    with suppress(FileExistsError):  # another process was faster
        make_user_file(path)
    text = path.read_bytes().decode()  # with the ends of lines, and the byte-order mark, that an editor gave it
    body = text.removeprefix(_BYTE_ORDER_MARK)
    changed = _with_option(body, section, key, value)
    found = _read_back(body, changed, path, section, key, value)
    # nobody else is to read a key, whoever could read the file so far
    with replacing(path, f"{section}.{key}", mode=0o600 if holds_secrets(found) else None) as file:
        file.write((text.removesuffix(body) + changed).encode())


def _check(section: str, key: str, value: str) -> None:
    """Refuse what no call could use, where it is told what is wanted."""
    from cottoncandy import codecs

    tried = Options.of_one(section, key, value)
    if tried.is_number(section, key):
        tried.number(section, key)
    elif (section, key) == ("progress", "show"):
        tried.choice(section, key)
    elif tried.is_switch(section, key):
        tried.flag(section, key)
    elif section == "compression" and tried.text(section, key):
        tried.read(section, key, codecs.get_codec)


def _read_back(text: str, changed: str, path: Path, section: str, key: str, value: str) -> Sections:
    """What a changed text says.

    Raises
    ------
    ConfigurationError
        If it is not what the text said, but for the option: then whoever laid the file out has to set it.
    """
    expected = {name: {**options} for name, options in _parsed(text, path).items()}
    expected.setdefault(section, {})[key] = value.strip()
    with suppress(ConfigurationError):
        if (found := _parsed(changed, path)) == expected:
            return found
    raise ConfigurationError(
        f"{section}.{key} cannot be set in {path}, as its lines are indented or split in a way of their own: "
        "it is left as it is; set the option with an editor"
    )


def _parsed(text: str, path: Path) -> Sections:
    return parsed(io.IncrementalNewlineDecoder(None, translate=True).decode(text, final=True), path)


def _home(path: Path) -> str:
    home = Path("~").expanduser()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _with_option(text: str, section: str, key: str, value: str) -> str:
    """The text of a configuration file with one option set: its line is replaced, commented out or not, or added."""
    end = "\r\n" if "\r\n" in text else "\n"
    head, header, rest = _around(text, section, end)
    body, following = _until_next_section(rest)
    # what is indented further than the option before it goes on with that: lines of a section stand below each other
    first = _OPTION.search(body)
    line = f"{first['indent'] if first else ''}{key} = {value}{end}"
    for pattern in _SET_ALREADY, _COMMENTED_OUT:
        body, count = re.subn(pattern.format(re.escape(key)), lambda _: line, body, count=1, flags=_LINES)
        if count:
            return head + header + body + following
    return head + header + line + body + following


_BYTE_ORDER_MARK = "\ufeff"
_LINES = re.MULTILINE | re.IGNORECASE
_OPTION = re.compile(r"^(?P<indent>[ \t]*)[^#;\[\s].*?[=:]", _LINES)
_SET_ALREADY = r"^(?P<indent>[ \t]*){}[ \t]*[=:].*\n?(?:(?P=indent)[ \t]+[^#;\s].*\n?)*"
_COMMENTED_OUT = r"^[ \t]*[#;][ \t]*{}[ \t]*[=:].*\n?"


def _around(text: str, section: str, end: str) -> tuple[str, str, str]:
    match = re.search(rf"^[ \t]*\[{re.escape(section)}\].*\n?", text, re.MULTILINE)
    if match is None:
        text = text if not text or text.endswith("\n") else text + end
        return text, f"{end}[{section}]{end}", ""
    header = match[0] if match[0].endswith("\n") else match[0] + end
    return text[: match.start()], header, text[match.end() :]


def _until_next_section(text: str) -> tuple[str, str]:
    match = re.search(r"^[ \t]*\[", text, re.MULTILINE)
    return (text[: match.start()], text[match.start() :]) if match else (text, "")
