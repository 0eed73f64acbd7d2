"""The benchmarks: our loopback server is an S3 for boto3, and the smallest run gives numbers, tables and a picture."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT))

from benchmarks import child, command, plot, report, workloads  # noqa: E402
from benchmarks.bench import make_array  # noqa: E402
from benchmarks.clients import CLIENTS, LIMIT, OURS  # noqa: E402
from benchmarks.clients.raw import Raw  # noqa: E402
from benchmarks.place import Place  # noqa: E402
from benchmarks.results import Column, Record, Results, Row  # noqa: E402
from benchmarks.server import LoopbackServer, running  # noqa: E402

MIB = 1 << 20


@pytest.fixture(scope="module", params=["http", "https"])
def server(request: pytest.FixtureRequest) -> Iterator[LoopbackServer]:
    with running(tls=request.param == "https", workers=2) as running_server:
        running_server.create_bucket("bench")
        yield running_server


@pytest.fixture
def s3(server: LoopbackServer) -> Iterator[Any]:
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="thing",
        verify=str(server.authority or True),
        # `when_supported` sends bodies in chunks over TLS, with a checksum behind them
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


@contextlib.contextmanager
def raw_sockets(server: LoopbackServer, connections: int) -> Iterator[Raw]:
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_CA_BUNDLE": str(server.authority or "")}
    with contextlib.closing(Raw(Place.from_environment(keys, server.endpoint, "bench"), connections)) as raw:
        yield raw


def keys_of(s3: Any, prefix: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bench", Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return error.value.response["Error"]["Code"]


# ---------------------------------------------------------------------- the server
@pytest.mark.parametrize("key", ["plain", "a/b c", "a+b%41", "ü/日本", ".hidden", "..", "x&<y>"])
def test_an_object_comes_back(s3: Any, key: str) -> None:
    body = os.urandom(1000)
    put = s3.put_object(Bucket="bench", Key=key, Body=body, Metadata={"shape": "3,4"}, ContentType="text/plain")
    got = s3.get_object(Bucket="bench", Key=key)
    assert got["Body"].read() == body
    assert (got["Metadata"], got["ContentType"], got["ETag"]) == ({"shape": "3,4"}, "text/plain", put["ETag"])
    assert s3.head_object(Bucket="bench", Key=key)["ContentLength"] == 1000
    assert key in keys_of(s3, "")
    s3.delete_object(Bucket="bench", Key=key)
    assert key not in keys_of(s3, "")


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3 * MIB])
def test_bodies_of_any_length_and_their_ranges(s3: Any, size: int) -> None:
    body = os.urandom(size)
    s3.put_object(Bucket="bench", Key="sized", Body=body)
    assert s3.get_object(Bucket="bench", Key="sized")["Body"].read() == body
    for asked, expected in {"0-0": body[:1], "1-70000": body[1:70_001], "5-": body[5:], "-7": body[-7:]}.items():
        if expected:
            got = s3.get_object(Bucket="bench", Key="sized", Range=f"bytes={asked}")
            assert (got["Body"].read(), got["ContentRange"].endswith(f"/{size}")) == (expected, True)
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket="bench", Key="sized", Range=f"bytes={size}-")
    assert code_of(error) == "InvalidRange"


def test_parts_become_an_object(s3: Any, server: LoopbackServer) -> None:
    body = os.urandom(20 * MIB + 17)
    s3.upload_fileobj(io.BytesIO(body), "bench", "parts")
    file = io.BytesIO()
    s3.download_fileobj("bench", "parts", file)
    assert file.getvalue() == body
    across = s3.get_object(Bucket="bench", Key="parts", Range=f"bytes={8 * MIB - 5}-{16 * MIB + 5}")
    assert across["Body"].read() == body[8 * MIB - 5 : 16 * MIB + 6]
    (entry,) = s3.list_objects_v2(Bucket="bench", Prefix="parts")["Contents"]
    assert entry["Size"] == len(body)
    assert entry["ETag"] == s3.head_object(Bucket="bench", Key="parts")["ETag"]


def test_uploads_in_parts_keep_the_rules(s3: Any) -> None:
    upload = {"Bucket": "bench", "Key": "ruled"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=b"short")["ETag"]}
        for number in (1, 2)
    ]
    refused = {"EntityTooSmall": parts, "InvalidPartOrder": parts[::-1], "InvalidPart": [{**parts[0], "ETag": "no"}]}
    for code, wrong in refused.items():
        with pytest.raises(ClientError) as error:
            s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": wrong})
        assert code_of(error) == code
    s3.abort_multipart_upload(**upload)
    with pytest.raises(ClientError) as error:
        s3.upload_part(**upload, PartNumber=1, Body=b"late")
    assert code_of(error) == "NoSuchUpload"


def test_conditions(s3: Any) -> None:
    etag = s3.put_object(Bucket="bench", Key="version", Body=b"one")["ETag"]
    other = s3.put_object(Bucket="bench", Key="version", Body=b"two")["ETag"]
    assert etag != other
    for call, condition in (
        (s3.get_object, {"IfMatch": etag}),
        (s3.put_object, {"IfNoneMatch": "*"}),
        (s3.put_object, {"IfMatch": etag}),
    ):
        with pytest.raises(ClientError) as error:
            call(Bucket="bench", Key="version", **condition)
        assert code_of(error) == "PreconditionFailed"
    assert s3.get_object(Bucket="bench", Key="version", IfMatch=other)["Body"].read() == b"two"


def test_listings_have_pages_prefixes_and_what_changed(s3: Any, server: LoopbackServer) -> None:
    expected = [*sorted(f"list/d{i % 3}/{i:04d}" for i in range(1005)), "lista"]
    with raw_sockets(server, 1) as raw:
        raw.put_keys(expected, [memoryview(b"x")] * len(expected))
        assert raw.list("list") == expected[:-1]
    assert keys_of(s3, "list") == expected
    assert keys_of(s3, "list/d1/") == [key for key in expected if "/d1/" in key]
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="bench", Prefix="list/", Delimiter="/", PaginationConfig={"PageSize": 2}
    )
    folders = [[entry["Prefix"] for entry in page["CommonPrefixes"]] for page in pages]
    assert folders == [["list/d0/", "list/d1/"], ["list/d2/"]]
    s3.delete_objects(Bucket="bench", Delete={"Objects": [{"Key": key} for key in expected[:900]]})
    assert keys_of(s3, "list") == expected[900:]
    with raw_sockets(server, 1) as raw:
        raw.remove("list")
    assert keys_of(s3, "list") == ["lista"]


def test_what_is_not_there_is_told(s3: Any) -> None:
    for code, call, arguments in (
        ("NoSuchKey", s3.get_object, {"Bucket": "bench", "Key": "nothing"}),
        ("NoSuchBucket", s3.get_object, {"Bucket": "nowhere", "Key": "nothing"}),
        ("NoSuchBucket", s3.put_object, {"Bucket": "nowhere", "Key": "nothing", "Body": b"x"}),
        ("NotImplemented", s3.get_bucket_acl, {"Bucket": "bench"}),
        ("NotImplemented", s3.copy_object, {"Bucket": "bench", "Key": "to", "CopySource": "bench/from"}),
    ):
        with pytest.raises(ClientError) as error:
            call(**arguments)
        assert code_of(error) == code
    # the connection goes on behind a refused body
    s3.put_object(Bucket="bench", Key="after", Body=b"well")
    assert s3.get_object(Bucket="bench", Key="after")["Body"].read() == b"well"


def test_requests_are_counted_by_all_workers(s3: Any, server: LoopbackServer) -> None:
    before = server.counts()
    for _ in range(5):
        s3.put_object(Bucket="bench", Key="counted", Body=b"12345")
    after = server.counts()
    assert {kind: after[kind] - before[kind] for kind in after} == {"requests": 5, "bytes_in": 25, "bytes_out": 0}


def test_no_server_outlives_who_started_it() -> None:
    code = """if True:
        import os
        from benchmarks.server import running
        with running() as server:
            print(server.endpoint, flush=True)
            os._exit(1)
    """
    command_line = [sys.executable, "-c", code]
    done = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    host = done.stdout.strip().removeprefix("http://")
    assert host
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as it comes
        ask_until_it_is_gone(host)


def ask_until_it_is_gone(host: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.closing(http.client.HTTPConnection(host, timeout=10)) as connection:
            connection.request("GET", "/_benchmark/")
            connection.getresponse().read()


# ---------------------------------------------------------------------- the raw limit
@pytest.mark.parametrize("connections", [1, 2])
def test_raw_sockets_move_the_right_bytes(server: LoopbackServer, connections: int) -> None:
    array = make_array("random", 20 * MIB)
    before = server.counts()["requests"]
    with raw_sockets(server, connections) as raw:
        raw.up("raw", array, "")
        assert server.counts()["requests"] - before == (1 if connections == 1 else 4)
        assert np.array_equal(raw.down("raw", child.Like("<f8", array.shape), ""), array)
        with pytest.raises(OSError, match="404"):
            raw.get("nothing")


# ---------------------------------------------------------------------- the whole command
@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The smallest run, of what the tests have installed."""
    path = tmp_path_factory.mktemp("results") / "results.json"
    words = "--clients cottoncandy boto3 --rounds 2 --sizes 0.0078125 1 --packed-size 1 --count 5 --keys 200"
    command_line = [sys.executable, "-m", "benchmarks", *words.split(), "--json", str(path)]
    done = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    found = Results.load(path)
    assert report.report(found) == done.stdout.removesuffix("\n")
    return found


def test_every_client_did_everything(results: Results) -> None:
    assert results.failures == {}
    assert results.tables() == [workloads.ONE, workloads.PACKED, workloads.MANY, workloads.LISTING, workloads.MEMORY]
    assert set(results.about["clients"]) == {OURS, "boto3"}
    for table in results.tables():
        for column in results.columns(table):
            clients = {row.client for row in results.rows([column])}
            assert {OURS, "boto3"} <= clients
            for row in results.rows([column]):
                assert results.median(column, row) > 0, (column, row)


def test_a_small_array_is_one_request(results: Results) -> None:
    for column in results.columns(workloads.ONE)[:2]:
        assert results.median(column, Row(OURS), "requests") == 1


def test_the_tables_have_numbers(results: Results) -> None:
    text = report.report(results)
    (line,) = [line for line in text.splitlines() if line.startswith("| cottoncandy | ") and " ms (" in line]
    cells = line.strip("| ").split(" | ")[1:]
    assert len(cells) == 4
    assert all(re.fullmatch(r"[\d.,]+( ms)? \(\d+\.\d\d, \d+\.\d\d\)", cell) for cell in cells)
    for title in ("### Many small arrays", "### Listing and removing", "### Peak memory", "cottoncandy, Blosc"):
        assert title in text


def test_memory_is_measured(results: Results) -> None:
    _, down = results.columns(workloads.MEMORY)
    # a download holds its result; the allocator may have had some of it
    assert 0.5 < results.median(down, Row(OURS), "peak") / down.amount < 20


def test_the_picture_is_drawn(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "speed.svg"
    plot.draw(results, path)
    texts = {element.text for element in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")}
    assert {OURS, "boto3", "upload 1 MB"} <= texts


def test_the_picture_is_an_svg(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse_arguments(["--plot", "speed.png"])
    assert "ends with .svg" in capsys.readouterr().err
    assert command.parse_arguments(["--plot", "speed.svg"]).plot == Path("speed.svg")


def test_what_is_not_installed_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    words = "--clients tensorstore boto3 --rounds 1 --sizes 0.0078125 --workloads one"
    # without its site-packages a Python has no library at all
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "print(\'{{\\"error\\": \\"no such module\\"}}\')"\n')
    python.chmod(0o755)
    options = ["--python", f"tensorstore={python}", "--json", str(path)]
    command_line = [sys.executable, "-m", "benchmarks", *words.split(), *options]
    done = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "left out: tensorstore (no such module" in done.stderr
    assert json.loads(path.read_text())["about"]["left out"] == {"tensorstore": "no such module"}


def test_a_run_that_is_ended_ends_soon_and_leaves_nothing(tmp_path: Path) -> None:
    words = "--clients boto3 --rounds 10000 --sizes 1 --workloads one --seconds 1000"
    command_line = [sys.executable, "-m", "benchmarks", *words.split()]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command_line, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment) as process:
        line = next(line for line in process.stderr if "round 1 of" in line)
        process.terminate()
        process.communicate(timeout=60)
    assert line
    assert process.returncode
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- what follows from numbers
def test_ratios_are_medians_within_rounds() -> None:
    column, results = Column(workloads.ONE, "up 1 MB", MIB, "bytes"), Results()
    limit = f"{LIMIT} x 1"
    for client, seconds in {limit: [1, 10, 100], OURS: [2, 20, 400], "boto3": [4, 80, 800], "minio": [9, 90]}.items():
        for number, took in enumerate(seconds):
            results.add(column, Row(client), Record(number, took, 0, 0))
    assert results.limit(column) == Row(limit)
    assert results.ratio(column, Row(OURS), Row(limit)) == 0.5
    assert results.best_other(column, Row(OURS)) == Row("minio")  # 49.5 is less than 80
    assert results.ratio(column, Row(OURS), Row("boto3")) == 2
    assert results.ratio(column, Row("minio"), Row(OURS)) == pytest.approx((2 / 9 + 20 / 90) / 2)


def test_a_wrong_download_is_noticed() -> None:
    like = child.Like("<f8", (3,))
    array = np.arange(3.0)
    child.check_array(array, like, array)
    read_only = array.copy()
    read_only.flags.writeable = False
    for wrong in (read_only, array + 1, array[:2], array.astype("f4"), array.tolist()):
        with pytest.raises(ValueError):  # noqa: PT011 - each has a message of its own
            child.check_array(wrong, like, array)
    with pytest.raises(ValueError, match="1 arrays instead of 2"):
        child.check_many({"a": array}, {"a": array, "b": array})


def test_keys_come_from_the_environment_and_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(SystemExit):
        command.parse_arguments(["--endpoint", "https://s3.example.org", "--bucket", "b"])
    place = Place.from_environment(
        {"AWS_ACCESS_KEY_ID": "own-key", "AWS_SECRET_ACCESS_KEY": "own-secret"}, "https://s3.example.org", "b"
    )
    assert "own-" not in repr(place)


def test_settings_of_the_user_do_not_reach_a_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_PROFILE", "lab")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("COTTONCANDY_BASIC_THREADS", "1")
    environment = Place("http://127.0.0.1:1", "b", "us-east-1", "a", "s").environment(tmp_path)
    assert not {"AWS_PROFILE", "HTTPS_PROXY", "COTTONCANDY_BASIC_THREADS"} & environment.keys()
    assert environment["AWS_ACCESS_KEY_ID"] == "a"


def test_every_client_has_its_adapter() -> None:
    for info in CLIENTS.values():
        module, _, kind = info.adapter.partition(":")
        source = (ROOT / "benchmarks" / "clients" / f"{module}.py").read_text()
        assert f"class {kind}(" in source


def test_the_page_names_options_that_there_are() -> None:
    text = "".join((ROOT / page).read_text() for page in ("README.md", "CONTRIBUTING.md", "docs/performance.md"))
    used = {word for line in text.splitlines() if "-m benchmarks" in line for word in re.findall(r"--[a-z-]+", line)}
    source = (ROOT / "benchmarks" / "command.py").read_text()
    assert used
    assert [option for option in used if f'"{option}"' not in source] == []
