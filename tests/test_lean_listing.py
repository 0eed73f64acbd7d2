"""Pages of listings: the fast parse and the real parser agree on all that any server writes, and neither is fooled."""

from __future__ import annotations

from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from lean_faults import ScriptedServer, error, plain_client, reply

from cottoncandy.backends.s3.lean import LeanClient
from cottoncandy.backends.s3.lean.documents import NotXML, parse_xml
from cottoncandy.backends.s3.lean.listing import ListPage, _parse_any, _parse_plain, _plain_top, _top, parse_page
from cottoncandy.retry import RetryPolicy

pytestmark = pytest.mark.lean_wire("it is about our own connections, or sets them beside botocore's")

WRITTEN = "2026-11-22T19:33:06.123Z"
#: The forms in which servers write an object: of Amazon, Ceph, SeaweedFS, MinIO and one that is not flat.
AMAZON = (
    "<Contents><Key>{key}</Key><LastModified>{written}</LastModified><ETag>&quot;{tag}&quot;</ETag>{sums}"
    "<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
SUMS = "<ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
CEPH = AMAZON.replace("</StorageClass>", "</StorageClass><Type>Normal</Type>")
SEAWEED = (
    "<Contents><Key>{key}</Key><ETag>&#34;{tag}&#34;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass>"
    "<LastModified>{written}</LastModified></Contents>"
)
OWNED = AMAZON.replace("<Size>", "<Owner><ID>id</ID><DisplayName>me</DisplayName></Owner><Size>")
SPACED = AMAZON.replace("><", ">\n  <")
FORMS = {"amazon": AMAZON, "ceph": CEPH, "seaweedfs": SEAWEED, "owned": OWNED, "spaced": SPACED}

names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), min_size=1
)


def document(objects: str, *, top: str = "", prefixes: list[str] = [], url: bool = True) -> bytes:  # noqa: B006
    common = "".join(f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>" for prefix in prefixes)
    encoding = "<EncodingType>url</EncodingType>" if url else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>b</Name>{encoding}<IsTruncated>false</IsTruncated>{top}{common}{objects}</ListBucketResult>"
    ).encode()


@given(
    st.sampled_from(sorted(FORMS)),
    st.lists(st.tuples(names, st.integers(0, 2**60), st.booleans()), max_size=5),
    st.lists(names, max_size=3),
    st.booleans(),
)
def test_what_is_listed_is_read(
    form: str, objects: list[tuple[str, int, bool]], prefixes: list[str], url: bool
) -> None:
    encode = quote if url else escape
    written = "".join(
        FORMS[form].format(key=encode(key), written=WRITTEN, tag="0f-2", size=size, sums=SUMS if summed else "")
        for key, size, summed in objects
    )
    body = document(written, prefixes=[encode(prefix) for prefix in prefixes], url=url)
    expected = ListPage([(key, size, WRITTEN, '"0f-2"') for key, size, _ in objects], prefixes, None, False)
    assert parse_page(body) == expected
    assert _parse_any(body.decode()) == expected


@pytest.mark.parametrize("form", ["amazon", "ceph", "seaweedfs"])
def test_the_forms_of_the_great_servers_are_read_fast(form: str) -> None:
    objects = "".join(
        FORMS[form].format(key=quote(f"ü {i}"), written=WRITTEN, tag=i, size=i, sums=SUMS * (i % 2)) for i in range(5)
    )
    page = _parse_plain(document(objects, prefixes=["a%20b/"]).decode())
    assert page is not None
    assert [key for key, *_ in page.objects] == [f"ü {i}" for i in range(5)]
    assert page.prefixes == ["a b/"]


def test_more_pages() -> None:
    more = "<NextContinuationToken>a&amp;b==</NextContinuationToken>"
    body = document("", top=more).replace(b"<IsTruncated>false", b"<IsTruncated>true")
    assert parse_page(body) == ListPage([], [], "a&b==", True)
    # a server that knows only the first version of listings
    assert parse_page(body.replace(more.encode(), b"<NextMarker>x</NextMarker>")) == ListPage([], [], None, True, "x")


@pytest.mark.parametrize("key", ["a+b", "a%20b", "100%", "%zz"])
def test_keys_are_decoded_once_and_only_where_they_were_encoded(key: str) -> None:
    one = AMAZON.format(key=quote(key, safe=""), written=WRITTEN, tag=1, size=1, sums="")
    assert parse_page(document(one)).objects[0][0] == key
    as_it_is = AMAZON.format(key=escape(key), written=WRITTEN, tag=1, size=1, sums="")
    assert parse_page(document(as_it_is, url=False)).objects[0][0] == key


SUMMED = AMAZON.format(key="a", written=WRITTEN, tag=1, size=1, sums=SUMS)
ONE = AMAZON.format(key="a", written=WRITTEN, tag=1, size=1, sums="")


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        (document(f"<!-- {ONE} -->"), []),
        (document(f"<Note><![CDATA[{ONE}]]></Note>"), []),
        (document(f"<?note {ONE}?>"), []),
        (document(ONE.replace("<Key>a</Key>", "<Key><![CDATA[a<b]]></Key>")), ["a<b"]),
        (document(ONE.replace("<Key>a</Key>", "<Key>a&#13;&#x41;</Key>"), url=False), ["a\rA"]),
        (document(ONE + ONE.replace("<ETag>", "<Extra><Deep>1</Deep></Extra><ETag>")), ["a", "a"]),
        (document(ONE.replace("<Key>a</Key>", "<Key></Key>")), [""]),
        (document(ONE.replace("<ETag>&quot;1&quot;</ETag>", "")), ["a"]),
    ],
)
def test_what_only_looks_like_an_object_is_none_and_what_looks_odd_is_one(body: bytes, keys: list[str]) -> None:
    assert [key for key, *_ in parse_page(body).objects] == keys


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no xml",
        document(ONE)[:-5],
        document(ONE.replace("</Key>", "</Kex>")),
        document(ONE.replace("<Size>1", "<Size>many")),
        document(ONE.replace("<Key>a</Key>", "<Key>&undeclared;</Key>")),
        document(ONE.replace("<Key>a</Key>", "")),
        document(ONE + "<Contents>"),
        document(ONE).replace(b"<IsTruncated>false</IsTruncated>", b""),
        document(ONE.replace("<Key>a", "<Key>\xff")).replace(b"\xc3\xbf", b"\xff"),
        document(ONE).decode().replace("UTF-8", "UTF-16").encode("utf-16"),
    ],
)
def test_what_is_no_listing_is_an_error(body: bytes) -> None:
    with pytest.raises(NotXML):
        parse_page(body)


FRAME = document(
    "", top="<Prefix/><Delimiter>/</Delimiter><NextContinuationToken>a+b/c=</NextContinuationToken>"
).decode()
PIECES = ("<", ">", "/", "&", "&amp;", "<A/>", "<A>", "</A>", "<A><B>1</B></A>", "\r", "\n", "\x00", "\x85", "\u2028")
ODD = st.sampled_from((*PIECES, "\uffff", "]]>", "<![CDATA[x]]>", "<!-- x -->", "<?x?>", '"', " ", "ü", "\U0001f600"))


@given(st.lists(st.tuples(st.integers(0, len(FRAME)), st.integers(0, 9), ODD), max_size=3))
def test_what_is_read_without_a_parser_is_what_the_parser_reads(changes: list[tuple[int, int, str]]) -> None:
    text = FRAME
    for place, left_out, put_in in changes:
        text = text[:place] + put_in + text[place + left_out :]
    read = _plain_top(text)
    assert read is None or read == _top(parse_xml(text))


@pytest.mark.parametrize(
    ("usual", "unusual"),
    [
        ('version="1.0"', 'version="1<0"'),
        ('version="1.0"', 'version="1&0"'),
        ("http://s3.amazonaws.com/doc/2006-03-01/", "http://www.w3.org/2000/xmlns/"),
        ("http://s3.amazonaws.com/doc/2006-03-01/", "http://www.w3.org/XML/1998/namespace"),
        ("http://s3.amazonaws.com/doc/2006-03-01/", "http://s3\uffff"),
        ("</ListBucketResult>", "</ListBucketResult>\x85"),
    ],
)
def test_what_is_no_xml_is_not_read_without_a_parser(usual: str, unusual: str) -> None:
    assert usual in FRAME
    assert _plain_top(FRAME.replace(usual, unusual)) is None


def test_the_usual_page_needs_no_parser() -> None:
    assert _plain_top(FRAME) == _top(parse_xml(FRAME))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "body",
    [
        document("<A>" + "x" * 2**22),
        document("<A/>" * 400_000 + "<" + "A" * 2**20),
        b" " * 2**23,
        document("<Contents>" * 400_000),
        document(SUMMED + SUMMED.partition("</Checksum")[0] + "</ChecksumAlgorithm><ChecksumAlgorithm>" * 100_000),
    ],
    ids=["text", "elements", "blanks", "beginnings", "checksums"],
)
def test_no_listing_takes_more_time_than_it_has_bytes(body: bytes) -> None:
    """Patterns that begin anew at each byte would take hours for these."""
    with ScriptedServer(reply(body=body)) as server:
        lean = LeanClient(plain_client(server.url), policy=RetryPolicy(attempts=1))
        with pytest.raises(ClientError, match="UnreadableAnswer"):
            lean.list_page(Bucket="b")
        lean.close()


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b"<!ENTITY c SYSTEM 'file:///etc/passwd'>]>"
)


@pytest.mark.parametrize("method", ["list_page", "list_objects_v2", "delete_objects", "get_object"])
def test_declarations_are_not_read(method: str) -> None:
    body = BOMB + b"<ListBucketResult><Name>&b;&c;</Name><IsTruncated>false</IsTruncated></ListBucketResult>"
    arguments = {"list_page": {"Bucket": "b"}, "delete_objects": {"Bucket": "b", "Delete": {"Objects": [{"Key": "x"}]}}}
    answer = reply(404, BOMB + b"<Error><Code>&b;</Code></Error>") if method == "get_object" else reply(body=body)
    with ScriptedServer(answer) as server:
        lean = LeanClient(plain_client(server.url), policy=RetryPolicy(attempts=1))
        with pytest.raises(ClientError) as caught:
            getattr(lean, method)(
                **arguments.get(method, {"Bucket": "b"}), **({"Key": "x"} if method == "get_object" else {})
            )
        lean.close()
    told = "404" if method == "get_object" else "UnreadableAnswer"
    assert caught.value.response["Error"]["Code"] == told


def test_the_page_is_the_same_where_botocore_fetches_it() -> None:
    objects = "".join(AMAZON.format(key=quote(f"a+b {i}"), written=WRITTEN, tag=i, size=i, sums="") for i in range(3))
    answer = reply(body=document(objects, prefixes=["p%2B/"]), Server="test")
    with ScriptedServer(answer, answer, error(404, "NoSuchBucket")) as server:
        client = plain_client(server.url)
        lean = LeanClient(client)
        what = {"Bucket": "bucket", "Prefix": "a", "Delimiter": "/", "MaxKeys": 3}
        ours = lean.list_page(**what)
        client.meta.events.register("before-send.s3", lambda **_: None)
        theirs = lean.list_page(**what)
        assert ours.objects[0] == ("a+b 0", 0, WRITTEN, '"0"')
        assert [entry[:2] + entry[3:] for entry in ours.objects] == [entry[:2] + entry[3:] for entry in theirs.objects]
        assert [entry[2][:19] for entry in theirs.objects] == [WRITTEN[:19]] * 3
        assert ours[1:] == theirs[1:] == (["p+/"], None, False, None, "test")
        with pytest.raises(ClientError, match="NoSuchBucket"):
            lean.list_page(Bucket="bucket")
        lean.close()
    assert [asked.by_botocore for asked in server.requests] == [False, True, True]
