"""The examples run as they stand, twice, on a directory and on S3; and they notice a number that is not right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import ROOT
from stores import Store

import cottoncandy

#: Where the package under test is, installed or not.
PACKAGE = Path(cottoncandy.__file__).parent.parent
EXAMPLES = ("fmri", "digits")

pytestmark = pytest.mark.stores("local", "seaweedfs")


def run(example: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "examples" / f"{example}.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def run_on(store: Store, example: str, *more: str) -> subprocess.CompletedProcess[str]:
    if store.server is None:
        return run(example, "--store", store.container, *more)
    keys = {"AWS_ACCESS_KEY_ID": store.server.access_key, "AWS_SECRET_ACCESS_KEY": store.server.secret_key}
    return run(example, "--endpoint-url", store.server.endpoint, "--bucket", store.container, *more, **keys)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs_and_runs_again(store: Store, example: str) -> None:
    outputs = []
    for _ in range(2):
        done = run_on(store, example)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        outputs.append(done.stdout)
        objects = store.raw.keys()
    assert len(outputs[1].splitlines()) == len(outputs[0].splitlines())
    assert objects == store.raw.keys() != []
    assert store.raw.leftovers() == []


@pytest.mark.stores("local")
@pytest.mark.parametrize(
    ("example", "key", "said"),
    [
        ("fmri", "fmri/slices.grp/slice12/deviation", "slice12/deviation"),
        ("digits", "digits/by_label.grp/digit3/images", "DIFFERS"),
    ],
)
def test_example_notices_a_changed_number(store: Store, example: str, key: str, said: str) -> None:
    assert run_on(store, example).returncode == 0
    change_one_number(store, key)
    done = run_on(store, example, "--check")
    assert done.returncode == 1, done.stderr
    assert said in done.stdout


def change_one_number(store: Store, key: str) -> None:
    interface = store.interface()
    array: np.ndarray[Any, Any] = interface.download_raw_array(key)
    array[(-1,) * array.ndim] += 1
    interface.upload_raw_array(key, array)


@pytest.mark.stores("local")
@pytest.mark.parametrize("example", EXAMPLES)
def test_example_without_arguments_uses_a_temporary_directory(store: Store, tmp_path: Path, example: str) -> None:
    done = run(example, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    (directory,) = tmp_path.glob(f"cottoncandy-{example}*")
    assert len(list(directory.iterdir())) > 0
    assert run(example, "--check", TMPDIR=str(tmp_path)).returncode == 0  # another process finds it


@pytest.mark.stores("local")
@pytest.mark.parametrize("example", EXAMPLES)
def test_example_without_keys_ends_in_words(store: Store, example: str) -> None:
    where = ("--endpoint-url", "http://127.0.0.1:9", "--bucket", "lab")
    done = run(example, *where, AWS_EC2_METADATA_DISABLED="true")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("bucket 'lab': no credentials were found. Pass ")
    assert done.stderr.count("\n") == 1


@pytest.mark.stores("local")
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="has no users of this kind")
def test_a_second_user_of_the_machine_has_a_directory_of_his_own() -> None:
    def directory_of(user: int) -> str:
        # what is imported as it is needed is imported by root: another may not look where Python is
        chosen = "Arguments('fmri', '').parse_args([]).store"
        command = f"import os; from place import Arguments; {chosen}; os.setuid({user}); print({chosen})"
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'examples'}{os.pathsep}{PACKAGE}"}
        run_so = [sys.executable, "-c", command]
        return subprocess.run(run_so, env=environment, capture_output=True, text=True, check=True).stdout

    users = (0, 65533, 65534) if os.geteuid() == 0 else (os.geteuid(),)  # only root can be another
    assert len({directory_of(user) for user in users}) == len(users)
