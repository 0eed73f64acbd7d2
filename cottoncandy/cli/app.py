"""The command as a whole: which commands there are, how it ends, and what it says when it fails."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import click

import cottoncandy
from cottoncandy.cli import streams
from cottoncandy.errors import CottonCandyError

#: How the command ends, beside 0.
FAILED = 1
INTERRUPTED, PIPE_CLOSED = 128 + signal.SIGINT, 128 + 13  # as a shell tells of what a signal ended
TERMINATED = 128 + signal.SIGTERM

#: Where the scripts of `completion` say what they want.
COMPLETE = "_COTTONCANDY_COMPLETE"

#: Each command, the module of `cottoncandy.cli` that has it as a function, and what it does.
COMMANDS = {
    "ls": ("looking", "List a directory, or what a pattern matches."),
    "tree": ("looking", "Draw the names below a name as a tree."),
    "info": ("looking", "Tell what is known of an object: size, date, metadata, array."),
    "du": ("looking", "Add up sizes."),
    "get": ("getting", "Download objects, arrays and trees to disk."),
    "put": ("putting", "Upload files, and arrays that are in files."),
    "cp": ("moving", "Copy inside of a store."),
    "mv": ("moving", "Move inside of a store."),
    "rm": ("removing", "Delete objects."),
    "sync": ("syncing", "Make a directory on disk and a branch of the store alike."),
    "verify": ("checking", "Read arrays, and hold them to their checksums."),
    "browse": ("browsing", "Browse a store in the terminal, with previews of arrays."),
    "doctor": ("checking", "Find out what is wrong between here and a store, and what to change."),
    "clean-uploads": ("removing", "Throw away what killed uploads left."),
    "config": ("configuring", "Show and set options."),
    "completion": ("completing", "Print what a shell needs to complete commands and names."),
}


@dataclass
class Invocation:
    """What one run of the command was told of itself."""

    debug: bool = False


class _Commands(click.Group):
    """Commands that are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"cottoncandy.cli.{COMMANDS[cmd_name][0]}")
        return cast("click.Command", getattr(module, cmd_name.replace("-", "_")))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


@click.command(cls=_Commands, context_settings={"max_content_width": 100})
@click.version_option(cottoncandy.__version__, prog_name="cottoncandy", message="%(prog)s %(version)s")
def cottoncandy_command() -> None:
    """Arrays and files in object storage: Amazon S3 and its like, Google Drive, or a directory.

    A place in a store is s3://BUCKET/NAME, gdrive:///NAME or local://DIRECTORY//NAME, or just NAME in the bucket that
    --bucket, COTTONCANDY_BUCKET or the configuration names.
    """


def main() -> None:
    """Run the command that the process was started with, and end it."""
    streams.hold_closed()
    streams.take_any_text()
    terminated: list[int] = []
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, _: _interrupt(terminated, number))
    code = run(sys.argv[1:])
    sys.exit(TERMINATED if terminated and code == INTERRUPTED else code)


def _interrupt(came: list[int], number: int) -> None:
    """Take what a scheduler sends for Ctrl-C, of which all that is under way knows how to end."""
    came.append(number)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def run(arguments: Sequence[str]) -> int:
    """Run a command; how it ended: 0 done, 1 failed, 2 misused, 130 interrupted, 141 nobody reads the output."""
    invocation = Invocation()
    if COMPLETE in os.environ:
        completing = importlib.import_module("cottoncandy.cli.completing")
        return int(completing.answer(cottoncandy_command, os.environ[COMPLETE]))
    try:
        # not click's `main`: it prints, and ends the process, in its own way
        with cottoncandy_command.make_context("cottoncandy", list(arguments), obj=invocation) as context:
            result = cottoncandy_command.invoke(context)
        streams.flush(sys.stdout)
    except click.exceptions.Exit as end:
        return end.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, it is told in one line
        return _failed(error, invocation)
    return result if isinstance(result, int) else 0


def _failed(error: BaseException, invocation: Invocation) -> int:
    """Say what went wrong, and how the command ends."""
    if isinstance(error, BrokenPipeError):
        streams.drop(sys.stdout)
        return PIPE_CLOSED
    try:
        _tell(error, debug=invocation.debug)
    except BrokenPipeError:  # nobody wants to know
        streams.drop(sys.stderr)
    if isinstance(error, click.ClickException):
        return error.exit_code
    return INTERRUPTED if isinstance(error, (click.Abort, KeyboardInterrupt)) else FAILED


def _tell(error: BaseException, *, debug: bool) -> None:
    if isinstance(error, click.ClickException):
        error.show()
    elif isinstance(error, (click.Abort, KeyboardInterrupt)):
        streams.tell("cottoncandy: interrupted", err=True)
    else:
        if debug:
            traceback.print_exception(error)
        streams.tell(f"cottoncandy: {_described(error)}", err=True)


#: Advice of the library, which is for Python, and what the command has for it.
_ADVICE = {
    "pass overwrite=True": "use --overwrite",
    "give its name as bucket_name": "give its name with --bucket",
    "with force_bucket_creation=True": "(a directory by put or sync, a bucket by create_bucket() in Python)",
    "download it under another name, with download_to_file": "get it by itself, under another name",
}


def _described(error: BaseException) -> str:
    text = " ".join(str(error).split())
    for for_python, ours in _ADVICE.items():
        text = text.replace(for_python, ours)
    if isinstance(error, OSError) and not isinstance(error, CottonCandyError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, (CottonCandyError, OSError, ValueError, TypeError)):
        return text
    return f"{type(error).__name__}: {text} (--debug tells where)"


def be_verbose() -> None:
    """Log all that cottoncandy does to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("cottoncandy")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
