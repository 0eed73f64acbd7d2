"""What somebody wrote for release 0.4.0, with every published call: it runs as it is.

`test_upgrading.py` runs it, and sees that no published call and no published parameter is missing here.
"""

from __future__ import annotations

import os

import numpy as np
import scipy.sparse

import cottoncandy as cc


def run(bucket, ACCESS_KEY, SECRET_KEY, endpoint_url, backend, scratch, folder):  # noqa: N803 - as the library calls them
    # ---------------------------------------------------------------- opening
    cci = cc.get_interface(
        bucket_name=bucket,
        ACCESS_KEY=ACCESS_KEY,
        SECRET_KEY=SECRET_KEY,
        endpoint_url=endpoint_url,
        force_bucket_creation=False,
        verbose=True,
        backend=backend,
    )
    assert cci.bucket_name == bucket
    basic = cc.interfaces.BasicInterface(
        bucket_name=bucket,
        ACCESS_KEY=ACCESS_KEY,
        SECRET_KEY=SECRET_KEY,
        url=endpoint_url,
        force_bucket_creation=True,
        verbose=False,
        backend=backend,
    )
    for kind in (cc.interfaces.ArrayInterface, cc.interfaces.FileSystemInterface, cc.interfaces.DefaultInterface):
        assert kind(bucket, ACCESS_KEY, SECRET_KEY, endpoint_url, verbose=False, backend=backend).exists_bucket(bucket)
    assert isinstance(cci, cc.interfaces.InterfaceObject)

    # ---------------------------------------------------------------- raw arrays
    bold = np.random.default_rng(0).standard_normal((10, 12, 6)).astype("float32")
    response = cci.upload_raw_array("/sub01//bold", bold)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert np.array_equal(cci.download_raw_array("sub01/bold"), bold)
    for number, compression in enumerate([False, True, "gzip", "LZ4", "Zlib", "Zstd", "BZ2"]):
        cci.upload_raw_array(f"codecs/{number}", bold.T, compression=compression, acl="private", threads=2, TR="2.0")
        found = cci.download_raw_array(f"codecs/{number}", buffersize=2**16, threads=2)
        assert np.array_equal(found, bold.T)
        found *= 2
    assert cci.get_object("codecs/0").metadata["shape"] == "6,12,10"
    assert cci.get_object("sub01/bold", bucket_name=bucket).metadata["dtype"] == "<f4"

    cci.upload_npy_array("sub01/anat.npy", bold[0], acl="private", threads=4, scanner="3T")
    assert np.array_equal(cci.download_npy_array("sub01/anat.npy", threads=4), bold[0])

    # ---------------------------------------------------------------- sparse, chunked
    design = scipy.sparse.random(60, 30, density=0.1, format="csr", random_state=1)
    for form in ("csr", "csc", "coo", "bsr", "dia", "lil"):
        cci.upload_sparse_array(f"sparse/{form}", design.asformat(form), threads=4)
        assert (cci.download_sparse_array(f"sparse/{form}", threads=4) != design).nnz == 0

    cci.upload_dask_array("dask/last", bold, axis=-1, buffersize=2**11, threads=4, compression="gzip")
    cci.upload_dask_array("dask/even", bold, axis=None, buffersize=2**10)
    dask_array = cci.download_dask_array("dask/last", dask_name="bold", threads=4)
    assert dask_array.shape == bold.shape
    assert np.array_equal(np.asarray(dask_array), bold)
    assert np.allclose(cci.download_dask_array("dask/even").mean(0).compute(), bold.mean(0), atol=1e-6)

    # ---------------------------------------------------------------- trees
    tree = {"zscore": bold, "motion": {"x": np.zeros(20), "y": np.ones(20)}}
    cci.dict2cloud("results/s01.grp", tree, acl="private", verbose=True, threads=4, subject="S01")
    found = cci.cloud2dict("results/s01.grp", verbose=True, threads=4)
    assert np.array_equal(found["motion"]["y"], np.ones(20))
    assert list(cci.cloud2dict("results/s01.grp", keys=["zscore"], verbose=False)) == ["zscore"]
    dataset = cci.cloud2dataset("results/s01.grp")
    assert sorted(dataset.keys()) == ["motion", "zscore"]
    assert np.array_equal(dataset.zscore.load(), bold)

    # ---------------------------------------------------------------- json, pickles, bytes
    cci.upload_json("run.json", {"TR": 2.0}, acl="private", threads=1, task="rest")
    assert cci.download_json("run.json", threads=1) == {"TR": 2.0}
    cci.upload_pickle("model.pkl", {"weights": [1, 2]}, acl="private", threads=4, fit="ridge")
    assert cci.download_pickle("model.pkl", threads=4) == {"weights": [1, 2]}
    cci.upload_object("notes/day1.txt", body=b"slept well", acl="private", threads=4, author="me")
    assert cci.download_object("notes/day1.txt", threads=4) == b"slept well"
    stream = cci.download_stream("notes/day1.txt", threads=4)
    assert stream.content.read() == b"slept well"
    assert stream.metadata["author"] == "me"

    # ---------------------------------------------------------------- files
    path = os.path.join(folder, "data", "deep")
    os.makedirs(path)
    for name in ("a.txt", "deep/b.txt"):
        with open(os.path.join(folder, "data", name), "w") as file:
            file.write(name)
    local = os.path.join(folder, "data", "a.txt")
    cci.upload_from_file(flname=local, object_name="files/a.txt", ExtraArgs={"ACL": "private"}, threads=4)
    cci.upload_from_file(local)
    assert cci.download_object(local) == b"a.txt"
    data = os.path.join(folder, "data")
    cci.upload_from_directory(
        disk_path=data, cloud_path="files/all", recursive=True, ExtraArgs={"ACL": "private"}, threads=4
    )
    assert sorted(cci.glob("files/all/*")) == ["files/all/a.txt", "files/all/deep/b.txt"]
    cci.download_to_file("files/all/deep/b.txt", file_name=os.path.join(folder, "b.txt"), threads=4)
    with open(os.path.join(folder, "b.txt")) as file:
        assert file.read() == "deep/b.txt"
    cci.download_directory(directory="files/all", disk_name=os.path.join(folder, "back"))

    # ---------------------------------------------------------------- looking around
    assert cci.ls("results/s01.grp", page_size=1000, limit=1000, verbose=False) == [
        "results/s01.grp/motion",
        "results/s01.grp/zscore",
    ]
    assert "results" in cci.lsdir(path="/", limit=1000)
    assert cci.glob("/results/*/motion/x", limit=None, page_size=10**6) == ["results/s01.grp/motion/x"]
    assert cci.glob_s3("results/*/zscore", limit=10**6) == cci.glob_google_drive("results/*/zscore")
    cci.search("notes/*", limit=10)
    cci.show_objects(limit=1000, page_size=1000)
    assert cci.exists_object("notes/day1.txt", bucket_name=bucket, raise_err=True)
    assert not cci.exists_object("notes")
    try:
        cci.exists_object("absent", raise_err=True)
        cci.download_json("absent")
    except OSError:
        pass
    assert [o.key for o in cci.get_bucket_objects(filter={"Prefix": "notes"}, limit=10, page_size=10)] == [
        "notes/day1.txt"
    ]
    assert len(list(cci.get_objects(limit=5))) == 5
    assert cci.get_bucket_size(limit=10**6, page_size=10**6) == cci.get_size() > 3000
    assert cci.pathjoin("sub01", "run1", "bold") == "sub01/run1/bold"
    browser = cci.get_browser()
    assert np.array_equal(browser.results.s01_DOT_grp.zscore.load(), bold)
    assert "results" in dir(browser)
    assert (
        cc.get_browser(bucket, ACCESS_KEY, SECRET_KEY, endpoint_url, backend=backend).sub01.bold().key == "sub01/bold"
    )

    # ---------------------------------------------------------------- copying, moving, removing
    cci.cp("notes/day1.txt", "notes/day2.txt", source_bucket=None, dest_bucket=None, overwrite=False)
    cci.cp("notes/day1.txt", "notes/day2.txt", overwrite=True)
    cci.mv("notes/day2.txt", "notes/day3.txt", source_bucket=None, dest_bucket=None, overwrite=True)
    assert cci.ls("notes/*") == ["notes/day1.txt", "notes/day3.txt"]
    cci.rm("notes/day3.txt", recursive=False, delete=True)
    cci.rm("results/s01.grp")  # tells that it takes recursive=True
    cci.rm("results/s01.grp", recursive=True)
    assert cci.glob("results") == []

    # ---------------------------------------------------------------- buckets
    basic.show_buckets()
    basic.create_bucket(scratch, acl="private")
    cci.cp("run.json", "copied.json", source_bucket=bucket, dest_bucket=scratch)
    basic.set_bucket(scratch)
    assert basic.download_json("copied.json") == {"TR": 2.0}
    if backend == "s3":
        assert basic.get_bucket().name == scratch
        cci.get_object_owner("run.json")
    cci.mv("copied.json", "moved.json", source_bucket=scratch, dest_bucket=bucket)
    basic.set_bucket(bucket)
    basic.rm_bucket(scratch)
    assert not cci.exists_bucket(scratch)
    return cci
