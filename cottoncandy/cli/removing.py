"""rm and clean-uploads: what is thrown away."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from cottoncandy import keys
from cottoncandy.cli.app import FAILED
from cottoncandy.cli.options import (
    command,
    dry_run_option,
    json_option,
    names_argument,
    quiet_option,
    recursive_option,
)
from cottoncandy.cli.output import date_text, print_json
from cottoncandy.cli.places import (
    Access,
    Place,
    is_pattern,
    matching,
    objects_of,
    one_store,
    open_store,
    place,
    require_names,
    shows_progress,
)
from cottoncandy.cli.streams import is_terminal, tell
from cottoncandy.errors import InvalidObjectName
from cottoncandy.progress import Progress

if TYPE_CHECKING:
    from cottoncandy.interfaces import DefaultInterface

# What of a pattern tells no name: `[!.]*` is as much as `*`.
_WILD = re.compile(r"\[!?[^/][^]/]*\]|[*?/]")


@command()
@names_argument("names", nargs=-1, required=True, metavar="NAME...")
@recursive_option
@click.option("-y", "-f", "--yes", "--force", "sure", is_flag=True, help="Do not ask.")
@dry_run_option
@quiet_option
@json_option
def rm(
    names: tuple[str, ...], *, recursive: bool, sure: bool, dry_run: bool, quiet: bool, as_json: bool, access: Access
) -> int:
    """Delete objects, what a pattern matches, or with -r all below a name.

    A name is a directory and no prefix: rm -r exp leaves exp2 alone. The * of a pattern does not cross /, and
    directories that match stay without -r. With -r, a terminal is asked first.
    """
    require_names(names)
    places = [place(text, access) for text in names]
    where = one_store(places)
    cci = open_store(where, access)
    named = {name for one in places for name in _named(cci, one, recursive=recursive)}
    left = set() if recursive else {name for name in named if name.endswith(keys.SEPARATOR)}
    found = sorted({key for name in named - left for key in objects_of(cci, name)})
    if not dry_run:
        if recursive and not sure and not _is_meant(len(found), places):
            tell("nothing is removed", err=True)
            return FAILED
        with Progress(shows_progress(quiet=quiet)).many("delete", names[0], len(found)) as count:
            cci.backend_interface.delete(count.through(found))
    _tell(where, found, dry_run=dry_run, quiet=quiet, as_json=as_json)
    if left:
        raise InvalidObjectName(f"{where.at(min(left).rstrip(keys.SEPARATOR))} is a directory: use -r")
    return 0


def _tell(where: Place, found: list[str], *, dry_run: bool, quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json({"deleted": found, "dry_run": dry_run})
    elif dry_run:
        for name in found:
            tell(f"would delete {where.at(name)}")
    elif found and not quiet:
        tell(f"deleted {len(found)} object{'' if len(found) == 1 else 's'}")


def _is_meant(count: int, places: list[Place]) -> bool:
    """Ask, where somebody is there."""
    if is_terminal(sys.stdin):
        return click.confirm(f"Delete {count} objects below {', '.join(one.at(one.name) for one in places)}?")
    if not all(_WILD.sub("", one.name) for one in places):
        raise click.UsageError("this would empty the bucket: say --yes")
    return True


def _named(cci: DefaultInterface, one: Place, *, recursive: bool) -> list[str]:
    """What a name means: objects, and directories, which end with ``/``."""
    if is_pattern(cci, one.name):
        return matching(cci, one, recursive=True)
    exact = bool(one.name) and not one.name.endswith(keys.SEPARATOR)
    found = [one.name] if exact and cci.exists_object(one.name) else []
    directory = keys.as_directory(one.name) or keys.SEPARATOR
    if (recursive or not found) and next(objects_of(cci, directory), None) is not None:
        found.append(directory)
    if not found:
        raise one.nothing()
    return found


@command()
@names_argument("name", required=False)
@click.option(
    "--older-than",
    type=click.FloatRange(0),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="Only those begun so long ago.",
)
@dry_run_option
@json_option
def clean_uploads(name: str | None, *, older_than: float, dry_run: bool, as_json: bool, access: Access) -> None:
    """Throw away the parts of uploads to NAME, and below it, that were never ended: they cost money."""
    require_names([] if name is None else [name])
    where = place(name or "", access)
    found = open_store(where, access).clean_uploads(where.name, older_than=older_than * 3600, dry_run=dry_run)
    if as_json:
        print_json([{"name": upload.key, "started": upload.started} for upload in found])
        return
    for upload in found:
        tell(f"{'would throw' if dry_run else 'threw'} away {date_text(upload.started)}  {where.at(upload.key)}")
    if not found:
        tell("no uploads were left")
