"""Whether all is well between this machine and a store: one finding after the other, and what to change."""

from __future__ import annotations

import os
import platform
import secrets
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cottoncandy.backends.base import MIB, Backend, WriteOptions
from cottoncandy.backends.opening import open_backend
from cottoncandy.config import Options
from cottoncandy.configfiles import user_file_path
from cottoncandy.errors import CottonCandyError, NotSupported, ObjectNotFound
from cottoncandy.findings import FAIL, Finding, fail, ok, warn
from cottoncandy.stream import TransferSettings, read_range, upload

_LIBRARIES = ("numpy", "boto3", "botocore", "numcodecs", "dask", "zarr", "fsspec", "google-api-python-client")
# How many requests latency is the median of, and bytes that are moved to measure.
_REQUESTS = 9
_BYTES = 16 * MIB
_OLD = timedelta(days=1)
_SPELLING = "check the spelling (`cottoncandy config` shows all options), or take them out"


def diagnose(
    backend: str = "s3", container: str | None = None, *, write: bool = True, **arguments: Any
) -> Iterator[Finding]:
    """Look at the configuration, the way to a store, and what it can do; each finding as it is made.

    Parameters
    ----------
    backend : str
    container : str, optional
        The bucket, directory or folder.
    write : bool
        Write, read and delete some MB under a random name.
    **arguments
        Of `cottoncandy.get_interface`.

    Examples
    --------
    >>> [finding.check for finding in diagnose('local', 'my_store') if finding.level != 'ok']
    []
    """
    yield ok("versions", ", ".join(_versions()))
    try:
        options = Options.load(create=False, check=False)
    except CottonCandyError as error:
        yield fail("configuration", str(error))
        return
    yield _configuration(options)
    for finding in _misspelt(options):
        yield finding
        if finding.level == FAIL:
            return
    try:
        opened = open_backend(backend, container, options, look_only=True, **arguments)
    except CottonCandyError as error:
        yield fail("connection", str(error))
        return
    try:
        for finding in _of_store(opened, options, write=write):
            yield finding
            if finding.level == FAIL and finding.check not in {"checksums", "acl"}:
                return
    except CottonCandyError as error:
        yield fail("store", str(error))
    finally:
        opened.close()


def _versions() -> Iterator[str]:
    import cottoncandy

    yield f"cottoncandy {cottoncandy.__version__}"
    yield f"Python {platform.python_version()} ({platform.system()})"
    for name in _LIBRARIES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


def _configuration(options: Options) -> Finding:
    path = user_file_path()
    if not path.is_file():  # as /dev/null, which keeps others' options away
        return ok("configuration", f"{path} is not there: the defaults serve")
    mode = path.stat().st_mode & 0o777
    if os.name != "nt" and mode & 0o077 and (options.holds_keys or mode & 0o022):
        return warn("configuration", f"others may use {path} (mode {mode:o})", f"chmod 600 {path}")
    return ok("configuration", str(path))


def _misspelt(options: Options) -> Iterator[Finding]:
    for place, unread in options.unread().items():
        if unread:  # what concerns encryption, no interface puts up with
            level = fail if any(one.of_encryption for one in unread) else warn
            yield level("configuration", f"nothing reads {', '.join(map(str, unread))} of {place}", _SPELLING)


# ---------------------------------------------------------------------- the store
def _of_store(backend: Backend, options: Options, *, write: bool) -> Iterator[Finding]:
    yield from backend.diagnose()
    if backend.container is not None and not backend.container_exists(backend.container):
        yield fail("container", f"{backend.describe()} does not exist", "check its name, or make it")
        return
    yield _leftovers(backend)
    if not write:
        yield _latency(backend, None)
        return
    prefix = f".cottoncandy-doctor-{secrets.token_hex(8)}/"
    try:
        yield from _written(backend, prefix, TransferSettings.from_options(options))
        yield from backend.probe(prefix)
    finally:
        stays = backend.clear_probes(prefix)
    if stays is not None:
        yield stays


def _leftovers(backend: Backend) -> Finding:
    day = datetime.now(timezone.utc) - _OLD
    try:
        old = [one for one in backend.unfinished_uploads() if one.started is not None and one.started < day]
    except NotSupported as error:
        return warn("uploads", str(error), "what killed uploads leave stays, and cannot be found")
    if old:
        return warn("uploads", f"{len(old)} were begun over a day ago and never ended", "cottoncandy clean-uploads")
    return ok("uploads", "none was left unfinished for a day")


def _written(backend: Backend, prefix: str, settings: TransferSettings) -> Iterator[Finding]:
    key, body = f"{prefix}small", secrets.token_bytes(1000)
    try:
        backend.put(key, body, {"subject": "doctor"}, WriteOptions())
    except CottonCandyError as error:
        yield fail("write", str(error), "these keys may not write here; --read-only leaves writing out")
        return
    with backend.open(key) as reader:
        back = bytearray(reader.stop)
        reader.readexactly(memoryview(back))
        metadata = {name.lower(): value for name, value in reader.head.metadata.items()}
    if back != body or metadata.get("subject") != "doctor":
        yield fail("write", "what was written does not come back as it was", "this store cannot be used")
        return
    yield _latency(backend, key)
    yield _throughput(backend, f"{prefix}large", settings)
    yield _deleted(backend, key)


def _latency(backend: Backend, key: str | None) -> Finding:
    times = []
    for _ in range(_REQUESTS):
        began = time.perf_counter()
        if key is None:
            next(iter(backend.list_objects(page_size=1)), None)
        else:
            backend.stat(key)
        times.append(time.perf_counter() - began)
    return ok("latency", f"{statistics.median(times) * 1000:.1f} ms a small request (median of {_REQUESTS})")


def _throughput(backend: Backend, key: str, settings: TransferSettings) -> Finding:
    body = secrets.token_bytes(_BYTES)
    began = time.perf_counter()
    upload(backend, key, body, {}, WriteOptions(), settings)
    up = time.perf_counter() - began
    began = time.perf_counter()
    back = read_range(backend, key, settings)
    down = time.perf_counter() - began
    if back != body:
        return fail("throughput", f"{_BYTES // MIB} MB do not come back as they were", "this store cannot be used")
    rates = f"up {_BYTES / MIB / up:.0f} MB/s, down {_BYTES / MIB / down:.0f} MB/s"
    return ok("throughput", f"{rates} ({_BYTES // MIB} MB, {settings.threads} connections)")


def _deleted(backend: Backend, key: str) -> Finding:
    backend.delete([key])
    try:
        backend.stat(key)
    except ObjectNotFound:
        return ok("write", "an object was written, read and deleted; its metadata came back")
    return warn(
        "write", "an object that was deleted is still there", "does the bucket keep objects (a retention lock)?"
    )
