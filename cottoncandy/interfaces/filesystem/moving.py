"""Objects and branches copied, moved and removed inside of a store."""

from __future__ import annotations

import math
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from cottoncandy import keys
from cottoncandy.errors import InvalidObjectName, ObjectNotFound
from cottoncandy.interfaces.basic import BasicInterface
from cottoncandy.pools import Call

if TYPE_CHECKING:
    from cottoncandy.copies import Copies


class Moving(BasicInterface):
    """``cp``, ``mv`` and ``rm``. See `BasicInterface`."""

    def cp(
        self,
        source_name: str,
        dest_name: str,
        source_bucket: str | None = None,
        dest_bucket: str | None = None,
        overwrite: bool = False,
        *,
        recursive: bool = False,
    ) -> Any:
        """Copy an object, or all objects below a name, inside the store. Metadata goes along, and no ACL.

        On S3 a copy is its owner's alone, whoever may read what it is made of.

        Parameters
        ----------
        source_name : str
        dest_name : str
            The new name; one that ends with ``/`` is a directory to copy into.
        source_bucket : str, optional
            The current bucket by default.
        dest_bucket : str, optional
            The source's bucket by default.
        overwrite : bool
            Whether what is there may be replaced. Of a branch, a listing tells what is there; what comes after that is
            safe where the store has conditional copies.
        recursive : bool
            Matters where a name is of an object and of a branch as well, which S3 allows: True takes both, and False
            the object alone. ``'exp/'`` is the branch without the object.

        Returns
        -------
        object
            The store's own object of the new name: on S3 boto3's ``Object``.

        Raises
        ------
        ObjectNotFound
            If there is neither an object of that name nor one below it.
        ObjectExists
            If the new name is taken and ``overwrite`` is False.
        """
        plan = self._plan_copy(source_name, dest_name, source_bucket, dest_bucket, overwrite, recursive)
        self._copy_all(plan)
        return plan.target.native_object(plan.name)

    def mv(
        self,
        source_name: str,
        dest_name: str,
        source_bucket: str | None = None,
        dest_bucket: str | None = None,
        overwrite: bool = False,
        *,
        recursive: bool = False,
    ) -> Any:
        """Move an object, or all objects below a name: copy them, and when all copies stand, delete the old ones.

        An object that is moved onto itself stays. Parameters, result and errors are those of `cp`.
        """
        plan = self._plan_copy(source_name, dest_name, source_bucket, dest_bucket, overwrite, recursive)
        self._copy_all(plan)
        with self._settings.progress.many("delete", plan.name, len(plan.pairs)) as count:
            plan.delete_sources(count.through)
        return plan.target.native_object(plan.name)

    def _copy_all(self, plan: Copies) -> None:
        plan.require_absent()
        threads, begin = (1, None) if plan.overlap() else (None, plan.begin)
        largest = max(plan.sizes.values()) if len(plan.sizes) == len(plan.pairs) else math.inf
        self._for_each(plan.copy, plan.pairs, threads, "copy", plan.name, largest=largest, begin=begin)

    def _plan_copy(
        self,
        source_name: str,
        dest_name: str,
        source_bucket: str | None,
        dest_bucket: str | None,
        overwrite: bool,
        recursive: bool,
    ) -> Copies:
        from cottoncandy.copies import plan_copies

        for name, bucket in {"source_bucket": source_bucket, "dest_bucket": dest_bucket}.items():
            if not isinstance(bucket, str | os.PathLike | None):
                raise TypeError(f"{name} is the name of a bucket, not {bucket!r}; to replace: overwrite=True")
        source, target = self._bound_backend(source_bucket), self._bound_backend(dest_bucket or source_bucket)
        old, new = keys.clean_object(source_name), keys.clean(dest_name)
        return plan_copies(source, target, old, new, overwrite, recursive=recursive)

    # ------------------------------------------------------------------ removing
    def rm(self, object_name: str, recursive: bool = False, delete: bool = True) -> dict[str, int] | None:
        """Delete an object, or with ``recursive`` all objects below a name.

        Parameters
        ----------
        object_name : str
            A prefix is no directory: ``rm('exp', recursive=True)`` leaves ``exp2`` alone.
        recursive : bool
            Needed to remove a branch; without it, a message is printed instead.
        delete : bool
            On Google Drive, False moves to the trash. Other stores have none and delete.

        Returns
        -------
        dict or None
            ``{'DeletedCount': n}``; None where nothing was done.

        Raises
        ------
        ObjectNotFound
            Without ``recursive``, if there is neither an object of that name nor one below it.

        Examples
        --------
        >>> response = cci.upload_json('exp/a', {})
        >>> cci.rm('exp')
        cannot remove 'exp': use `recursive` to remove branch
        >>> response = cci.rm('exp', recursive=True)
        deleting 1 objects...
        """
        name = keys.clean(object_name)
        backend = self.backend_interface
        if recursive and not object_name:
            raise InvalidObjectName("'' names nothing: rm('/', recursive=True) removes all objects of the bucket")
        if recursive:
            return self._rm_branch(name, delete)
        if name and not name.endswith(keys.SEPARATOR) and backend.exists(name):
            return {"DeletedCount": backend.delete([name], trash=not delete)}
        if next(backend.list_objects(keys.as_directory(name), page_size=1), None) is None:
            raise ObjectNotFound(f"{backend.describe(name)} does not exist, and nothing is below that name")
        print(f"cannot remove {object_name!r}: use `recursive` to remove branch")  # noqa: T201 - documented to print
        return None

    def _rm_branch(self, name: str, delete: bool) -> dict[str, int]:
        backend = self.backend_interface
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1, thread_name_prefix="cottoncandy") as aside:
            may_be_one = bool(name) and not name.endswith(keys.SEPARATOR)
            is_one = Call(aside, partial(backend.exists, name)) if may_be_one else None
            names = list(self._listed_names(keys.as_directory(name)))
            if is_one is not None and is_one.result():
                names.append(name)
        print(f"deleting {len(names)} objects...")  # noqa: T201 - documented to print
        return {"DeletedCount": self._deleted(name or "all", names, trash=not delete)}
