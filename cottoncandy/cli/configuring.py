"""config: what is configured, where it was found, and a way to set it."""

from __future__ import annotations

import configparser
import difflib
import os
import re
from pathlib import Path

import click

from cottoncandy.cli.options import json_option
from cottoncandy.cli.output import print_json
from cottoncandy.cli.streams import tell
from cottoncandy.config import Options, create_user_file, defaults_path, user_file_path
from cottoncandy.diskfiles import replacing
from cottoncandy.errors import ConfigurationError
from cottoncandy.progress import Progress

#: What is not shown.
_SECRET = {("login", "access_key"), ("login", "secret_key"), ("encryption", "key")}


def _options_like(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in map(".".join, _known()) if name.startswith(incomplete)]


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
        _show_all(as_json=as_json)
    elif value is None:
        section, key = _split(option)
        tell(_shown(Options.load(), section, key)[0])
    else:
        _set(*_split(option), value)


def _defaults() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(defaults_path().read_text(encoding="utf-8"))
    return parser


def _known() -> list[tuple[str, str]]:
    parser = _defaults()
    return [(section, key) for section in parser.sections() for key in parser[section]]


def _split(option: str) -> tuple[str, str]:
    section, _, key = option.partition(".")
    if (section, key.lower()) not in _known():
        near = difflib.get_close_matches(option.lower(), [".".join(known) for known in _known()], 1)
        said = f"near is {near[0]}" if near else "they look like basic.threads"
        raise ConfigurationError(f"there is no option {option!r}: {said}; `cottoncandy config` shows all")
    return section, key.lower()


def _shown(options: Options, section: str, key: str) -> tuple[str, str]:
    value, source = options.find(section, key)
    if value is None:
        return "not set", source.value
    return ("***" if (section, key) in _SECRET else value), source.value


def _show_all(*, as_json: bool) -> None:
    options = Options.load()
    rows = [(f"{section}.{key}", *_shown(options, section, key)) for section, key in _known()]
    if as_json:
        print_json({name: {"value": value, "from": source} for name, value, source in rows})
        return
    for name, value, source in rows:
        tell(f"{name:<35} {value:<28} {source}")


def _set(section: str, key: str, value: str) -> None:
    if "\n" in value or "\r" in value:
        raise ConfigurationError(f"{section}.{key}: the value is one line")
    _check(section, key, value)
    path = user_file_path()
    create_user_file(path)
    text = path.read_text(encoding="utf-8-sig")
    with replacing(path, f"{section}.{key}") as file:
        os.chmod(file.name, 0o600)  # noqa: PTH101 - a name, no path
        file.write(_with_option(text, section, key, value).encode())
    tell(f"{section}.{key} is set in {_home(path)}")


def _check(section: str, key: str, value: str) -> None:
    """Refuse what no call could use, where the default tells what is wanted, or it is one of a few words."""
    from cottoncandy import codecs

    default = _defaults().get(section, key)
    tried = Options.load({f"COTTONCANDY_{section}_{key}".upper(): value}, create=False)
    if default.isdecimal():
        tried.number(section, key)
    elif default == "True":
        tried.flag(section, key)
    elif (section, key) == ("progress", "show"):
        Progress(tried.choice(section, key))
    elif section == "compression" and (codec := tried.text(section, key)):
        codecs.get_codec(codec)


def _home(path: Path) -> str:
    home = Path("~").expanduser()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _with_option(text: str, section: str, key: str, value: str) -> str:
    """The text of a configuration file with one option set: its line is replaced, commented out or not, or added."""
    head, header, rest = _around(text, section)
    body, following = _until_next_section(rest)
    line = f"{key} = {value}\n"
    option = re.compile(rf"^[#;]?[ \t]*{re.escape(key)}[ \t]*[=:].*\n?", re.MULTILINE | re.IGNORECASE)
    set_already = re.compile(rf"^{re.escape(key)}[ \t]*[=:].*\n?(?:[ \t]+.*\n?)*", re.MULTILINE | re.IGNORECASE)
    pattern = set_already if set_already.search(body) else option
    body = pattern.sub(lambda _: line, body, count=1) if pattern.search(body) else line + body
    return head + header + body + following


def _around(text: str, section: str) -> tuple[str, str, str]:
    match = re.search(rf"^\[{re.escape(section)}\][ \t]*\n?", text, re.MULTILINE)
    if match is None:
        text = text if not text or text.endswith("\n") else text + "\n"
        return text, f"\n[{section}]\n", ""
    header = match[0] if match[0].endswith("\n") else match[0] + "\n"
    return text[: match.start()], header, text[match.end() :]


def _until_next_section(text: str) -> tuple[str, str]:
    match = re.search(r"^\[", text, re.MULTILINE)
    return (text[: match.start()], text[match.start() :]) if match else (text, "")
