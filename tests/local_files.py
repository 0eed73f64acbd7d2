"""Files on disk, as a test lays them out and finds them, and what the local backend makes of them."""

from __future__ import annotations

from pathlib import Path

from cottoncandy.backends.base import Backend


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def write(root: Path, named: dict[str, bytes]) -> Path:
    for name, body in named.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    return root


def directories(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_dir()}


def read(backend: Backend, key: str) -> tuple[bytes, dict[str, str]]:
    with backend.open(key) as reader:
        body = bytearray(reader.stop)
        assert reader.readexactly(memoryview(body)) == len(body)
        return bytes(body), dict(reader.head.metadata)


def keys(backend: Backend, prefix: str = "") -> list[str]:
    return [info.key for info in backend.list_objects(prefix)]
