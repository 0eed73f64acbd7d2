"""Files of options: where they are, what they say, and a new one for a user who has none yet."""

from __future__ import annotations

import configparser
import errno
import logging
import os
import stat
import sys
from pathlib import Path
from typing import TypeVar

from cottoncandy.errors import ConfigurationError

log = logging.getLogger(__name__)

Value = TypeVar("Value")

_ON_LINUX = sys.platform == "linux"
#: Names another user file than the one in the configuration folder.
CONFIG_FILE_VARIABLE = "COTTONCANDY_CONFIG_FILE"
#: What nobody is shown, in no repr and no traceback, and what makes a file one for its owner only.
SECRETS = frozenset({("login", "access_key"), ("login", "secret_key"), ("encryption", "key")})
#: What stands for: not set.
UNSET = {"", "false", "none"}
#: The section whose options are those of every other one, too, as configparser has it.
FOR_ALL = configparser.DEFAULTSECT


def defaults_path() -> Path:
    """The ``defaults.cfg`` of this installation: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "defaults.cfg"
    return inside if inside.exists() else package.parent / "defaults.cfg"


def user_file_path() -> Path:
    """Where the user's file is: ``~/.config/cottoncandy/options.cfg`` on Linux."""
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    return expanded(named) if named else _config_folder() / "options.cfg"


def _config_folder() -> Path:
    named, home = os.environ.get("XDG_CONFIG_HOME", ""), os.environ.get("HOME", "")
    base = named or os.path.join(home, ".config")  # noqa: PTH118
    if _ON_LINUX and os.path.isabs(named or home):  # noqa: PTH117 - platformdirs would say the same, and brings much
        return Path(base) / "cottoncandy"
    from platformdirs import user_config_path

    try:
        return user_config_path("cottoncandy")
    except RuntimeError:
        # nobody knows the home of this user, as in some containers; older releases of platformdirs give just this
        return Path("~/.config/cottoncandy")


def expanded(path: str | Path) -> Path:
    """A file's name with the user's home in the place of ``~``."""
    # unlike Path.expanduser, no error where nobody knows the home: the name stays as it is, and nothing is there
    return Path(os.path.expanduser(path))  # noqa: PTH111


class Unshown(dict[str, Value]):
    """What may hold keys, which no repr shows."""

    def __repr__(self) -> str:
        return f"<{len(self)} values>"


#: The options of a file by their names, in lower case, by their sections.
Sections = Unshown[Unshown[str]]


def read_sections(path: Path) -> Sections:
    """The options of a file, by section; none where it is not there, or cannot be read.

    Raises
    ------
    ConfigurationError
        Which names the file, and quotes nothing of it.
    """
    try:
        # -sig: editors of Windows begin a file with a byte-order mark
        return parsed(path.read_text(encoding="utf-8-sig"), path)
    except UnicodeDecodeError as error:
        raise _invalid(path, error) from None
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("%s cannot be read (%s): its options are left out", path, error.strerror)
    return Unshown()


def parsed(text: str, path: Path) -> Sections:
    """The options of a configuration file's text, by section.

    Raises
    ------
    ConfigurationError
        Which names the file, and quotes nothing of it.
    """
    # no interpolation: a secret key may hold a `%`
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise _invalid(path, error) from None
    # a parser has objects of its own for each of its options
    sections = [*([FOR_ALL] if parser.defaults() else []), *parser.sections()]
    return Unshown((section, Unshown(parser.items(section))) for section in sections)


def _invalid(path: Path, error: Exception) -> ConfigurationError:
    # the parser's own message quotes the line, which may be a key
    return ConfigurationError(f"{path} is no valid configuration file ({_fault(error)}): mend or remove it")


def holds_secrets(sections: Sections) -> bool:
    """Whether one of the keys is set."""
    return any((value_of(sections, *one) or "").strip().lower() not in UNSET for one in SECRETS)


def value_of(sections: Sections, section: str, key: str) -> str | None:
    """What a file says of an option; None where it says nothing."""
    options = sections.get(section)
    return None if options is None else options.get(key.lower())


def _fault(error: Exception) -> str:
    """What is wrong in a file, without its text."""
    lines = [line for line, _ in getattr(error, "errors", [])] or [getattr(error, "lineno", None)]
    return f"{type(error).__name__}, line {lines[0]}" if lines[0] else type(error).__name__


#: What this process has warned of.
_warned: set[str] = set()


def warn_once(message: str) -> None:
    """Log a warning, if this process has not done so before: options are read again for each interface."""
    if message not in _warned:
        _warned.add(message)
        log.warning("%s", message)


def warn_if_public(path: Path) -> None:
    """Log a warning, once, if others than its owner can read a file that holds keys."""
    if os.name != "posix":
        return
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        warn_once(f"{path} holds keys, and can be read by others, who could use them: chmod 600 {path}")


def create_user_file(path: Path) -> None:
    """`make_user_file`, which an interface can do without."""
    try:
        make_user_file(path)
    except OSError as error:
        # a read-only home, or another process was faster: nothing is lost, the defaults serve
        log.debug("no configuration file made at %s: %s", path, error)


def make_user_file(path: Path) -> None:
    """Make the user's file if there is none, with every option commented out, readable by its owner only.

    Commented out, because what stands in the file is what the user chose: the defaults of a later release
    are not frozen, and no ACL is taken for one that the user named.

    Raises
    ------
    OSError
    """
    if os.path.lexists(path):
        return  # even if we may not look at it
    if str(path).startswith("~"):
        raise FileNotFoundError(errno.ENOENT, "nobody knows the home of this user", str(path))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(_template(defaults_path().read_text(encoding="utf-8")))
    if os.environ.get(CONFIG_FILE_VARIABLE):  # by a slip of the pen, all that the meant one says is left out
        log.warning("%s, which %s names, was not there: it was made, and sets nothing", path, CONFIG_FILE_VARIABLE)


def _template(defaults: str) -> str:
    lines = ["# Your own options of cottoncandy. Take the `#` away from a line `#key = value` to change it.", ""]
    body = defaults.splitlines()
    first_section = next(i for i, line in enumerate(body) if line.startswith("["))
    for line in body[first_section:]:
        is_option = line and not line.startswith(("#", "["))
        lines.append(f"#{line}" if is_option else line)
    return "\n".join(lines) + "\n"
