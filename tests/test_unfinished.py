"""Uploads that nobody has ended: found, told and thrown away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from kill_soak import access_to
from recorder import Request, Response
from stores import BOTH_WIRES, Recorded, Store
from test_objects import small_parts

from cottoncandy.backends import ending
from cottoncandy.backends.base import MIB

PART = b"x" * (5 * MIB)
NAMES = ["exp", "exp/a", "exp/sub dir/c+d%41", "exp2/b", "é/" + "n" * 150]


def leave(store: Store, *keys: str) -> None:
    """Begin uploads in a process that is killed while they are under way."""
    arguments = (store.backend_name, store.container, store.access, keys)
    subprocess.run([sys.executable, "-c", KILLED.format(arguments)], check=False, timeout=60)


KILLED = """
import os, signal
from cottoncandy.backends import backend_class
from cottoncandy.config import Options
name, container, access, keys = {!r}
backend = backend_class(name).connect(container, options=Options.load(create=False), **access)
for key in keys:
    backend.start_upload(key, {{"a": "1"}}).send_part(1, b"half")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.stores(exclude=["gdrive", "ceph-tls"])
def test_what_a_killed_process_leaves_is_found_and_removed(store: Store) -> None:
    cci = store.interface()
    names = NAMES if not store.has("no-file-and-directory") else NAMES[1:]
    cci.upload_object("exp/a", b"old")
    cci.upload_object("exp2/b", PART * 2)
    leave(store, *names, "exp/a")
    assert sorted(store.raw.keys()) == ["exp/a", "exp2/b"]  # nobody sees them

    assert [one.key for one in cci.clean_uploads(older_than=0, dry_run=True)] == sorted([*names, "exp/a"])
    below = [name for name in names if name.split("/")[0] == "exp"]
    with pytest.raises(TypeError, match="older_than is a timedelta or seconds, not '1 day'"):
        cci.clean_uploads("exp", older_than="1 day")
    for age in (float("nan"), -1, timedelta(seconds=-1)):
        with pytest.raises(ValueError, match="0 seconds or more"):
            cci.clean_uploads("exp", older_than=age)
    for age in (1e300, float("inf"), timedelta.max):
        assert cci.clean_uploads("exp", older_than=age) == []
    found = cci.clean_uploads("exp", older_than=0)
    assert [one.key for one in found] == sorted([*below, "exp/a"])
    now = datetime.now(timezone.utc)
    if store.name != "moto":  # which says 2010 of each
        assert all(one.started and abs(one.started - now) < timedelta(minutes=5) for one in found)
        assert cci.clean_uploads() == cci.clean_uploads(older_than=timedelta(hours=1)) == []
    found[0].abort()  # once more
    assert [one.key for one in cci.clean_uploads("exp2/b", older_than=0)] == ["exp2/b"]
    assert [one.key for one in cci.clean_uploads("/é/", older_than=0)] == [NAMES[-1]]
    assert store.raw.leftovers() == []
    assert cci.download_object("exp/a") == b"old"
    assert cci.download_object("exp2/b") == PART * 2


@pytest.mark.stores("gdrive")
def test_a_store_that_keeps_no_parts(store: Store) -> None:
    assert store.interface().clean_uploads(older_than=0) == []


@pytest.mark.stores("local")
def test_what_is_under_way_is_spared(store: Store) -> None:
    cci = store.interface()
    upload = cci.backend_interface.start_upload("dir/a", {"k": "v"})
    upload.send_part(1, b"half")
    leave(store, "dir/a", "x/y/b", f"x/{'é' * 122}")
    assert cci.clean_uploads(older_than=60) == []
    # of a very long name, what fits into the name of another file
    assert [one.key for one in cci.clean_uploads(older_than=0)] == ["dir/a", "x/y/b", f"x/{'é' * 91}"]
    upload.complete()
    assert store.raw.get("dir/a") == (b"half", {"k": "v"})
    assert store.raw.leftovers() == []  # no directory either


@pytest.mark.parametrize("markers", [("KeyMarker", "UploadIdMarker"), ("UploadIdMarker",), ()])
def test_long_lists_of_uploads(recorded: Recorded, markers: tuple[str, ...]) -> None:
    """Amazon pages by two marks; SeaweedFS tells but one; a server that tells none is not asked for ever."""
    cci, proxy = recorded.store.interface(), recorded.proxy
    asked: list[dict[str, str]] = []

    def hook(request: Request) -> Response | None:
        if request.method != "GET" or "uploads" not in request.query:
            return None
        asked.append(dict(request.query))
        return Response(200, page(len(asked), markers))

    proxy.hook = hook
    found = cci.clean_uploads("exp", older_than=0, dry_run=True)
    pages = 3 if markers else 1
    assert [one.key for one in found] == [f"exp/{number}" for number in range(1, pages + 1)]
    assert len(asked) == pages
    spelled = {"KeyMarker": "key-marker", "UploadIdMarker": "upload-id-marker"}
    for number, query in enumerate(asked[1:], 1):
        assert {name: query.get(name) for name in spelled.values()} == {
            spelled[name]: f"{name}{number}" if name in markers else None for name in spelled
        }


def page(number: int, markers: tuple[str, ...]) -> bytes:
    tells = "".join(f"<Next{name}>{name}{number}</Next{name}>" for name in markers)
    upload = f"<Upload><Key>exp/{number}</Key><UploadId>id{number}</UploadId></Upload>"
    truncated = str(number < 3).lower()
    content = f"<IsTruncated>{truncated}</IsTruncated>{tells}{upload}"
    return f"<ListMultipartUploadsResult>{content}</ListMultipartUploadsResult>".encode()


# ---------------------------------------------------------------------- taken back by who leaves
INTERRUPTED = {
    "begin": lambda request: request.method == "POST" and "uploads" in request.query,
    "first part": lambda request: request.query.get("partNumber") == "1",
    "last part": lambda request: request.query.get("partNumber") == "4",
    "complete": lambda request: request.method == "POST" and "uploadId" in request.query,
    "abort": lambda request: request.method == "DELETE",
}


@pytest.mark.parametrize("moment", [*INTERRUPTED])
def test_ctrl_c_at_each_request(recorded: Recorded, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """The store does what it is asked, while the one who asks is interrupted: he has no answer yet."""
    small_parts(monkeypatch, 5, 1)
    store, proxy = recorded
    cci, old, new = store.interface(), b"old", PART * 3 + b"new"
    cci.upload_object("name", old)
    seen: list[str] = []

    def hook(request: Request) -> Response | None:
        if INTERRUPTED[moment](request) and not seen:
            seen.append(moment)
            os.kill(os.getpid(), signal.SIGINT)
        return Response(400) if moment == "abort" and request.query.get("partNumber") else None

    proxy.hook = hook
    with pytest.raises(KeyboardInterrupt):
        cci.upload_object("name", new)
    proxy.hook = None
    assert seen
    if moment == "abort":  # what Ctrl-C broke off twice is left to the exit
        ending._abort_all()
    assert store.raw.leftovers() == []
    assert store.raw.get("name")[0] in {old, new}


LEFT_OPEN = """
import os, sys
import cottoncandy
from cottoncandy.backends import ending
cci = cottoncandy.get_interface(**{!r})
part = bytes(5 * 2**20)
done, left = (cci.backend_interface.start_upload(key, {{}}) for key in ("done", "left"))
done.send_part(1, part)
left.send_part(1, part)
if not os.fork():
    sys.exit()  # they are not the child's
done.send_part(2, b"end")
os.wait()
done.complete()
file = cci.fs.open("file", "wb")
file.write(bytes(9 * 2**20))
sys.exit("no time left")
"""


@BOTH_WIRES
@pytest.mark.stores("local", "moto")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_what_is_open_at_exit_is_taken_back(store: Store) -> None:
    command = [sys.executable, "-c", LEFT_OPEN.format(access_to(store))]
    ended = subprocess.run(command, check=False, timeout=60, capture_output=True)
    assert ended.stderr.decode().strip() == "no time left"
    assert store.raw.leftovers() == []
    assert store.raw.keys() == ["done"]
    assert store.raw.get("done")[0] == bytes(5 * MIB) + b"end"


@pytest.mark.stores("local", "moto")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_at_random_moments(store: Store) -> None:
    """Five of each; `python tests/kill_soak.py` soaks for longer, and on other stores."""
    soak = [sys.executable, Path(__file__).parent / "kill_soak.py", "--place", json.dumps(access_to(store))]
    for more in (["--signals", "KILL"], ["--signals", "INT", "--kinds", "raw"]):
        command = [*soak, "--moments", "5", *more]
        ended = subprocess.run(command, check=False, timeout=100, capture_output=True, text=True)
        assert not ended.returncode, ended.stderr
        assert store.raw.leftovers() == []
