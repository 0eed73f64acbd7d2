"""OpenStack Swift with its S3 interface on one host: a proxy, and a server each for accounts, containers and objects.

One replica, none of the daemons that mend and replicate. The programs are Debian's; the proxy does not do without
memcached.
"""

from __future__ import annotations

import getpass
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from servers._process import Server, clean_environment, find_program, free_ports, http_get, running, wait_until

HOW_TO_GET = "apt-get install --no-install-recommends swift-proxy swift-account swift-container swift-object memcached"
_STORES = ("account", "container", "object")
#: Debian's own Python has Swift's modules; `swift-proxy-server` itself reads `/etc/swift/swift.conf`, and no other.
_PYTHON = "/usr/bin/python3"
_SERVE = """\
import sys
from swift.common import utils
utils.set_swift_dir(sys.argv[1])
from swift.common.wsgi import run_wsgi
sys.exit(run_wsgi(sys.argv[2], sys.argv[3], verbose=True))  # its log goes to where ours does
"""

_HASHES = "[swift-hash]\nswift_hash_path_suffix = cottoncandy\n"
_DEFAULT = """\
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
log_statsd_host =
# bytes or percent that must stay free on the disk
fallocate_reserve = 0
"""
_STORE = """\
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
_PROXY = """\
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes \
symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
check_bucket_owner = false
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}
[filter:tempauth]
use = egg:swift#tempauth
user_test_main = mainsecret .admin
user_alt_alt = altsecret .admin
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
"""
_PLAIN_FILTERS = (
    "catch_errors",
    "gatekeeper",
    "healthcheck",
    "listing_formats",
    "bulk",
    "copy",
    "slo",
    "dlo",
    "symlink",
)


@contextmanager
def swift() -> Iterator[Server]:
    """A proxy and its three stores, bound to 127.0.0.1."""
    find_program("swift-proxy-server", HOW_TO_GET)
    builder = find_program("swift-ring-builder", HOW_TO_GET)
    memcached = find_program("memcached", HOW_TO_GET)
    *ports, cache, port = free_ports(len(_STORES) + 2)
    server = Server("swift", f"http://127.0.0.1:{port}", "test:main", "mainsecret", "alt:alt", "altsecret")
    with tempfile.TemporaryDirectory(prefix="swift-") as name, ExitStack() as daemons:
        folder = Path(name)
        (folder / "devices" / "disk").mkdir(parents=True)
        (folder / "swift.conf").write_text(_HASHES)
        command = [memcached, "--listen=127.0.0.1", f"--port={cache}", f"--user={getpass.getuser()}"]
        daemons.enter_context(running(command, folder / "cache.log", clean_environment(folder)))
        for store, its_port in zip(_STORES, ports, strict=True):
            _make_ring(folder, builder, store, its_port)
            _start(folder, daemons, store, its_port, _STORE.format(name=store))
        filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in _PLAIN_FILTERS)
        process = _start(folder, daemons, "proxy", port, _PROXY.format(cache=cache) + filters)
        wait_until(lambda: _serves(server, ports), process, folder / "proxy.log")
        yield server


def _make_ring(folder: Path, builder: str, store: str, port: int) -> None:
    """Where the data of a kind of store lies: on one disk of this host."""
    commands = ["create 6 1 0", f"add r1z1-127.0.0.1:{port}/disk 1", "rebalance"]
    for command in commands:
        # 1 is a warning: one disk is no balance
        done = subprocess.run(
            [builder, f"{store}.builder", *command.split()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=folder,
            env=clean_environment(folder),
        )
        if done.returncode > 1:
            raise RuntimeError(f"swift-ring-builder {command} failed:\n{done.stdout}{done.stderr}")


def _start(folder: Path, daemons: ExitStack, name: str, port: int, text: str) -> subprocess.Popen[bytes]:
    configuration = folder / f"{name}.conf"
    configuration.write_text(_DEFAULT.format(folder=folder, port=port, user=getpass.getuser()) + text)
    command = [_PYTHON, "-c", _SERVE, folder, configuration, f"{name}-server"]
    return daemons.enter_context(running(command, folder / f"{name}.log", clean_environment(folder)))


def _serves(server: Server, ports: list[int]) -> bool:
    endpoints = [f"{server.endpoint}/healthcheck", *(f"http://127.0.0.1:{port}/" for port in ports)]
    return all(http_get(endpoint) is not None for endpoint in endpoints)
