"""moto's server: the whole API in memory, but it checks neither signatures nor checksums."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers._process import ProgramMissing, Server, clean_environment, free_ports, http_get, running, wait_until


@contextmanager
def moto() -> Iterator[Server]:
    """moto's server as a process of its own: inside ours it would share botocore and the warnings filter."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
        raise ProgramMissing("moto's server is not installed: pip install 'moto[server]'")
    with tempfile.TemporaryDirectory(prefix="moto-") as name:
        log = Path(name, "log")
        (port,) = free_ports(1)
        endpoint = f"http://127.0.0.1:{port}"
        command = [sys.executable, Path(__file__).with_name("_moto_app.py"), str(port)]
        with running(command, log, clean_environment(Path(name))) as process:
            wait_until(lambda: http_get(endpoint) is not None, process, log)
            yield Server("moto", endpoint, "mainaccess", "mainsecret", "altaccess", "altsecret")
