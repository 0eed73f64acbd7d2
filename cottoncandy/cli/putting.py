"""put: from disk to the store."""

from __future__ import annotations

import contextlib
import inspect
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from cottoncandy import keys
from cottoncandy.cli.completing import complete_files_then_names
from cottoncandy.cli.options import command, dry_run_option, quiet_option
from cottoncandy.cli.places import Access, is_url, open_store, place, refuse_doubles, require_names, shows_progress
from cottoncandy.cli.several import do_each
from cottoncandy.cli.streams import input_bytes, tell
from cottoncandy.diskfiles import files_below
from cottoncandy.errors import CorruptObject

if TYPE_CHECKING:
    from cottoncandy.interfaces import DefaultInterface

_STDIN = "-"
# What is read as an array though no extension tells what it is: what `get` writes to the output.
_NPY = ".npy"


@command()
@click.argument("files", nargs=-1, required=True, metavar="FILE... NAME", shell_complete=complete_files_then_names)
@click.option("-r", "--recursive", is_flag=True, help="Directories on disk, with all that is below them.")
@click.option("--as", "kind", type=click.Choice(["array", "file"]), help="Instead of what the names say.")
@click.option("-m", "--metadata", multiple=True, metavar="KEY=VALUE", help="User metadata; may be repeated.")
@click.option("--compression", metavar="CODEC", help="Of arrays: a codec's name, or no.")
@click.option("--acl", help="A canned ACL.")
@dry_run_option
@quiet_option
def put(
    files: tuple[str, ...],
    *,
    recursive: bool,
    kind: str | None,
    metadata: tuple[str, ...],
    compression: str | None,
    acl: str | None,
    dry_run: bool,
    quiet: bool,
    access: Access,
) -> None:
    """Upload FILEs, or with - the input, as NAME, or into NAME/.

    Where NAME keeps the file's extension, or ends with /, the file goes up byte for byte. A .npy, .csv, .nii or .nii.gz
    whose NAME has no such extension goes up as a raw array, and a .npz, .mat or .h5 as a tree of them. With --as array,
    the input, and a file with none of these extensions, is read as .npy.
    """
    if len(files) < 2:
        raise click.UsageError("name the files, and where to put them")
    require_names(files)
    *sources, target = files
    if any(map(is_url, sources)):
        raise click.UsageError("put uploads files: to copy inside of a store use cp")
    where = place(target, access)
    into = target.endswith("/") or not where.name or len(sources) > 1 or recursive
    jobs = [job for source in sources for job in _jobs(source, where.name, into=into, recursive=recursive, kind=kind)]
    refuse_doubles("put", ((job.source, where.at(job.name)) for job in jobs))
    given = dict(_pair(text) for text in metadata)
    for job in jobs:
        _refuse_arguments(job, given)
    if dry_run:
        for job in jobs:
            tell(f"would put {job.source} to {where.at(job.name)}{' as array' if job.kind else ''}")
        return
    cci = open_store(where, access, create=True, quiet=quiet)
    do_each(lambda job: job.run(cci, given, compression, acl), jobs, "put", target, shows_progress(quiet=quiet))
    if not quiet:
        tell(f"put {len(jobs)} to {target}" if len(jobs) != 1 else f"put {where.at(jobs[0].name)}")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise click.UsageError(f"--metadata takes KEY=VALUE, not {text!r}")
    return key, value


@dataclass(frozen=True)
class _Job:
    """One file to upload.

    Attributes
    ----------
    kind : str or None
        The extension of the files as which it is read; None goes up byte for byte.
    """

    source: str
    name: str
    kind: str | None

    def run(self, cci: DefaultInterface, metadata: dict[str, str], compression: str | None, acl: str | None) -> None:
        if self.kind is not None:
            self._upload_array(cci, self.kind, metadata, compression, acl)
        elif self.source == _STDIN:
            cci.upload_object(self.name, input_bytes(), acl, None, **metadata)
        else:
            extra = {"Metadata": metadata, "ACL": acl}
            cci.upload_from_file(self.source, self.name, ExtraArgs=extra)

    def _upload_array(
        self, cci: DefaultInterface, kind: str, metadata: dict[str, str], compression: str | None, acl: str | None
    ) -> None:
        from cottoncandy.cli.formats import FORMATS

        found = FORMATS[kind]
        chosen = True if compression is None else False if compression == "no" else compression
        with self._on_disk() as path:
            value, own = self._loaded(path, kind)
            told: dict[str, Any] = {**own, **metadata, "compression": chosen, "acl": acl}
            if found.holds_tree:
                cci.dict2cloud(self.name, value, verbose=False, **told)
            else:
                cci.upload_raw_array(self.name, value, **told)

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[Path]:
        """A file that can be read at any place; what comes through a pipe becomes one."""
        if self.source != _STDIN and Path(self.source).is_file():
            yield Path(self.source)
            return
        with TemporaryDirectory() as folder:
            path = Path(folder, f"array{self.kind}")
            with path.open("wb") as copy, _opened(self.source) as coming:
                shutil.copyfileobj(coming, copy)
            yield path

    def _loaded(self, path: Path, kind: str) -> tuple[Any, dict[str, str]]:
        from cottoncandy.cli.formats import FORMATS, extension

        called = "the input" if self.source == _STDIN else self.source
        try:
            return FORMATS[kind].load(path, called)
        except CorruptObject as error:
            if extension(self.source):
                raise
            raise CorruptObject(f"{error}; {_read_as_npy()}") from error


def _opened(source: str) -> contextlib.AbstractContextManager[BinaryIO]:
    return contextlib.nullcontext(input_bytes()) if source == _STDIN else Path(source).open("rb")


def _read_as_npy() -> str:
    from cottoncandy.cli.formats import FORMATS

    return f"without one of the extensions {', '.join(FORMATS)} it is read as {_NPY}"


def _refuse_arguments(job: _Job, metadata: Mapping[str, str]) -> None:
    """Refuse metadata that the upload would take for its own arguments, and not store."""
    taken = sorted(_arguments(job) & metadata.keys())
    if taken:
        raise click.UsageError(
            f"metadata of {job.name!r} cannot be called {', '.join(taken)}: the upload has arguments of that name for "
            "arrays, and for the input; call it otherwise"
        )


def _arguments(job: _Job) -> set[str]:
    """What the call that uploads it has names for, beside metadata; a file's metadata are apart."""
    from cottoncandy.cli.formats import FORMATS
    from cottoncandy.interfaces import DefaultInterface

    if job.kind is None:
        return _named(DefaultInterface.upload_object) if job.source == _STDIN else set()
    if FORMATS[job.kind].holds_tree:
        return {"compression", *_named(DefaultInterface.dict2cloud)}
    return _named(DefaultInterface.upload_raw_array)


def _named(call: Callable[..., object]) -> set[str]:
    return {one.name for one in inspect.signature(call).parameters.values() if one.kind is not one.VAR_KEYWORD}


def _jobs(source: str, name: str, *, into: bool, recursive: bool, kind: str | None) -> Iterator[_Job]:
    is_directory = source != _STDIN and Path(source).is_dir()
    if not (recursive and is_directory):
        if is_directory:
            raise IsADirectoryError(f"{source} is a directory: put it with -r, or use sync")
        if source != _STDIN and not Path(source).exists():
            raise FileNotFoundError(f"{source} does not exist")
        yield _job(source, keys.join(name, Path(source).name) if into else name, kind)
        return
    for entry in files_below(Path(source)):
        if entry.is_file():
            yield _job(entry.path, keys.join(name, *Path(entry.path).relative_to(source).parts), kind)
        else:
            tell(f"skip {entry.path}: a link that is not followed, or no file", err=True)


def _job(source: str, name: str, kind: str | None) -> _Job:
    from cottoncandy.cli.formats import extension

    known = extension(source)
    if kind == "array":
        found = known or _npy(source)
        return _Job(source, name.removesuffix(found), found)
    as_array = known and kind is None and not name.lower().endswith(known)
    return _Job(source, name, known if as_array else None)


def _npy(source: str) -> str:
    """What a file without a known extension is read as; one that can be seen not to be that is refused at once."""
    path = Path(source)
    if source != _STDIN and path.is_file():
        from cottoncandy.npyfiles import begins_one

        with path.open("rb") as file:
            if not begins_one(file):
                raise click.UsageError(f"{source} is no .npy file: {_read_as_npy()}")
    return _NPY
