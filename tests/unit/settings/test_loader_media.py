from pathlib import Path

import pytest

from openbigmodel.settings import MediaSettings, SettingsError, load_settings

SECTION = """
[media]
allow_urls = false
allowed_hosts = ["a.example", "*.b.example"]
ports = [80, 9000]
allow_private = ["10.0.0.0/8", "fd00::1"]
max_mb = 50
fetch_s = 20
concurrency = 4
"""


def load(text: str, folder: Path) -> MediaSettings:
    file = folder / "bigmodel.toml"
    file.write_text(text)
    return load_settings(file, environ={"HOME": "/home/li"}).media


def test_the_section_is_read(tmp_path: Path) -> None:
    media = load(SECTION, tmp_path)
    assert media.allowed_hosts == ("a.example", "*.b.example")
    assert [str(network) for network in media.allow_private] == ["10.0.0.0/8", "fd00::1/128"]
    assert (media.allow_urls, media.ports, media.max_mb, media.fetch_s, media.concurrency) == (
        False,
        (80, 9000),
        50,
        20,
        4,
    )
    assert load("", tmp_path) == MediaSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_mb = 0", "media.max_mb must be a whole number, 1 or more"),
        ("max_mb = 201", "media.max_mb must be a whole number, 200 or less"),
        ("fetch_s = 61", "media.fetch_s must be a whole number, 60 or less"),
        ("concurrency = 129", "media.concurrency must be a whole number, 128 or less"),
        ("allow_urls = 'no'", "media.allow_urls must be true or false"),
        ("allow_private = ['10.0.0.1/8']", "media.allow_private: 10.0.0.1/8 has host bits set"),
        ("allow_hosts = []", "media.allow_hosts is not a setting; did you mean allowed_hosts?"),
    ],
)
def test_mistakes_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        load(f"[media]\n{text}", tmp_path)
    assert message in str(raised.value)
