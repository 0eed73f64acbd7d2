"""Commands that look: ls, tree, info, du."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cottoncandy import keys, trees
from cottoncandy.backends.base import ObjectHead, ObjectInfo, ObjectPrefix
from cottoncandy.cli.options import command, human_option, json_option, names_argument, recursive_option
from cottoncandy.cli.output import as_record, date_text, long_line, print_json, size_text
from cottoncandy.cli.places import Access, Place, directory_of, is_pattern, open_store, place, tell_hidden
from cottoncandy.cli.streams import is_terminal, tell
from cottoncandy.errors import CottonCandyError, NotAnArray, ObjectNotFound

if TYPE_CHECKING:
    from cottoncandy.interfaces import DefaultInterface

Entry = ObjectInfo | ObjectPrefix


@command()
@names_argument("names", nargs=-1, metavar="[NAME]...")
@click.option("-l", "--long", is_flag=True, help="With size and date.")
@human_option
@recursive_option
@json_option
def ls(names: tuple[str, ...], *, long: bool, human: bool, recursive: bool, as_json: bool, access: Access) -> None:
    """List a directory, or what a pattern matches; the bucket's root by default.

    Patterns are the shell's (quote them); with -r they are of whole names, and * matches / too.
    """
    listed: list[Entry] = []
    for text in names or ("",):
        where = place(text, access)
        # lines tell how far it is, and would be written into a bar on the same terminal
        cci = open_store(where, access, quiet=not as_json and is_terminal(sys.stdout))
        for entry in _entries(cci, where, recursive=recursive):
            if as_json:
                listed.append(entry)
            else:
                tell(long_line(entry, human=human) if long else entry.key)
    if as_json:
        print_json([as_record(entry) for entry in listed])


def _entries(cci: DefaultInterface, where: Place, *, recursive: bool) -> Iterator[Entry]:
    look = partial(cci.find if recursive else cci.scandir, where.name, literal=not is_pattern(cci, where.name))
    nothing = True
    for entry in look():
        nothing = False
        yield entry
    if nothing and where.name:
        tell_hidden(where, cci, look(stages=True))


# ---------------------------------------------------------------------- tree
@command()
@names_argument("name", default="")
@click.option("-L", "--level", type=click.IntRange(1), help="Only so many levels.")
@click.option("-s", "--size", "sizes", is_flag=True, help="With the size of each object.")
@human_option
def tree(name: str, *, level: int | None, sizes: bool, human: bool, access: Access) -> None:
    """Draw the names below NAME as a tree."""
    where = place(name, access)
    cci = open_store(where, access)
    prefix = keys.as_directory(where.name)
    branch = _levels(cci, prefix, level) if level else _nested(cci.find(prefix, literal=True), prefix)
    if not branch:
        everything = cci.find(prefix, literal=True, stages=True)
        tell_hidden(where, cci, everything, reason="nothing is below this name")
    tell(where.at(where.name))
    for line in _drawn(branch, "", sizes=sizes, human=human):
        tell(line)


#: The names in a directory: those of objects have their size, those of directories what is in them.
Branch = dict[str, "int | Branch"]


def _nested(objects: Iterable[ObjectInfo], prefix: str) -> Branch:
    root: Branch = {}
    for info in objects:
        *folders, last = info.key.removeprefix(prefix).split(keys.SEPARATOR)
        branch = root
        for folder in folders:
            # an object and a directory may have one name on S3
            branch = branch.setdefault(f"{folder}/", {})  # type: ignore[assignment]
        if last:
            branch[last] = info.size
    return root


def _levels(cci: DefaultInterface, prefix: str, level: int) -> Branch:
    found: Branch = {}
    for entry in cci.scandir(prefix, literal=True):
        name = entry.key.removeprefix(prefix)
        if isinstance(entry, ObjectInfo):
            found[name] = entry.size
        else:
            found[name] = _levels(cci, entry.key, level - 1) if level > 1 else {}
    return found


def _drawn(branch: Branch, indent: str, *, sizes: bool, human: bool) -> Iterator[str]:
    for number, (name, value) in enumerate(branch.items(), 1):
        corner, stem = ("└── ", "    ") if number == len(branch) else ("├── ", "│   ")
        size = f"  [{size_text(value, human=human)}]" if sizes and isinstance(value, int) else ""
        yield f"{indent}{corner}{name}{size}"
        if isinstance(value, dict):
            yield from _drawn(value, indent + stem, sizes=sizes, human=human)


# ---------------------------------------------------------------------- info
@command()
@names_argument("name")
@json_option
def info(name: str, *, as_json: bool, access: Access) -> None:
    """Tell what is known of an object: size, date, metadata, and what array it is. One request.

    Of what lies below a name it tells the sum, and what array it is if it is one in chunks, a sparse or a masked one;
    and whether an upload of a tree has not ended there, whose objects count, too.
    """
    where = place(name, access)
    cci = open_store(where, access)
    record = {"place": where.at(where.name), **described(cci, where.name)}
    if as_json:
        print_json(record)
        return
    metadata = record.pop("metadata", {})
    for key, value in record.items():
        tell(f"{key.replace('_', ' '):<14} {date_text(value) if key == 'last_modified' else value}")
    for key, value in metadata.items():
        tell(f"{'metadata':<14} {key}: {value}")


def described(cci: DefaultInterface, name: str) -> dict[str, Any]:
    """What ``info`` tells of an object, or of all below a name."""
    try:
        head = cci.backend_interface.stat(keys.clean_object(name))
    except ObjectNotFound:
        return _summed(cci, name)
    facts = {"size": head.size, "last_modified": head.last_modified, "e_tag": head.e_tag}
    where = cci.backend_interface.describe(head.key)
    return {"type": "object", **facts, **_array(head, where), "metadata": dict(head.metadata)}


def _summed(cci: DefaultInterface, name: str) -> dict[str, Any]:
    from cottoncandy.chunkedarrays.names import TABLE  # it brings numpy, which a completion does without

    prefix = keys.as_directory(name)
    sizes = {info.key: info.size for info in cci.find(prefix, literal=True, stages=True)}
    if not sizes:
        raise ObjectNotFound(f"{cci.backend_interface.describe(name)} does not exist, and nothing is below that name")
    facts: dict[str, Any] = {"type": "directory", "objects": len(sizes), "size": sum(sizes.values())}
    if told := trees.told_of(trees.stages(dict.fromkeys(sizes))[1]):
        facts["upload"] = told
    return {**facts, **_array_in(cci, name)} if prefix + TABLE in sizes else facts


def _array_in(cci: DefaultInterface, name: str) -> dict[str, Any]:
    from cottoncandy.cli.contents import array_facts

    return array_facts(cci, name)


def _array(head: ObjectHead, where: str) -> dict[str, Any]:
    from cottoncandy.arrayformat import ArrayDescription

    try:
        found = ArrayDescription.from_metadata(head.metadata, head.size, where)
    except NotAnArray:
        return {}
    except CottonCandyError as error:  # what is known besides may tell how it came so
        return {"array_error": str(error)}
    return {
        "array": f"{found.dtype} {found.shape}",
        "order": found.order,
        "compression": found.compression or "none",
        "bytes_unpacked": found.nbytes,
    }


# ---------------------------------------------------------------------- du
@command()
@names_argument("name", default="")
@click.option("-s", "--summarize", is_flag=True, help="Only the sum.")
@human_option
@json_option
def du(name: str, *, summarize: bool, human: bool, as_json: bool, access: Access) -> None:
    """Add up the sizes of what is below NAME: bytes, objects and name of each child, and the sum.

    What uploads of trees have beside them, as NAME/.upload-..., counts: ls shows it when it is asked for.
    """
    where = place(name, access)
    cci = open_store(where, access)
    pattern = is_pattern(cci, where.name)
    prefix = directory_of(where.name, pattern=pattern)
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for found in cci.find(where.name, literal=not pattern, stages=True):
        first, slash, _ = found.key.removeprefix(prefix).partition(keys.SEPARATOR)
        child = prefix + first + slash if found.key.startswith(prefix) else found.key  # which was named itself
        for total in (sums[child], sums[""]):
            total[0] += found.size
            total[1] += 1
    if where.name and not sums:
        raise where.nothing()
    whole = sums.pop("", [0, 0])
    rows = [] if summarize else sorted(sums.items())
    rows.append((where.at(where.name), whole))
    if as_json:
        print_json([{"name": label, "size": size, "objects": count} for label, (size, count) in rows])
        return
    for label, (size, count) in rows:
        tell(f"{size_text(size, human=human):>14} {count:>9}  {label}")
