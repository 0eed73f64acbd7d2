"""sync: a directory on disk and a branch of the store, or two branches."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from cottoncandy import keys
from cottoncandy.cli.completing import complete_directories
from cottoncandy.cli.options import command, dry_run_option, json_option, quiet_option
from cottoncandy.cli.output import print_json
from cottoncandy.cli.places import (
    BETWEEN_STORES,
    Access,
    Place,
    is_directory,
    is_made,
    is_url,
    open_store,
    place,
    require_names,
)
from cottoncandy.cli.streams import tell
from cottoncandy.errors import ContainerNotFound, ObjectNotFound

if TYPE_CHECKING:
    from cottoncandy.interfaces import DefaultInterface
    from cottoncandy.syncing import SyncReport


@command()
@click.argument("source", shell_complete=complete_directories)
@click.argument("destination", shell_complete=complete_directories)
@click.option("--delete", is_flag=True, help="Delete what only the destination has.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only names that fit; may be repeated.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="No names that fit; may be repeated.")
@click.option("-c", "--checksum", is_flag=True, help="Compare contents, not times.")
@dry_run_option
@quiet_option
@json_option
def sync(
    source: str,
    destination: str,
    *,
    delete: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    checksum: bool,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
    access: Access,
) -> None:
    """Make DESTINATION like SOURCE: only what differs moves, and running it again goes on where it was stopped.

    A place in the store is a URL, s3://BUCKET/NAME or cottoncandy:///NAME; all else is a directory on disk.
    """
    require_names([source, destination])
    ends = [place(text, access) if is_url(text) else Path(text) for text in (source, destination)]
    places = [end for end in ends if isinstance(end, Place)]
    if not places:
        raise click.UsageError("one of the two is in the store: write s3://BUCKET/NAME or cottoncandy:///NAME")
    if len({one.backend for one in places}) > 1:
        raise click.UsageError(f"sync stays inside of one store: {BETWEEN_STORES}")
    first, second = (end.name if isinstance(end, Place) else end for end in ends)
    with ExitStack() as stack:
        cci, dest_bucket = _open(stack, ends[0], places[-1], access, dry_run=dry_run, quiet=quiet)
        report = cci.sync(
            first,
            second,
            delete=delete,
            include=include,
            exclude=exclude,
            checksum=checksum,
            dry_run=dry_run,
            source_bucket=places[0].container,
            dest_bucket=dest_bucket,
        )
    if as_json:
        print_json(asdict(report))
    elif not quiet:
        _tell(report, "would " if dry_run else "")


def _tell(report: SyncReport, would: str) -> None:
    for action, names in (("transfer", report.transferred), ("delete", report.deleted)):
        for name in names:
            tell(f"{would}{action} {name}")
    for name in report.skipped:
        reason = (
            "no file has such a name" if name.endswith(keys.SEPARATOR) else "a link that is not followed, or no file"
        )
        tell(f"{would}skip {name}: {reason}")
    tell(str(report))


def _open(
    stack: ExitStack, source: Place | Path, last: Place, access: Access, *, dry_run: bool, quiet: bool
) -> tuple[DefaultInterface, str | None]:
    """An interface to the store, and the destination's container; that is made when the source was looked at."""
    if isinstance(source, Path):
        if not source.is_dir():
            raise NotADirectoryError(f"{source} is no directory")
        return _open_destination(stack, last, access, dry_run=dry_run, quiet=quiet)
    cci = open_store(source, access, quiet=quiet)
    if not is_directory(cci, source.name):
        raise ObjectNotFound(f"{source.at(source.name)}: nothing is below this name")
    if last.container == source.container:
        return cci, last.container
    return cci, _open_destination(stack, last, access, dry_run=dry_run, quiet=quiet)[1]


def _open_destination(
    stack: ExitStack, where: Place, access: Access, *, dry_run: bool, quiet: bool
) -> tuple[DefaultInterface, str | None]:
    try:
        return open_store(where, access, create=not dry_run, quiet=quiet), where.container
    except ContainerNotFound:
        if not (dry_run and is_made(where)):
            raise
    nothing = stack.enter_context(TemporaryDirectory())  # in the place of the directory that would be made
    return open_store(replace(where, container=nothing), access, quiet=quiet), nothing
