"""What a shell completes: commands, options, and the names of objects."""

from __future__ import annotations

from itertools import islice

import click
from click.shell_completion import CompletionItem, get_completion_class

from cottoncandy.cli.app import COMPLETE
from cottoncandy.cli.places import Access, is_url, open_store, place

# More than a screen of names helps nobody.
_MOST = 200
# bash takes `:` for the end of a word: then s3://bucket is three of them
_BASH = 'COMP_WORDBREAKS="${COMP_WORDBREAKS//:}"\n'


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a SHELL needs to complete commands, options and the names of objects.

    \b
    bash: eval "$(cottoncandy completion bash)"        in ~/.bashrc
    zsh:  eval "$(cottoncandy completion zsh)"         in ~/.zshrc, after compinit
    fish: cottoncandy completion fish | source         in ~/.config/fish/config.fish
    """  # noqa: D301 - click takes a backspace for its mark
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - click knows all three
        raise click.UsageError(f"no completion for {shell}")
    root = click.get_current_context().find_root().command
    script = kind(root, {}, "cottoncandy", COMPLETE).source()
    click.echo((_BASH if shell == "bash" else "") + script)


def complete_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names in a store that begin so. Whatever goes wrong, there are none."""
    if incomplete and not is_url(incomplete) and incomplete[0] in ".~/":
        return [CompletionItem(incomplete, type="file")]
    try:
        return [CompletionItem(name) for name in _names(context, incomplete)]
    except Exception:  # noqa: BLE001 - an error would be printed into the line that is being typed
        return []


def complete_files_then_names(
    context: click.Context, argument: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """For `put`: files on disk, and names in the store for what comes behind them."""
    names = complete_names(context, argument, incomplete)
    if is_url(incomplete):
        return names
    return [_files(incomplete), *(names if _has_more(context, argument) else [])]


def complete_names_then_files(
    context: click.Context, argument: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """For `get`: names in the store, and files on disk for what comes behind them."""
    names = complete_names(context, argument, incomplete)
    return [_files(incomplete), *names] if _has_more(context, argument) else names


def complete_directories(context: click.Context, argument: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """For `sync`: what is no URL is a directory on disk."""
    if is_url(incomplete):
        return complete_names(context, argument, incomplete)
    return [CompletionItem(incomplete, type="dir")]


def _has_more(context: click.Context, argument: click.Parameter) -> bool:
    """Whether a word of the same argument stands before this one."""
    return bool(context.params.get(argument.name or ""))


def _files(incomplete: str) -> CompletionItem:
    """Files, as the shell completes them: beside what else there is; in bash where there is nothing else."""
    return CompletionItem(incomplete, type="file")


def _names(context: click.Context, incomplete: str) -> list[str]:
    access = Access.from_options(context.params)
    where = place(incomplete, access)
    backend = open_store(where, access).backend_interface
    names = list(islice(backend.level_names(where.name), _MOST))
    while len(names) == 1 and names[0].endswith("/"):  # a shell would end the word there
        names = list(islice(backend.level_names(names[0]), _MOST))
    typed = incomplete.removesuffix(where.name)
    return [typed + name for name in names]
