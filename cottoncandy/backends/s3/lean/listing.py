"""Pages of a listing: a parse that is fast where the XML is as plain as S3 writes it, and safe whoever wrote it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_plus

from cottoncandy.backends.s3.lean.documents import NotXML, local_name, parse_xml
from cottoncandy.backends.s3.lean.failures import EXPLOSIVE, may_explode

if TYPE_CHECKING:
    import xml.etree.ElementTree as ET


class ListPage(NamedTuple):
    """One page of a listing.

    Attributes
    ----------
    objects : list
        Of each object its key, its size in bytes, when it was written (text of ISO 8601, or nothing), and its ETag.
    prefixes : list of str
        The common prefixes.
    token : str or None
        Asks for the next page.
    truncated : bool
        Whether there is a next page. A server that knows only the old listing says so, and gives no token.
    next_marker : str or None
        What a server of the old listing may give instead of a token.
    server : str
        The header of that name.
    """

    objects: list[tuple[str, int, str, str | None]]
    prefixes: list[str]
    token: str | None
    truncated: bool
    next_marker: str | None = None
    server: str = ""

    @property
    def marker(self) -> str:
        """Behind which the next page of an old listing begins; empty where that is not known."""
        names = [entry[0] for entry in self.objects] + self.prefixes
        return self.next_marker or max(names, key=str.encode, default="")


#: What is wanted of an object.
_FACTS = ("Key", "Size", "LastModified", "ETag")
#: Amazon has these for the newer of its objects, behind the ETag.
_CHECKSUMS = ("ChecksumAlgorithm", "ChecksumType")
#: Of an object: servers have up to ten.
_MOST_ELEMENTS = 32
_FLAT = re.compile(r"(?:<([A-Za-z]+)>[^<]*</\1>)*")
_NAME = re.compile("<([A-Za-z]+)>")
#: Characters of a page without its objects and prefixes: it has some hundred.
_LARGEST_FRAME = 2**14
#: Of one element, without what XML has rules for: entities, control characters, and what ends a section of it.
_SAID = r"[^<&>\x00-\x1f\ufffe\uffff]*"
_ELEMENT = re.compile(rf"<([A-Za-z]+)>({_SAID})</\1>|<([A-Za-z]+)/>")
_NAMESPACE = r"http://(?:s3\.amazonaws\.com/doc|doc\.s3\.amazonaws\.com)/2006-03-01/?"
_PLAIN = re.compile(
    rf'(?:<\?xml version="1\.0" encoding="UTF-8"\?>\n?)?<ListBucketResult(?: xmlns="{_NAMESPACE}")?>'
    rf"((?:<([A-Za-z]+)>{_SAID}</\2>|<[A-Za-z]+/>)*)</ListBucketResult>\n?"
)
_PREFIX, _PREFIX_END = "<CommonPrefixes><Prefix>", "</Prefix></CommonPrefixes>"


def parse_page(body: bytes) -> ListPage:
    """Parse the answer to ListObjectsV2.

    Objects and prefixes of the usual form are cut out of the text, and a real parser reads what is left, so that
    nothing is passed over. Where not all is plain it reads the whole.

    Raises
    ------
    NotXML
    """
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode()
        return _parse_plain(text) or _parse_any(text)
    except (ValueError, LookupError) as error:
        raise NotXML(f"a listing that cannot be read: {error}") from error


# ------------------------------------------------------------------ plain XML
def _parse_plain(text: str) -> ListPage | None:
    """The page, or None where its XML is not as plain as it could be."""
    order, pattern = _pattern(_form(text))
    pieces = pattern.split(text)
    prefixes, rest = _prefixes("".join(pieces[::5]))
    keys, sizes, dates, e_tags = (pieces[1 + order.index(fact) :: 5] for fact in _FACTS)
    e_tags = "\n".join(e_tags).replace("&quot;", '"').replace("&#34;", '"').split("\n") if e_tags else []
    texts = "".join((*keys, *e_tags, *prefixes))
    # other entities; line breaks that a parser changes; and behind `<!` or `<?` a `<` need not begin a tag
    if "&" in texts or "\r" in texts or "<!" in rest or rest.find("<?", 1) > 0 or len(e_tags) != len(keys):
        return None
    top = _plain_top(rest) or _top(parse_xml(rest))
    if "Contents" in top or "CommonPrefixes" in top:
        return None
    if "%" in texts or "+" in texts:
        decoded = _decoder(top)
        keys, prefixes = list(map(decoded, keys)), list(map(decoded, prefixes))
    objects = list(zip(keys, map(int, sizes), dates, e_tags, strict=True))
    return ListPage(objects, prefixes, *_continuation(top))


def _prefixes(text: str) -> tuple[list[str], str]:
    """The common prefixes of a page, where they stand side by side, and the text around them."""
    start, end = text.find(_PREFIX), text.rfind(_PREFIX_END)
    if start < 0 or end < start:
        return [], text
    prefixes = text[start + len(_PREFIX) : end].split(_PREFIX_END + _PREFIX)
    if "<" in "".join(prefixes):
        return [], text
    return prefixes, text[:start] + text[end + len(_PREFIX_END) :]


def _plain_top(text: str) -> dict[str, str] | None:
    """What `_top` gives, without a parser of XML, which takes longer to load than to read the rest of a page."""
    match = _PLAIN.fullmatch(text) if len(text) < _LARGEST_FRAME else None
    return None if match is None else {name or empty: said for name, said, empty in _ELEMENT.findall(match[1])}


def _form(text: str) -> tuple[str, ...]:
    """The elements of which this server makes an object; those that we want where there is no plain one.

    Whatever the text is, this and the pattern that is made of it take time in proportion to its length.
    """
    start = text.find("<Contents>")
    first = "" if start < 0 else text[start + len("<Contents>") : text.find("</Contents>", start)]
    if not _FLAT.fullmatch(first):
        return _FACTS
    names = [name for name in _NAME.findall(first) if name not in _CHECKSUMS]
    plain = len(names) <= _MOST_ELEMENTS and all(names.count(fact) == 1 for fact in _FACTS)
    return tuple(dict.fromkeys(names)) if plain else _FACTS


@lru_cache
def _pattern(form: tuple[str, ...]) -> tuple[tuple[str, ...], re.Pattern[str]]:
    """The order of the facts, and what finds an object of that form; elements that we do not want may be missing."""
    elements = []
    for name in form:
        one = f"<{name}>[^<]*</{name}>"
        elements.append(one.replace("[^<]*", "([^<]*)") if name in _FACTS else f"(?:{one})*")
        if name == "ETag":
            elements.append("(?:<Checksum(?:Algorithm|Type)>[^<]*</Checksum(?:Algorithm|Type)>)*")
    order = tuple(name for name in form if name in _FACTS)
    return order, re.compile(f"<Contents>{''.join(elements)}</Contents>")


# ------------------------------------------------------------------ any XML
def _parse_any(text: str) -> ListPage:
    if may_explode(text.encode()):
        raise ValueError(EXPLOSIVE)
    root = parse_xml(text)
    top = _top(root)
    decoded = _decoder(top)
    objects: list[tuple[str, int, str, str | None]] = []
    prefixes: list[str] = []
    for element in root:
        if local_name(element) == "Contents":
            facts = _top(element)
            size, date = int(facts.get("Size", 0)), facts.get("LastModified", "")
            objects.append((decoded(facts["Key"]), size, date, facts.get("ETag")))
        elif local_name(element) == "CommonPrefixes":
            prefixes.extend(map(decoded, _top(element).values()))
    return ListPage(objects, prefixes, *_continuation(top))


def _top(element: ET.Element) -> dict[str, str]:
    """The texts of the elements directly below."""
    return {local_name(child): child.text or "" for child in element}


def _decoder(top: dict[str, str]) -> Callable[[str], str]:
    """Undoes the encoding of keys that we asked for, where the server says that it did it."""
    return _unquote if top.get("EncodingType") == "url" else str


def _unquote(text: str) -> str:
    return unquote_plus(text) if "%" in text or "+" in text else text


def _continuation(top: dict[str, str]) -> tuple[str | None, bool, str | None]:
    return top.get("NextContinuationToken"), top["IsTruncated"] == "true", top.get("NextMarker")
