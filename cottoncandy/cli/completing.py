"""What a shell completes: commands, options, and the names of objects."""

from __future__ import annotations

import os
import sys
from itertools import islice
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, ShellComplete

from cottoncandy.cli import shellwords
from cottoncandy.cli.app import COMPLETE, FAILED
from cottoncandy.cli.places import OURS, Access, is_url, open_store, place
from cottoncandy.cli.streams import tell
from cottoncandy.impatience import soon
from cottoncandy.trees import shown_names

if TYPE_CHECKING:
    from cottoncandy.backends.base import Backend

# More than a screen of names helps nobody.
_MOST = 200

# What is put into the line is written as the shell reads it, by us, who know the quote that it is in. Nothing of it is
# evaluated here, and nothing that goes wrong is written into the line.
_BASH = """\
%(complete_func)s() {
    local answer
    COMPREPLY=()
    while IFS= read -r answer; do
        case $answer in
            plain,*) COMPREPLY+=("${answer#*,}") ;;
            dir,*) compopt -o dirnames 2>/dev/null ;;
            file,*) compopt -o default 2>/dev/null ;;
        esac
    done < <(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_WORD="$2" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}

# before bash 4.4 there is no nosort, and in 3.2, as macOS has it, no compopt
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -o default -F %(complete_func)s %(prog_name)s
"""
_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a names
    local answer
    (( ! $+commands[%(prog_name)s] )) && return 1
    while IFS= read -r -d '' answer; do
        case $answer in
            plain,*) names+=("${answer#*,}") ;;
            dir,*) _path_files -/ ;;
            file,*) _path_files -f ;;
        esac
    done < <(env COMP_LINE="${(pj: :)words[1,CURRENT]}" %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)
    # it quotes what it puts into the line
    (( $#names )) && compadd -U -V unsorted -a names
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""
# fish quotes what it puts into the line.
_FISH = """\
function %(complete_func)s
    for answer in (env COMP_LINE=(commandline -cp | string collect) %(complete_var)s=fish_complete \
%(prog_name)s 2>/dev/null)
        set -l found (string split --max 1 , -- $answer)
        switch $found[1]
            case dir
                __fish_complete_directories $found[2]
            case file
                __fish_complete_path $found[2]
            case plain
                printf '%%s\\n' $found[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


class _Shell(ShellComplete):
    """A shell that hands over the line up to the cursor, and is told what may stand there."""

    #: What an answer ends with.
    end = "\n"

    def get_completion_args(self) -> tuple[list[str], str]:
        *words, last = shellwords.split(os.environ["COMP_LINE"])
        return [shellwords.read(word).text for word in words[1:]], shellwords.read(last).text

    def complete(self) -> str:
        args, incomplete = self.get_completion_args()
        items = self.get_completions(args, incomplete)
        # of `--option=value` click completes the value
        option = incomplete[: incomplete.find("=") + 1] if incomplete.startswith("-") else ""
        answers = [(item.type, self.written(option + item.value)) for item in items]
        return "".join(f"{kind},{text}{self.end}" for kind, text in answers if text is not None)

    def written(self, text: str) -> str | None:
        """How the shell is told a word; None where it cannot be told this one."""
        return None if "\0" in text else text


class _Bash(_Shell):
    """What bash puts into the line takes the place of `COMP_WORD`, the last part of the word.

    Before it may stand the open quote, and whatever `COMP_WORDBREAKS` ends, as ``s3:`` and ``year=``.
    """

    name = "bash"
    source_template = _BASH

    def written(self, text: str) -> str | None:
        last, replaced = shellwords.split(os.environ["COMP_LINE"])[-1], os.environ["COMP_WORD"]
        kept = shellwords.read(last.removesuffix(replaced))
        if not (last.endswith(replaced) and text.startswith(kept.text)) or "\0" in text:
            return None
        return shellwords.quoted(text.removeprefix(kept.text), kept.quote)


class _Zsh(_Shell):
    name = "zsh"
    source_template = _ZSH
    end = "\0"


class _Fish(_Shell):
    name = "fish"
    source_template = _FISH

    def written(self, text: str) -> str | None:
        # it reads a line for each, and what stands behind a tab as its description
        return None if set(text) & set("\0\n\t") else text


_SHELLS: dict[str, type[_Shell]] = {shell.name: shell for shell in (_Bash, _Zsh, _Fish)}


def _completion_for(shell: str, root: click.Command) -> _Shell:
    return _SHELLS[shell](root, {}, "cottoncandy", COMPLETE)


def answer(root: click.Command, instruction: str) -> int:
    """Tell a shell what it may complete; ``instruction`` is what its script asks, as ``bash_complete``."""
    shell, _, what = instruction.partition("_")
    if shell not in _SHELLS or what != "complete" or "COMP_LINE" not in os.environ:
        return FAILED  # as the script of an older release, which does not quote
    sys.stdout.buffer.write(_completion_for(shell, root).complete().encode("utf-8", "surrogateescape"))
    return 0


@click.command()
@click.argument("shell", type=click.Choice([*_SHELLS]))
def completion(shell: str) -> None:
    """Print what a SHELL needs to complete commands, options and the names of objects.

    \b
    bash: eval "$(cottoncandy completion bash)"        in ~/.bashrc
    zsh:  eval "$(cottoncandy completion zsh)"         in ~/.zshrc, after compinit
    fish: cottoncandy completion fish | source         in ~/.config/fish/config.fish
    """  # noqa: D301 - click takes a backspace for its mark
    root = click.get_current_context().find_root().command
    tell(_completion_for(shell, root).source().rstrip())


def complete_names(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names in a store that begin so; none where it cannot tell them soon."""
    if incomplete and not is_url(incomplete) and incomplete[0] in ".~/":
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(name) for name in soon(lambda: _names(context, incomplete)) or ()]


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
    if not incomplete.endswith(where.name):  # `a//b` is no beginning of any name
        return []
    backend = open_store(where, access).backend_interface
    names = _level(backend, where.name)
    while len(names) == 1 and names[0].endswith("/"):  # a shell would end the word there
        names = _level(backend, names[0])
    typed = incomplete.removesuffix(where.name)
    if not incomplete:
        return [_no_option(name) for name in names]
    if is_url(incomplete) and typed.count("/") == 2:  # the bucket's name is not ended yet
        typed += "/"
    return [typed + name for name in names]


def _level(backend: Backend, prefix: str) -> list[str]:
    return list(shown_names(islice(backend.level_names(prefix), _MOST), prefix))


def _no_option(name: str) -> str:
    """A name as a word that no command takes for an option."""
    return f"{OURS}:///{name}" if name.startswith("-") else name
