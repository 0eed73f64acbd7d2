"""sync: a directory on disk and a branch of the store, or two branches."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from cottoncandy.cli.completing import complete_directories
from cottoncandy.cli.options import command, dry_run_option, json_option, quiet_option
from cottoncandy.cli.output import print_json
from cottoncandy.cli.places import BETWEEN_STORES, Access, Place, is_url, open_store, place, require_names
from cottoncandy.cli.streams import tell


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
    cci = open_store(places[0], access, create=isinstance(ends[1], Place), quiet=quiet)
    report = cci.sync(
        first,
        second,
        delete=delete,
        include=include,
        exclude=exclude,
        checksum=checksum,
        dry_run=dry_run,
        source_bucket=places[0].container,
        dest_bucket=places[-1].container,
    )
    if as_json:
        print_json(asdict(report))
        return
    would = "would " if dry_run else ""
    if not quiet:
        for action, names in (("transfer", report.transferred), ("delete", report.deleted)):
            for name in names:
                tell(f"{would}{action} {name}")
        for name in report.skipped:
            tell(f"{would}skip {name}: a link that is not followed, or no file")
        tell(str(report))
