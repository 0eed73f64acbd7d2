"""verify and doctor: whether what is stored is right, and whether the way to it is."""

from __future__ import annotations

from dataclasses import asdict

import click

from cottoncandy.cli.app import FAILED
from cottoncandy.cli.options import command, json_option, names_argument
from cottoncandy.cli.output import print_json
from cottoncandy.cli.places import Access, open_store, place
from cottoncandy.cli.streams import tell


@command()
@names_argument("name", default="")
@json_option
def verify(name: str, *, as_json: bool, access: Access) -> int:
    """Read every array of NAME, and hold it to its checksum.

    What is damaged is listed, and what cannot be read from here; the command ends with 1 then.
    """
    where = place(name, access)
    report = open_store(where, access).verify(where.name)
    if as_json:
        print_json(asdict(report))
    else:
        for damage in report.damaged:
            tell(f"damaged {damage}")
        for unsure in report.without_checksum:
            tell(f"without a checksum {unsure}")
        for unreadable in report.unreadable:
            tell(f"not readable here {unreadable}")
        counts = f"{report.checked} checked, {len(report.damaged)} damaged"
        tell(f"{counts}, {len(report.without_checksum)} without a checksum, {report.unchecked} no arrays")
    return 0 if report.ok and not report.unreadable else FAILED


_SIGNS = {"ok": ("ok  ", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red")}


@command()
@names_argument("name", default="", metavar="[PLACE]")
@click.option("--read-only", is_flag=True, help="Write nothing.")
@json_option
def doctor(name: str, *, read_only: bool, as_json: bool, access: Access) -> int:
    """Find out what is wrong between here and a store, and what to change.

    Looks at the configuration, the endpoint, the clock, the credentials and the bucket; then writes, reads and deletes
    some MB under a random name, to tell what the store can do and how fast it is. Ends with 1 if something fails.
    """
    from cottoncandy.doctor import diagnose

    where = place(name, access)
    found = []
    for finding in diagnose(where.backend, where.container, write=not read_only, **access.settings):
        found.append(finding)
        if not as_json:
            sign, colour = _SIGNS[finding.level]
            click.echo(click.style(sign, colour), nl=False)
            tell(f"  {finding.check:<14} {finding.said}")
            if finding.advice:
                tell(f"{'':<22}-> {finding.advice}")
    if as_json:
        print_json([asdict(finding) for finding in found])
    return FAILED if any(finding.level == "fail" for finding in found) else 0
