"""The options that many commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from cottoncandy.cli.app import Invocation, be_verbose
from cottoncandy.cli.completing import complete_names
from cottoncandy.cli.places import Access

Function = TypeVar("Function", bound=Callable[..., Any])
#: The names of an option, and its attributes.
_Option = tuple[tuple[str, ...], dict[str, Any]]

_CONNECTION: tuple[_Option, ...] = (
    (
        ("--backend",),
        {"envvar": "COTTONCANDY_BACKEND", "help": "s3 (the default), local, gdrive, or an installed one."},
    ),
    (("-b", "--bucket"), {"envvar": "COTTONCANDY_BUCKET", "help": "For names without one: a bucket or directory."}),
    (("--endpoint-url",), {"metavar": "URL", "help": "Of a store that speaks S3."}),
    (("--profile",), {"help": "Of AWS's configuration files."}),
    (("--region",), {"help": "Of the bucket."}),
    (("--no-sign-request",), {"is_flag": True, "help": "Read public data without keys."}),
    (("--ca-bundle",), {"metavar": "FILE", "help": "Of the authority that signed the server's certificate."}),
    (("--request-payer",), {"is_flag": True, "help": "Pay for what is read."}),
)


class Command(click.Command):
    """A command whose help shows the options of the connection apart."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options, and then those that all share."""
        shared = {names[-1] for names, _ in _CONNECTION} | {"--debug", "--help"}
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Connection": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections["Connection" if shared & {*parameter.opts} else "Options"].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def command(**attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of ours: like `click.command`, with the options that all share; it gets ``access``."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        return click.command(cls=Command, **attributes)(_connected(function))

    return decorate


def _connected(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(**parameters: Any) -> Any:
        access = Access.from_options(parameters)
        own = {name: value for name, value in parameters.items() if name not in Access.OPTIONS}
        return function(access=access, **own)

    decorated: Callable[..., Any] = _debug(call)
    for names, attributes in reversed(_CONNECTION):
        decorated = click.option(*names, **attributes)(decorated)
    # click keeps the parameters in reverse: our own come before the shared
    own, shared = _split(decorated, len(_CONNECTION) + 1)
    decorated.__click_params__ = shared + own  # type: ignore[attr-defined]
    return decorated


def _split(decorated: Callable[..., Any], count: int) -> tuple[list[click.Parameter], list[click.Parameter]]:
    parameters: list[click.Parameter] = decorated.__click_params__  # type: ignore[attr-defined]
    return parameters[:-count], parameters[-count:]


def _debug(function: Callable[..., Any]) -> Callable[..., Any]:
    def turn_on(context: click.Context, _: click.Parameter, value: bool) -> None:
        invocation = context.find_object(Invocation)
        if value and invocation:
            invocation.debug = True
            be_verbose()

    return click.option(
        "--debug", is_flag=True, expose_value=False, callback=turn_on, help="Tell all that is done, and where it fails."
    )(function)


def names_argument(name: str = "names", **attributes: Any) -> Callable[[Function], Function]:
    """An argument that takes places in a store, completed with those that there are."""
    return click.argument(name, **{"shell_complete": complete_names, **attributes})


json_option = click.option("--json", "as_json", is_flag=True, help="For scripts: one JSON document.")
human_option = click.option("-h", "--human-readable", "human", is_flag=True, help="Sizes as 1.5M.")
recursive_option = click.option("-r", "--recursive", is_flag=True, help="All objects below the name.")
dry_run_option = click.option("-n", "--dry-run", is_flag=True, help="Change nothing: only tell what would be done.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
