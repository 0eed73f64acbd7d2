"""Two trees made alike: a directory and a branch of the store, or two branches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cottoncandy import keys
from cottoncandy.errors import InvalidObjectName, ObjectNotFound
from cottoncandy.interfaces.basic import BasicInterface

if TYPE_CHECKING:
    from cottoncandy.syncing import Branch, Disk, Pair, Plan, SyncReport


class Synchronizing(BasicInterface):
    """Trees that are made alike. See `BasicInterface`."""

    def sync(
        self,
        source: str | Path,
        destination: str | Path,
        *,
        delete: bool = False,
        dry_run: bool = False,
        include: str | Iterable[str] = (),
        exclude: str | Iterable[str] = (),
        checksum: bool = False,
        threads: int | None = None,
        source_bucket: str | None = None,
        dest_bucket: str | None = None,
    ) -> SyncReport:
        """Make a directory on disk and a branch of the store alike, or two branches; only what differs moves.

        A `pathlib.Path` is a directory on disk, a str a name in the store. Whatever stops it, running it again goes
        on: files and objects take their place when they are whole, and what is alike is left alone. What concerns one
        of them alone (a file that may not be read, a name that no object can have) keeps no other from its place: the
        error comes when all others are there, names the first, and says how many more there are; nothing is deleted
        then. What vanishes meanwhile is passed over.

        Alike are a file and an object of the same size and time. An upload keeps the file's time in the object's
        metadata (``mtime``), a download gives it to the file. Where the times differ, the object's MD5 decides if its
        ETag tells it; and for an object without a time of its own, whether the destination is the newer one. Of two
        branches, objects of the same size are alike if the destination is the newer one and no MD5 tells of other
        bytes.

        Parameters
        ----------
        source, destination : str or pathlib.Path
        delete : bool
            Delete what only the destination has, after all has been transferred; but for what cannot be there beside it
            (a file that was a directory, a directory that was a file), which comes last. Refused where the source is
            empty; what vanished from the source meanwhile is left to the next run.
        dry_run : bool
            Change nothing, and tell what would be done.
        include, exclude : str or iterable of str
            Patterns of names, relative to the tree, as `glob` takes them; one without ``/`` may fit the last component
            alone. What does not take part is neither transferred nor deleted.
        checksum : bool
            Compare contents and not times: by the ETag where it is an MD5, else by reading the object. Of two branches,
            metadata as well.
        threads : int, optional
            Files at a time; by default as many as are of use, up to the configured ``most_threads``.
        source_bucket, dest_bucket : str, optional
            The bucket of a name in the store; the current one by default.

        Returns
        -------
        SyncReport
            What was done.

        Raises
        ------
        ObjectNotFound
            If nothing is below the source.
        InvalidObjectName
            If an object's name would leave the directory or could not be a file's, or two would be one file: nothing
            is changed then. Or if the name of a file can be no object's: all others are transferred. Or if one of the
            two is inside of the other, and not left out.
        OSError, CottonCandyError
            Of the kind of the first failure, where files or objects could not be transferred and all others were; or
            what concerns all (no credentials, no such bucket, no connection, a full disk), at once.

        Notes
        -----
        An upload follows links to files inside of the directory and skips all others, and what the store has under
        their names is left alone. Objects with a body whose names end with ``/``, which no file's does, are skipped as
        well. What is copied inside the store is its owner's alone, as with `cp`. A download writes through no link to a
        file: the link gives way. Of raw arrays only the bytes go to disk; a file that takes a raw array's place makes
        bare bytes of it, which is logged as a warning. So a directory is no way from one store to another:
        `download_stream` and `upload_object` are.

        A tree of arrays waits beside its places if its upload was broken off, or is under way (see `dict2cloud`). Then
        the destination gets what waits as well. What of that only the destination has may be of somebody who is at work
        there. So without ``delete`` it stays, and readers may get it in place of what is transferred later: a warning
        in the log says so.

        Examples
        --------
        >>> from pathlib import Path
        >>> response = cci.upload_object('exp/notes.txt', 'slept well')
        >>> print(cci.sync('exp', Path('exp_on_disk')))
        1 transferred (0.0 MB), 0 deleted, 0 unchanged
        >>> print(cci.sync(Path('exp_on_disk'), 'exp', delete=True))
        0 transferred (0.0 MB), 0 deleted, 1 unchanged
        """
        from cottoncandy.syncing import pair_of, selection

        ends = self._end(source, source_bucket), self._end(destination, dest_bucket)
        pair = pair_of(*ends, self._settings, checksum=checksum)
        takes, may_take = selection(include, exclude), selection((), exclude)
        plan = self._compare(pair, str(source), takes, may_take, threads, delete=delete)
        pair.tell_of_uploads(plan.extra)
        if not dry_run:
            pair.clean_up()
            pair.share(threads, len(plan.moved))
            gone = self._transfer_all(pair, str(source), plan, threads)
        plan.failures.require_none()
        if not dry_run:
            pair.delete([name for name in plan.extra if name not in gone])
        return plan.report(pair.skipped, dry_run=dry_run)

    def _compare(
        self,
        pair: Pair,
        source: str,
        takes: Callable[[str], bool],
        may_take: Callable[[str], bool],
        threads: int | None,
        *,
        delete: bool,
    ) -> Plan:
        """Find out what differs. Of a directory that cannot be listed, nobody knows what it would have to include."""
        from cottoncandy.syncing import Failures, Plan, without_place

        sizes = {name: size for name, size in pair.source().items() if takes(name)}
        if not sizes and delete:
            raise ObjectNotFound(f"{source} has nothing that takes part: nothing is deleted")
        there, left_alone = list(pair.target()), [*pair.skipped, *pair.gone]
        targets = {name for name in there if takes(name) and not _is_below(name, left_alone)}
        pair.require_apart(takes, {*sizes, *targets})
        extra = sorted(targets - sizes.keys()) if delete else []
        after = without_place(sizes, extra, [*there, *left_alone])
        refused = {
            name: error
            for name, error in pair.check(sizes).items()
            if not (name in after and isinstance(error, (IsADirectoryError, NotADirectoryError)))
        }
        unlisted = {name: error for name, error in pair.unlisted.items() if may_take(name)}
        failures = Failures(pair.origin, {**refused, **unlisted})
        common = sorted(sizes.keys() & targets - failures.without_result)
        verdicts = self._gather(failures.apart(pair.same), common, threads, "compare", source)
        alike = {name for name, same in zip(common, verdicts, strict=True) if same}
        changing = {*extra, *(sizes.keys() - alike)}
        alike = {name for name in alike if not pair.hangs_on(name, changing)}
        moved = sorted(sizes.keys() - alike - failures.without_result)
        return Plan(sizes, moved, after, extra, len(alike), failures)

    def _transfer_all(self, pair: Pair, source: str, plan: Plan, threads: int | None) -> set[str]:
        """Transfer what differs; then, if all of that went well, what has a place only when something is deleted.

        What was deleted for that.
        """
        waiting, extra = list[str](), frozenset(plan.extra)

        def transfer(name: str) -> None:
            try:
                pair.transfer(name)
            except (InvalidObjectName, IsADirectoryError, NotADirectoryError):
                if name not in plan.after or not pair.is_emptied(name, extra):
                    raise
                waiting.append(name)

        self._for_each(plan.failures.apart(transfer), plan.moved, threads, "transfer", source, begin=pair.begin)
        if not waiting:
            return set()
        plan.failures.require_none()
        gone = plan.in_the_way(waiting)
        pair.delete(gone)
        self._for_each(plan.failures.apart(pair.transfer), sorted(waiting), threads, "transfer", source)
        return {*gone}

    def _end(self, place: str | Path, bucket: str | None) -> Disk | Branch:
        from cottoncandy.syncing import Branch, Disk

        return Disk(place) if isinstance(place, Path) else Branch(self._bound_backend(bucket), place)


def _is_below(name: str, places: Iterable[str]) -> bool:
    """Whether a name is one of these, or in one of them."""
    return any(name == place or name.startswith(f"{place}{keys.SEPARATOR}") for place in places)
