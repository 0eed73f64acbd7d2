"""cp and mv: inside of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cottoncandy import keys
from cottoncandy.cli.options import command, dry_run_option, names_argument, quiet_option, recursive_option
from cottoncandy.cli.places import (
    BETWEEN_STORES,
    Access,
    Place,
    is_directory,
    is_pattern,
    matching,
    one_store,
    open_store,
    place,
    refuse_doubles,
    require_names,
)
from cottoncandy.cli.streams import tell
from cottoncandy.errors import InvalidObjectName, ObjectNotFound

if TYPE_CHECKING:
    from cottoncandy.interfaces import DefaultInterface

_overwrite_option = click.option("-f", "--overwrite", is_flag=True, help="Replace what is there.")


@command()
@names_argument("names", nargs=-1, required=True, metavar="NAME... DESTINATION")
@recursive_option
@_overwrite_option
@dry_run_option
@quiet_option
def cp(names: tuple[str, ...], *, recursive: bool, overwrite: bool, dry_run: bool, quiet: bool, access: Access) -> None:
    """Copy inside of a store, also to another bucket; metadata goes along. A DESTINATION/ is copied into."""
    _transfer("cp", names, recursive=recursive, overwrite=overwrite, dry_run=dry_run, quiet=quiet, access=access)


@command()
@names_argument("names", nargs=-1, required=True, metavar="NAME... DESTINATION")
@recursive_option
@_overwrite_option
@dry_run_option
@quiet_option
def mv(names: tuple[str, ...], *, recursive: bool, overwrite: bool, dry_run: bool, quiet: bool, access: Access) -> None:
    """Move inside of a store, also to another bucket: the old is deleted when all that is new stands."""
    _transfer("mv", names, recursive=recursive, overwrite=overwrite, dry_run=dry_run, quiet=quiet, access=access)


def _transfer(
    action: str, names: tuple[str, ...], *, recursive: bool, overwrite: bool, dry_run: bool, quiet: bool, access: Access
) -> None:
    if len(names) < 2:
        raise click.UsageError("name what there is, and where to")
    require_names(names)
    places = [place(text, access) for text in names[:-1]]
    source, target = one_store(places), place(names[-1], access)
    if source.backend != target.backend:
        raise click.UsageError(f"{action} stays inside of one store: {BETWEEN_STORES}")
    cci = open_store(source, access)
    found = dict.fromkeys(name for one in places for name in _named(cci, one, recursive=recursive))
    into = names[-1].endswith("/") or not target.name
    if len(found) > 1 and not into:
        raise click.UsageError(f"{names[-1]!r} takes one of them only: end it with / to {action} into it")
    ways = [(name, keys.join(target.name, keys.basename(name)) if into else target.name) for name in found]
    refuse_doubles(action, ((source.at(name), target.at(there)) for name, there in ways))
    for name, there in ways:
        if not dry_run:
            transfer = getattr(cci, action)
            transfer(name, there, source.container, target.container, overwrite=overwrite, recursive=recursive)
        if dry_run or not quiet:
            tell(f"{'would ' if dry_run else ''}{action} {source.at(name)} {target.at(there)}")


def _named(cci: DefaultInterface, one: Place, *, recursive: bool) -> list[str]:
    if is_pattern(cci, one.name):
        return [name.rstrip("/") for name in matching(cci, one, recursive=recursive)]
    name = keys.clean_object(one.name)
    if not recursive and (name.endswith(keys.SEPARATOR) or not cci.exists_object(name)):
        if is_directory(cci, name):
            raise InvalidObjectName(f"{one.at(name)} is a directory: use -r")
        raise ObjectNotFound(f"{one.at(name)} does not exist")
    return [name]
