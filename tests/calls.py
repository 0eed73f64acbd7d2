"""Every public call of an interface, each in a form that can be compared: what it answers, and what it leaves."""

from __future__ import annotations

import contextlib
import copy
import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cottoncandy import EncryptionKeys, generate_encryption_key
from cottoncandy.backends.base import ObjectInfo, ObjectPrefix
from cottoncandy.errors import ObjectChanged

ARRAY = np.random.default_rng(1).standard_normal((50, 90))
OTHER = -ARRAY
#: More than a part of an upload, of 5 MB.
BODY = np.random.default_rng(2).bytes(6 * 2**20)
NEW_BODY = BODY[::-1]
MASKED = np.ma.MaskedArray(ARRAY, ARRAY > 1)
OLD_KEY, NEW_KEY = generate_encryption_key(), generate_encryption_key()
TREE = {"x": ARRAY, "deep": {"y": np.arange(5)}}

#: Gets an interface and a directory of its own on the disk.
Act = Callable[[Any, Path], Any]


@dataclass(frozen=True)
class Call:
    """A call that changes something.

    Attributes
    ----------
    act : callable
    prepare : callable
        What is there before.
    look : callable, optional
        What to compare afterwards: by default all that lies in the bucket, to the byte.
    """

    act: Act
    prepare: Act = lambda cci, disk: None
    look: Callable[[Any], Any] | None = None


# ------------------------------------------------------------------ what is compared
def plain(value: Any) -> Any:
    """A value as one that can be compared."""
    if hasattr(value, "compute"):
        value = value.compute()
    if hasattr(value, "toarray"):
        value = value.toarray()
    if isinstance(value, np.ma.MaskedArray):
        return [plain(value.data), plain(value.mask)]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple, Iterator)):
        return [plain(one) for one in value]
    if isinstance(value, ObjectInfo):
        return value.key, value.size
    return value.key if isinstance(value, ObjectPrefix) else value


def quietly(act: Act, cci: Any, disk: Path) -> Any:
    """What a call answers, as one that can be compared; what it prints is not looked at."""
    disk.mkdir(parents=True)
    with contextlib.redirect_stdout(io.StringIO()):
        return plain(act(cci, disk)), {
            path.relative_to(disk).as_posix(): path.read_bytes() for path in disk.rglob("*") if path.is_file()
        }


# ------------------------------------------------------------------ calls that look
def fill(cci: Any) -> None:
    """What the calls that look find."""
    import dask.array
    import pandas as pd
    import scipy.sparse

    cci.upload_raw_array("a/raw", ARRAY)
    cci.upload_raw_array("a/plain", np.tile(ARRAY, (50, 1)), compression=False)
    cci.upload_npy_array("a/npy", ARRAY)
    cci.upload_json("a/json", {"x": [1, 2]})
    cci.upload_pickle("a/pickle", {"x": 1})
    cci.upload_object("a/big", BODY)
    cci.upload_sparse_array("sparse", scipy.sparse.random(40, 40, 0.1, random_state=1).tocsr())
    cci.upload_dask_array("dask", dask.array.from_array(ARRAY, chunks=(25, 90)))
    cci.upload_masked_array("masked", MASKED)
    cci.dict2cloud("tree", TREE, verbose=False)
    cci.upload_dataframe("a/table.parquet", pd.DataFrame({"x": np.arange(9)}))


def _nothing_returned(act: Act) -> Act:
    def run(cci: Any, disk: Path) -> None:
        act(cci, disk)

    return run


def _sliced(cci: Any, disk: Path) -> Any:
    return cci.open_array("a/plain")[100:2000:7, 3]


def _streamed(cci: Any, disk: Path) -> Any:
    with cci.download_stream("a/big") as stream:
        return b"".join(iter(lambda: stream.read(777_777), b""))


LOOKS: dict[str, Act] = {
    "bucket_name": lambda cci, disk: bool(cci.bucket_name),
    "pathjoin": lambda cci, disk: cci.pathjoin("a", "b"),
    "download_raw_array": lambda cci, disk: [cci.download_raw_array("a/raw"), cci.download_raw_array("a/plain")],
    "download_npy_array": lambda cci, disk: cci.download_npy_array("a/npy"),
    "download_json": lambda cci, disk: cci.download_json("a/json"),
    "download_pickle": lambda cci, disk: cci.download_pickle("a/pickle"),
    "download_object": lambda cci, disk: cci.download_object("a/big"),
    "download_sparse_array": lambda cci, disk: cci.download_sparse_array("sparse"),
    "download_dask_array": lambda cci, disk: cci.download_dask_array("dask"),
    "download_masked_array": lambda cci, disk: cci.download_masked_array("masked"),
    "download_dataframe": lambda cci, disk: cci.download_dataframe("a/table.parquet").to_dict("list"),
    "download_stream": _streamed,
    "download_to_file": lambda cci, disk: cci.download_to_file("a/big", disk / "big"),
    "download_directory": lambda cci, disk: cci.download_directory("a", str(disk / "a")),
    "open_array": _sliced,
    "cloud2dict": lambda cci, disk: cci.cloud2dict("tree", verbose=False),
    "cloud2dataset": lambda cci, disk: cci.cloud2dataset("tree")["x"][:],
    "get_browser": lambda cci, disk: cci.get_browser().a.raw.load(),
    "exists_object": lambda cci, disk: [cci.exists_object("a/raw"), cci.exists_object("a/none")],
    "exists_bucket": lambda cci, disk: [cci.exists_bucket(cci.bucket_name), cci.exists_bucket("none-such")],
    "get_object": lambda cci, disk: cci.get_object("a/json").content_length,
    "get_bucket": lambda cci, disk: [item.key for item in cci.get_bucket().objects.filter(Prefix="a/")],
    "get_bucket_objects": lambda cci, disk: len(cci.get_bucket_objects()),
    "get_objects": lambda cci, disk: len(cci.get_objects()),
    "get_bucket_size": lambda cci, disk: cci.get_bucket_size() > len(BODY),
    "get_size": lambda cci, disk: cci.get_size() > len(BODY),
    "get_object_owner": lambda cci, disk: cci.get_object_owner("a/json"),
    "get_object_versions": lambda cci, disk: len(cci.get_object_versions("a/json")),
    "at_version": lambda cci, disk: [
        cci.at_version(version.version_id).download_json("a/json") for version in cci.get_object_versions("a/json")
    ],
    "get_presigned_url": lambda cci, disk: cci.get_presigned_url("a/json").partition("?")[0],
    "glob": lambda cci, disk: cci.glob("a/*"),
    "glob_s3": lambda cci, disk: cci.glob_s3("*raw"),
    "glob_google_drive": lambda cci, disk: cci.glob_google_drive("a"),
    "ls": lambda cci, disk: [cci.ls("a"), cci.ls("*/x")],
    "lsdir": lambda cci, disk: cci.lsdir("tree"),
    "scandir": lambda cci, disk: cci.scandir("a"),
    "find": lambda cci, disk: cci.find("a/*"),
    "search": lambda cci, disk: cci.search("a/*"),
    "show_buckets": lambda cci, disk: cci.show_buckets(),
    "show_objects": lambda cci, disk: cci.show_objects(),
    "set_bucket": lambda cci, disk: cci.set_bucket(cci.bucket_name),
    "verify": lambda cci, disk: [(report := cci.verify("a")).checked, report.damaged],
    "fs": lambda cci, disk: [cci.fs.cat_file("a/json"), len(cci.fs.ls("a"))],
}


# ------------------------------------------------------------------ calls that change something
def _on_disk(disk: Path, *names: str) -> Path:
    for name in names:
        (disk / name).parent.mkdir(parents=True, exist_ok=True)
        (disk / name).write_bytes(name.encode() * 100)
        os.utime(disk / name, (1e9, 1e9))
    return disk


def _old(cci: Any, disk: Path) -> None:
    cci.upload_raw_array("x", OTHER)


def _branch(cci: Any, disk: Path) -> None:
    for name in ("from/a", "from/b/c", "from2/d"):
        cci.upload_object(name, name)


def _from_file(cci: Any, disk: Path) -> None:
    (disk / "big").write_bytes(NEW_BODY)
    cci.upload_from_file(disk / "big", "big")
    (disk / "big").unlink()


def _dask(value: Any) -> Act:
    def run(cci: Any, disk: Path) -> None:
        import dask.array

        cci.upload_dask_array("d", dask.array.from_array(value, chunks=(25, 90)))

    return run


def _sparse(value: Any) -> Act:
    def run(cci: Any, disk: Path) -> None:
        import scipy.sparse

        cci.upload_sparse_array("s", scipy.sparse.csr_matrix(value))

    return run


def _frame(cci: Any, disk: Path) -> None:
    import pandas as pd

    cci.upload_dataframe("t.parquet", pd.DataFrame({"x": np.arange(99)}))


def _tree(cci: Any) -> Any:
    """The tree; None where the library refuses one whose leaves are of two uploads."""
    try:
        return plain(cci.cloud2dict("t", verbose=False))
    except ObjectChanged:
        return None


def _zarr(cci: Any, disk: Path) -> Any:
    import zarr

    array = zarr.create_array(cci.zarr_store("z"), shape=(4, 4), chunks=(2, 4), dtype="f8", overwrite=True)
    array[:] = 1.5
    return zarr.open_array(cci.zarr_store("z", read_only=True), mode="r")[:]


def _buckets(cci: Any, disk: Path) -> Any:
    name = f"{cci.bucket_name}-more"
    cci.create_bucket(name)
    made = cci.exists_bucket(name)
    cci.set_bucket(cci.bucket_name.removesuffix("-more"))
    cci.rm_bucket(name)
    return made, cci.exists_bucket(name)


def _versions(cci: Any, disk: Path) -> None:
    client, status = cci.backend_interface.native_container().meta.client, {"Status": "Enabled"}
    client.put_bucket_versioning(Bucket=cci.bucket_name, VersioningConfiguration=status)
    for text in ("old", "new"):
        cci.upload_object("x", text)


def _restored(cci: Any, disk: Path) -> None:
    cci.restore_version("x", cci.get_object_versions("x")[-1].version_id)


def _cleaned(cci: Any, disk: Path) -> Any:
    return len(cci.clean_uploads(older_than=0))


def _sealed(cci: Any, *keys: str) -> Any:
    """The interface with encryption keys."""
    from cottoncandy.backends.encrypted.backend import EncryptedBackend

    sealed = copy.copy(cci)
    sealed.backend_interface = EncryptedBackend(cci.backend_interface, EncryptionKeys(*keys))
    return sealed


def _encrypted(cci: Any, disk: Path) -> None:
    for name in "ab":
        _sealed(cci, OLD_KEY).upload_object(name, name)


def _begin_uploads(cci: Any, disk: Path) -> None:
    for name in "ab":
        cci.backend_interface.start_upload(name, {}).send_part(1, b"x")


CHANGES: dict[str, Call] = {
    "upload_raw_array": Call(_nothing_returned(lambda cci, disk: cci.upload_raw_array("x", ARRAY)), _old),
    "upload_npy_array": Call(_nothing_returned(lambda cci, disk: cci.upload_npy_array("x", ARRAY)), _old),
    "upload_json": Call(_nothing_returned(lambda cci, disk: cci.upload_json("x", {"x": 1})), _old),
    "upload_pickle": Call(_nothing_returned(lambda cci, disk: cci.upload_pickle("x", {"x": 1})), _old),
    "upload_object": Call(
        _nothing_returned(lambda cci, disk: cci.upload_object("big", NEW_BODY)),
        lambda cci, disk: cci.upload_object("big", BODY),
    ),
    "upload_from_file": Call(_from_file, lambda cci, disk: cci.upload_object("big", BODY)),
    "upload_from_directory": Call(
        lambda cci, disk: cci.upload_from_directory(_on_disk(disk, "up/a", "up/b/c") / "up", "up", recursive=True),
        lambda cci, disk: cci.upload_object("up/a", "old"),
    ),
    "upload_sparse_array": Call(_sparse(ARRAY), _sparse(OTHER), lambda cci: plain(cci.download_sparse_array("s"))),
    "upload_dask_array": Call(_dask(ARRAY), _dask(OTHER), lambda cci: plain(cci.download_dask_array("d"))),
    "upload_masked_array": Call(
        _nothing_returned(lambda cci, disk: cci.upload_masked_array("m", MASKED)),
        lambda cci, disk: cci.upload_masked_array("m", -MASKED),
        lambda cci: plain(cci.download_masked_array("m")),
    ),
    "upload_dataframe": Call(_frame, lambda cci, disk: cci.upload_object("t.parquet", "old")),
    "dict2cloud": Call(
        lambda cci, disk: cci.dict2cloud("t", TREE, verbose=False),
        lambda cci, disk: cci.dict2cloud("t", {"x": OTHER, "gone": OTHER}, verbose=False),
        _tree,
    ),
    "zarr_store": Call(_zarr),
    "cp": Call(_nothing_returned(lambda cci, disk: cci.cp("from", "to")), _branch),
    "mv": Call(_nothing_returned(lambda cci, disk: cci.mv("from", "to")), _branch),
    "rm": Call(lambda cci, disk: [cci.rm("from", recursive=True), cci.rm("from2/d")], _branch),
    "sync": Call(
        _nothing_returned(lambda cci, disk: cci.sync(_on_disk(disk, "s/a", "s/b/c") / "s", "s", delete=True)),
        lambda cci, disk: [cci.upload_object("s/a", "old"), cci.upload_object("s/gone", "old")],
    ),
    "create_bucket": Call(_buckets),
    "rm_bucket": Call(_buckets),
    "restore_version": Call(_restored, _versions),
    "rotate_encryption_key": Call(
        lambda cci, disk: _sealed(cci, NEW_KEY, OLD_KEY).rotate_encryption_key(),
        _encrypted,
        lambda cci: [_sealed(cci, NEW_KEY, OLD_KEY).download_object(name) for name in "ab"],
    ),
    "clean_uploads": Call(_cleaned, _begin_uploads),
}
