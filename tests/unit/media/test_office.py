import io
import zipfile

import pytest

from openbigmodel.media import office
from openbigmodel.media.office import read_office
from openbigmodel.media.task import Refused
from tests.office_files import docx, zip_of

W = b'<w:document xmlns:w="urn:w"><w:body>%s</w:body></w:document>'


def test_of_word_the_paragraphs_the_tables_and_the_notes() -> None:
    body = (
        b"<w:p><w:r><w:t>One</w:t></w:r><w:r><w:tab/><w:t xml:space='preserve'> two</w:t><w:br/></w:r></w:p>"
        b"<w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
        b"<w:p><w:r><w:instrText>HYPERLINK file:///x</w:instrText></w:r></w:p>"
    )
    data = zip_of(
        {"word/document.xml": W % body, "word/footnotes.xml": W % b"<w:p><w:r><w:t>note</w:t></w:r></w:p>"}
    )
    assert read_office(data, 1000).split() == ["One", "two", "a", "note"]
    assert read_office(data, 1000).startswith("One\t two\n")


def test_of_excel_the_sheets_with_names_rows_and_cells() -> None:
    shared = (
        "<sst><si><t>名</t></si><si><r><t>a</t></r><r><t>b</t></r><rPh><t>x</t></rPh></si></sst>".encode()
    )
    cells = (
        b'<worksheet><sheetData><row><c t="s"><v>0</v></c><c t="s"><v>1</v></c></row>'
        b'<row><c><f>1+1</f><v>2</v></c><c t="b"><v>1</v></c><c t="inlineStr"><is><t>in</t></is></c>'
        b'<c t="s"><v>99</v></c><c t="s"><v>-1</v></c></row></sheetData></worksheet>'
    )
    data = zip_of(
        {
            "xl/workbook.xml": '<workbook><sheets><sheet name="表"/></sheets></workbook>'.encode(),
            "xl/sharedStrings.xml": shared,
            "xl/worksheets/sheet2.xml": cells,
            "xl/worksheets/sheet10.xml": b"<worksheet/>",
        }
    )
    assert read_office(data, 1000) == "# 表\n名\tab\n2\tTRUE\tin\t\t\n\n# 10"
    assert read_office(zip_of({"xl/workbook.xml": b"<workbook/>"}), 9) == ""


def test_of_powerpoint_the_slides_in_their_order() -> None:
    def slide(text: bytes) -> bytes:
        return b'<p:sld xmlns:p="p" xmlns:a="a"><a:p><a:r><a:t>%s</a:t></a:r></a:p></p:sld>' % text

    data = zip_of(
        {
            "ppt/presentation.xml": b"<p/>",
            "ppt/slides/slide10.xml": slide(b"ten"),
            "ppt/slides/slide2.xml": slide(b"two"),
            "ppt/slides/_rels/slide2.xml.rels": b"<x/>",
        }
    )
    assert read_office(data, 1000) == "# 2\ntwo\n\n# 10\nten"


def broken_zip() -> bytes:
    data = bytearray(docx(b"<p><t>" + b"x" * 1000 + b"</t></p>"))
    place = data.index(b"word/document.xml") + len("word/document.xml")
    data[place + 3] ^= 0xFF
    return bytes(data)


def locked_zip() -> bytes:
    data = bytearray(docx(b"<p/>"))
    # The flag that says so, in the directory.
    place = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    data[place + 8] |= 1
    return bytes(data)


def packed_otherwise() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("word/document.xml", b"<x/>")
    data = bytearray(buffer.getvalue())
    data[data.index(b"PK\x01\x02") + 10] = 97
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (zip_of({"a.txt": b"b"}), "format"),
        (b"PK\x03\x04 and no more", "damaged"),
        (docx(b"<p>"), "damaged"),
        (broken_zip(), "damaged"),
        (locked_zip(), "damaged"),
        (packed_otherwise(), "damaged"),
        (zip_of({"word/document.xml": b"<!DOCTYPE x><x/>"}), "damaged"),
        (zip_of({"word/document.xml": "<!DOCTYPE x><x/>".encode("utf-16")}), "damaged"),
        (zip_of({"word/document.xml": b"<x>&undeclared;</x>"}), "damaged"),
        (docx(b"<p>" * 300 + b"</p>" * 300), "damaged"),
        (docx(b"<p><t>" + b"x" * 101 + b"</t></p>"), "too_much_text"),
    ],
)
def test_other_files_are_refused(data: bytes, refusal: str) -> None:
    with pytest.raises(Refused) as refused:
        read_office(data, 100)
    assert refused.value.outcome.refusal == refusal


def test_what_is_unpacked_is_bounded_whatever_the_directory_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "UNPACKED_BYTES_MAX", 100_000)
    with pytest.raises(Refused, match="too much"):
        read_office(docx(b" " * 200_000), 100)
    two = {
        "word/document.xml": b"<x>" + b" " * 60_000 + b"</x>",
        "word/footnotes.xml": b"<x>" + b" " * 60_000 + b"</x>",
    }
    with pytest.raises(Refused, match="too much"):
        read_office(zip_of(two), 100)


def test_the_parts_and_texts_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office, "PARTS_MAX", 3)
    with pytest.raises(Refused, match="parts"):
        read_office(zip_of({f"{number}": b"" for number in range(4)}), 100)
    monkeypatch.setattr(office, "SHARED_STRINGS_MAX", 2)
    with pytest.raises(Refused, match="texts"):
        read_office(
            zip_of({"xl/workbook.xml": b"<w/>", "xl/sharedStrings.xml": b"<s>" + b"<si/>" * 3 + b"</s>"}), 100
        )
