"""The text of a file that a caller wants a model to read.

Rule: what a file is, its bytes say; its name only tells HTML from plain text. Everything here runs in the limited
worker and may be as slow or as hungry as the limits allow: Refused, MemoryError and being killed all mean 1210.
"""

import io
import re
from html.parser import HTMLParser

import pypdf

from openbigmodel.media.office import read_office
from openbigmodel.media.task import Refused

# About two million tokens: more than any model reads.
TEXT_CHARACTERS_MAX = 8 * 1024 * 1024
PDF_PAGES_MAX = 2000

_BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
# GB 18030 covers GBK and GB 2312; what is neither and not UTF-8 is most likely Western.
_ENCODINGS = ("utf-8", "gb18030", "cp1252")
# Text has tabs, line ends, form feeds and the escapes of terminals; other controls are somebody's binary format.
_BINARY = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_HTML_NAME = re.compile(r".*\.(html?|xhtml)", re.IGNORECASE)
_HTML_START = re.compile(r"\s*(<!doctype html|<html[\s>])", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def read_document(data: bytes, name: str) -> str:
    """The text. Raises Refused `format`, `damaged` or `too_much_text`."""
    if data.startswith(b"%PDF-") or b"%PDF-" in data[:1024]:
        text = _read_pdf(data)
    elif data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        text = read_office(data, TEXT_CHARACTERS_MAX)
    else:
        text = _decode(data)
        if _HTML_NAME.fullmatch(name) or _HTML_START.match(text):
            text = _read_html(text)
    if len(text) > TEXT_CHARACTERS_MAX:
        raise Refused("too_much_text")
    return text


def _decode(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            encodings: tuple[str, ...] = (encoding,)
            data = data[len(mark) :]
            break
    else:
        encodings = _ENCODINGS
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _BINARY.search(text):
            return text
    raise Refused("format", "neither text nor a document that is known")


def _read_pdf(data: bytes) -> str:
    pieces: list[str] = []
    size = 0
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refused("damaged", "PDF with a password")
        if len(reader.pages) > PDF_PAGES_MAX:
            raise Refused("too_much_text", "PDF of too many pages")
        for page in reader.pages:
            piece = page.extract_text()
            size += len(piece)
            if size > TEXT_CHARACTERS_MAX:
                raise Refused("too_much_text")
            pieces.append(piece)
    except Refused:
        raise
    except Exception as error:  # the edge of a parser of other people's: it fails in every way there is
        raise Refused("damaged", f"PDF: {type(error).__name__}") from error
    # A lone half of a surrogate pair in a font's table must not stop the rest.
    return "\n\n".join(pieces).encode("utf-8", "replace").decode()


def _read_html(source: str) -> str:
    parser = _VisibleText()
    parser.feed(source)
    parser.close()
    return _BLANK_LINES.sub("\n\n", "".join(parser.pieces)).strip()


class _VisibleText(HTMLParser):
    """Keeps what a reader of the page would see, and where lines end."""

    _HIDDEN = frozenset(("script", "style", "template", "noscript", "svg"))
    _LINES = frozenset(
        "p div br li ul ol tr table h1 h2 h3 h4 h5 h6 section article header footer pre blockquote title dt dd".split()
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._HIDDEN:
            self._hidden += 1
        elif tag in self._LINES:
            self.pieces.append("\n")
        elif tag in {"td", "th"}:
            self.pieces.append("\t")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in self._LINES:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)
