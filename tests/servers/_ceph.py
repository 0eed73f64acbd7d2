"""Ceph's S3 gateway on a cluster of one host: a monitor, one store in memory, the gateway over http and https.

No manager, no cephx, no systemd, one replica; ready in some seconds. The programs are Debian's ``ceph-mon``,
``ceph-osd`` and ``radosgw``, and ``openssl`` makes the certificate.
"""

from __future__ import annotations

import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from servers._process import Server, clean_environment, find_program, free_ports, http_get, running, wait_until

HOW_TO_GET = "apt-get install --no-install-recommends ceph-mon ceph-osd radosgw openssl"
PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph", "openssl")

_CONFIGURATION = """\
[global]
fsid = {fsid}
mon_host = {monitor}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv4 = true
ms_bind_ipv6 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_supported = none
# the gateway insists on encrypted sessions by default, which need cephx
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
keyring = /dev/null
run_dir = {folder}/run
admin_socket = {folder}/run/$name.asok
pid_file = {folder}/run/$name.pid
log_file = {folder}/log/$name.log
mon_cluster_log_file = {folder}/log/cluster.log
log_to_stderr = false
err_to_stderr = true
crash_dir = {folder}/log
debug_ms = 0/0
setuser_match_path =
# a single replica on a single host
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
mon_max_pg_per_osd = 2000
# the monitor batches its proposals, and each pool's creation is one: do not wait for more of them
paxos_propose_interval = 0.01
paxos_min_wait = 0.01
mon_osd_initial_require_min_compat_client = luminous
[mon]
mon_data = {folder}/mon
# a disk that is nearly full is no reason to stop
mon_data_avail_warn = 1
mon_data_avail_crit = 1
mon_osd_full_ratio = .99
mon_osd_backfillfull_ratio = .985
mon_osd_nearfull_ratio = .98
[osd]
osd_data = {folder}/osd
osd_objectstore = memstore
# bytes; a limit, not what it takes
memstore_device_bytes = 8589934592
osd_memory_target = 1G
osd_crush_update_on_start = true
osd_class_load_list = *
osd_class_default_list = *
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
osd_max_object_name_len = 2048
osd_max_object_namespace_len = 256
[client]
rgw_data = {folder}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1 ssl_endpoint=127.0.0.1:{tls_port} \
ssl_certificate={folder}/cert.pem ssl_private_key={folder}/key.pem
rgw_thread_pool_size = 32
rgw_num_rados_handles = 1
rgw_enable_usage_log = false
rgw_enable_ops_log = false
rgw_dynamic_resharding = false
rgw_override_bucket_index_max_shards = 1
# seconds; deleted objects give their memory back soon
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 10
rgw_gc_processor_max_time = 10
rgw_max_buckets_per_user = 0
"""


@contextmanager
def ceph(*, tls: bool = False) -> Iterator[Server]:
    """A cluster of its own; with ``tls`` the server that is yielded is its https endpoint."""
    programs = {name: find_program(name, HOW_TO_GET) for name in PROGRAMS}
    ports = free_ports(4)
    with tempfile.TemporaryDirectory(prefix="ceph-") as name, ExitStack() as daemons:
        cluster = _Cluster(Path(name), programs, ports, daemons)
        cluster.start()
        yield cluster.server.tls or cluster.server if tls else cluster.server


@dataclass(frozen=True)
class _Cluster:
    folder: Path
    programs: dict[str, str]
    ports: list[int]
    daemons: ExitStack

    @property
    def server(self) -> Server:
        *_, port, tls_port = self.ports
        plain = Server("ceph", f"http://127.0.0.1:{port}", "rgwaccess", "rgwsecret", "rgwalt", "rgwaltsecret")
        certificate = str(self.folder / "cert.pem")
        tls = replace(plain, name="ceph-tls", endpoint=f"https://127.0.0.1:{tls_port}", ca_bundle=certificate)
        return replace(plain, tls=tls)

    def start(self) -> None:
        self._prepare()
        self._start_monitor()
        self._start_store()
        # making a user makes the gateway's pools too
        self._make_user("main", self.server.access_key, self.server.secret_key)
        self._start_gateway()
        self._make_user("alt", self.server.alt_access_key, self.server.alt_secret_key)

    def _prepare(self) -> None:
        for name in ("mon", "osd", "run", "log", "rgw"):
            (self.folder / name).mkdir()
        port, tls_port = self.ports[2:]
        text = _CONFIGURATION.format(
            fsid=uuid.uuid4(), monitor=self._monitor, folder=self.folder, port=port, tls_port=tls_port
        )
        (self.folder / "ceph.conf").write_text(text)
        request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
        self._run("openssl", *request.split(), "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")

    @property
    def _monitor(self) -> str:
        return f"[v2:127.0.0.1:{self.ports[0]}/0,v1:127.0.0.1:{self.ports[1]}/0]"

    def _start_monitor(self) -> None:
        members = ["--addv", "a", self._monitor, "--enable-all-features", "--set-min-mon-release", "16"]
        self._run("monmaptool", "--create", *members, "monmap")
        self._ceph("ceph-mon", "--mkfs", "-i", "a", "--monmap", "monmap", "--keyring", "/dev/null")
        self._start("ceph-mon", "-i", "a")

    def _start_store(self) -> None:
        number = str(uuid.uuid4())
        self._ceph("ceph", "osd", "new", number, "0")
        self._ceph("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", number)
        process = self._start("ceph-osd", "-i", "0")
        # pools that are made before it is active cost 5 s, until its next report to the monitor
        log = self.folder / "log" / "osd.0.log"
        wait_until(lambda: log.exists() and "state: booting -> active" in log.read_text(errors="replace"), process, log)

    def _start_gateway(self) -> None:
        process = self._start("radosgw", "-n", "client.rgw")
        log = self.folder / "log" / "client.rgw.log"
        wait_until(lambda: http_get(self.server.endpoint) is not None, process, log)

    def _make_user(self, name: str, access_key: str, secret_key: str) -> None:
        keys = [f"--access-key={access_key}", f"--secret-key={secret_key}"]
        self._ceph("radosgw-admin", "user", "create", f"--uid={name}", f"--display-name={name}", *keys)

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [self.programs[program], "-c", f"{self.folder}/ceph.conf", "-f", *arguments]
        log = self.folder / f"{program}.out"
        return self.daemons.enter_context(running(command, log, clean_environment(self.folder)))

    def _ceph(self, program: str, *arguments: str) -> None:
        self._run(program, "-c", f"{self.folder}/ceph.conf", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.programs[program], *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=self.folder,
            env=clean_environment(self.folder),
        )
        if done.returncode:
            raise RuntimeError(f"{program} {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
