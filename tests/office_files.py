"""Word, Excel and PowerPoint files, as small as they can be."""

import io
import zipfile


def zip_of(parts: dict[str, bytes]) -> bytes:
    """A zip with these files in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def docx(body: bytes) -> bytes:
    """A Word file with this as its body."""
    return zip_of(
        {"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<document>" + body + b"</document>"}
    )
