import io
import zlib

import pypdf
import pytest

from openbigmodel.media import documents
from openbigmodel.media.documents import read_document
from openbigmodel.media.task import Refused
from tests.office_files import docx


def pdf(*pages: str) -> bytes:
    """A PDF with a line of text on each page."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>"]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<</Type/Pages/Kids[{kids}]/Count {len(pages)}>>".encode())
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET".encode()
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>/Contents {5 + 2 * number} 0 R>>".encode()
        )
        packed = zlib.compress(stream)
        objects.append(
            f"<</Filter/FlateDecode/Length {len(packed)}>>stream\n".encode() + packed + b"\nendstream"
        )
    out = io.BytesIO(b"%PDF-1.7\n")
    out.seek(0, io.SEEK_END)
    places = []
    for number, data in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(f"{number} 0 obj".encode() + data + b"endobj\n")
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.write(b"".join(f"{place:010d} 00000 n \n".encode() for place in places))
    out.write(f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF".encode())
    return out.getvalue()


def locked(data: bytes, password: str) -> bytes:
    writer = pypdf.PdfWriter(io.BytesIO(data))
    writer.encrypt(password, "owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "name", "text"),
    [
        (b"a,b\n1,2\n", "a.csv", "a,b\n1,2\n"),
        ("智谱".encode(), "a.txt", "智谱"),
        (b"\xef\xbb\xbf" + "智谱".encode(), "a.txt", "智谱"),
        ("智谱".encode("gb18030"), "a.txt", "智谱"),
        ("智谱".encode("utf-16"), "a.txt", "智谱"),
        (b"\xfe\xff" + "智谱".encode("utf-16-be"), "a.txt", "智谱"),
        ("智谱".encode("utf-32"), "a.txt", "智谱"),
        ("café".encode("cp1252"), "a.txt", "café"),
        (b'{"a": 1}', "a.json", '{"a": 1}'),
        (b"<a>&b;</a>", "a.xml", "<a>&b;</a>"),
        (b"<p>not a page</p>", "a.md", "<p>not a page</p>"),
        (b"int main() { return 0; }\x0c\x1b[0m", "a.c", "int main() { return 0; }\x0c\x1b[0m"),
        (pdf("Hello", "World"), "a.pdf", "Hello\n\nWorld"),
        (b"\n\n" + pdf("Hello"), "a", "Hello"),
        (locked(pdf("Hello"), ""), "a.pdf", "Hello"),
        (docx(b"<p><r><t>Hello</t></r></p>"), "whatever.txt", "Hello"),
    ],
)
def test_the_text_of_a_file(data: bytes, name: str, text: str) -> None:
    assert read_document(data, name) == text


PAGE = (
    b"<!DOCTYPE html><title>T</title><script>if (a < b) x()</script><style>p{}</style>"
    b"<p>One &amp; two<br>three</p>\n\n\n<svg><text>hidden</text></svg><table><tr><td>1</td><td>2</td></tr></table>"
)


@pytest.mark.parametrize("name", ["a.html", "A.HTM", "a.xhtml", "a"])
def test_of_a_page_the_visible_text(name: str) -> None:
    text = read_document(PAGE, name)
    assert text.split() == ["T", "One", "&", "two", "three", "1", "2"]
    assert "One & two\nthree" in text
    assert "1\t2" in text
    assert "\n\n\n" not in text


def test_an_end_without_a_beginning_hides_nothing() -> None:
    assert read_document(b"<html></script></style>text<script>", "") == "text"


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"\x00\x01\x02", "format"),
        (b"\x89PNG\r\n\x1a\n\0\0", "format"),
        (b"\xff\xfea", "format"),
        (b"\x7fELF\x02\x01\x01", "format"),
        (pdf("Hello")[:60], "damaged"),
        (b"%PDF-1.4\n", "damaged"),
        (locked(pdf("Hello"), "secret"), "damaged"),
    ],
)
def test_other_files_are_refused(data: bytes, refusal: str) -> None:
    with pytest.raises(Refused) as refused:
        read_document(data, "a")
    assert refused.value.outcome.refusal == refusal


def test_there_is_an_end_to_text_and_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "TEXT_CHARACTERS_MAX", 8)
    monkeypatch.setattr(documents, "PDF_PAGES_MAX", 2)
    for data in (b"123456789", pdf("12345", "67890"), pdf("1", "2", "3")):
        with pytest.raises(Refused) as refused:
            read_document(data, "a")
        assert refused.value.outcome.refusal == "too_much_text"
