"""The text of Word, Excel and PowerPoint files (docx, xlsx, pptx): a zip of XML, read with bounds of our own.

Rule: what is unpacked is counted as it is unpacked, whatever the zip's directory claims; a document type in the XML
ends the reading, so no entity is ever declared, let alone expanded or fetched. No macro, link or formula is followed.
"""

import io
import re
import zipfile
import zlib
from collections.abc import Callable
from xml.parsers import expat

from openbigmodel.media.task import Refused

# Bytes of all parts together; a thousand pages of Word are about 10 MB of XML.
UNPACKED_BYTES_MAX = 128 * 1024 * 1024
PARTS_MAX = 10_000
DEPTH_MAX = 256
SHARED_STRINGS_MAX = 2_000_000
_CHUNK_BYTES = 65_536
_SLIDE = re.compile(r"ppt/slides/slide([0-9]{1,6})\.xml")
_SHEET = re.compile(r"xl/worksheets/sheet([0-9]{1,6})\.xml")


def read_office(data: bytes, text_max: int) -> str:
    """Raises Refused `format` when the zip is none of the three, `damaged`, or `too_much_text`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            package = _Package(archive, text_max)
            if "word/document.xml" in package.names:
                _read_word(package)
            elif "xl/workbook.xml" in package.names:
                _read_excel(package)
            elif "ppt/presentation.xml" in package.names:
                _read_powerpoint(package)
            else:
                raise Refused("format", "a zip that is no document")
            return package.text
    except (zipfile.BadZipFile, zlib.error, expat.ExpatError, EOFError, OSError, ValueError) as error:
        raise Refused("damaged", f"document: {type(error).__name__}") from error
    except (NotImplementedError, RuntimeError) as error:
        raise Refused("damaged", "document with a password, or packed in a way of its own") from error


class _Package:
    """The zip, and the text found so far."""

    def __init__(self, archive: zipfile.ZipFile, text_max: int) -> None:
        self._archive = archive
        self.names = set(archive.namelist())
        if len(archive.infolist()) > PARTS_MAX:
            raise Refused("damaged", "document of too many parts")
        self._left = UNPACKED_BYTES_MAX
        self._text_left = text_max
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._pieces).strip()

    def say(self, text: str) -> None:
        """Add to the text. Raises Refused when it is too much."""
        self._text_left -= len(text)
        if self._text_left < 0:
            raise Refused("too_much_text")
        self._pieces.append(text)

    def parse(self, name: str, reader: "_XmlReader") -> None:
        """Feed one part to a reader, while it is unpacked."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = _refuse_doctype
        depth = 0

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal depth
            depth += 1
            if depth > DEPTH_MAX:
                raise Refused("damaged", "XML nested too deeply")
            reader.start(tag.rpartition(" ")[2], attributes)

        def end(tag: str) -> None:
            nonlocal depth
            depth -= 1
            reader.end(tag.rpartition(" ")[2])

        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = reader.characters
        with self._archive.open(name) as part:
            while chunk := part.read(_CHUNK_BYTES):
                self._left -= len(chunk)
                if self._left < 0:
                    raise Refused("damaged", "document that unpacks to too much")
                parser.Parse(chunk, False)
        parser.Parse(b"", True)


def _refuse_doctype(*_: object) -> None:
    raise Refused("damaged", "XML with a document type")


class _XmlReader:
    """What is done at each tag and text; tags come without their namespace."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def end(self, tag: str) -> None:
        """An element ends."""

    def characters(self, text: str) -> None:
        """Text between tags."""


class _Runs(_XmlReader):
    """Text in `t` elements; paragraphs end lines, cells of tables are set apart by tabs."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._inside = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "t":
            self._inside = True
        elif tag == "tab":
            self._say("\t")
        elif tag in {"br", "cr"}:
            self._say("\n")

    def end(self, tag: str) -> None:
        if tag == "t":
            self._inside = False
        elif tag in {"p", "tr"}:
            self._say("\n")
        elif tag == "tc":
            self._say("\t")

    def characters(self, text: str) -> None:
        if self._inside:
            self._say(text)


def _read_word(package: _Package) -> None:
    for name in ("word/document.xml", "word/footnotes.xml", "word/endnotes.xml"):
        if name in package.names:
            package.parse(name, _Runs(package.say))


def _read_powerpoint(package: _Package) -> None:
    for number, name in _numbered(_SLIDE, package):
        package.say(f"\n# {number}\n")
        package.parse(name, _Runs(package.say))


def _numbered(pattern: re.Pattern[str], package: _Package) -> list[tuple[int, str]]:
    found = [(int(match[1]), match[0]) for match in map(pattern.fullmatch, package.names) if match]
    return sorted(found)


class _SheetNames(_XmlReader):
    def __init__(self) -> None:
        self.names: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "sheet":
            self.names.append(attributes.get("name", ""))


class _SharedStrings(_XmlReader):
    """The texts that cells refer to by number; phonetic readings are left out."""

    def __init__(self) -> None:
        self.strings: list[str] = []
        self._pieces: list[str] = []
        self._inside = self._phonetic = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "t":
            self._inside = True
        elif tag == "rPh":
            self._phonetic = True

    def end(self, tag: str) -> None:
        if tag == "t":
            self._inside = False
        elif tag == "rPh":
            self._phonetic = False
        elif tag == "si":
            if len(self.strings) >= SHARED_STRINGS_MAX:
                raise Refused("damaged", "workbook of too many texts")
            self.strings.append("".join(self._pieces))
            self._pieces = []

    def characters(self, text: str) -> None:
        if self._inside and not self._phonetic:
            self._pieces.append(text)


class _Cells(_XmlReader):
    """Rows as lines, cells set apart by tabs; a formula's last result stands for it."""

    def __init__(self, strings: list[str], say: Callable[[str], None]) -> None:
        self._strings = strings
        self._say = say
        self._kind = ""
        self._value: list[str] = []
        self._inside = False
        self._first = True

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "row":
            self._first = True
        elif tag == "c":
            self._kind = attributes.get("t", "")
            self._value = []
        elif tag in {"v", "t"}:
            self._inside = True

    def end(self, tag: str) -> None:
        if tag in {"v", "t"}:
            self._inside = False
        elif tag == "c":
            if not self._first:
                self._say("\t")
            self._first = False
            self._say(self._text())
        elif tag == "row":
            self._say("\n")

    def characters(self, text: str) -> None:
        if self._inside:
            self._value.append(text)

    def _text(self) -> str:
        value = "".join(self._value)
        if self._kind == "s":
            number = int(value) if re.fullmatch("[0-9]{1,7}", value) else -1
            return self._strings[number] if 0 <= number < len(self._strings) else ""
        if self._kind == "b":
            return {"0": "FALSE", "1": "TRUE"}.get(value, value)
        return value


def _read_excel(package: _Package) -> None:
    sheets = _SheetNames()
    package.parse("xl/workbook.xml", sheets)
    shared = _SharedStrings()
    if "xl/sharedStrings.xml" in package.names:
        package.parse("xl/sharedStrings.xml", shared)
    for position, (number, name) in enumerate(_numbered(_SHEET, package)):
        title = sheets.names[position] if position < len(sheets.names) else str(number)
        package.say(f"\n# {title}\n")
        package.parse(name, _Cells(shared.strings, package.say))
