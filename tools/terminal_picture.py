"""Draws docs/images/first-answer.svg: a terminal with the platform's start and its first streamed answer.

Rule: what the picture shows was said by a real run, made here and now with an empty data folder. Three things are
altered, for the eye: the key is cut short, the port is the default one, and "…" or "⋮" stands where a long line or
some of the chunks are left out. Standard library only.

    python tools/terminal_picture.py [--bigmodel .venv/bin/bigmodel] [--output docs/images/first-answer.svg]
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import unicodedata
import urllib.request
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PORT = 8000
QUESTION = {"model": "glm-4.6", "stream": True, "messages": [{"role": "user", "content": "你好"}]}
COLUMNS = 112
START_TIMEOUT_S = 60

CELL_WIDTH = 8.4  # of a 14 px monospace font
LINE_HEIGHT = 21
PADDING = 20
TITLE_HEIGHT = 36
COLOURS = {
    "text": "#d7dce5",
    "prompt": "#7fd18b",
    "dim": "#7d8799",
    "key": "#f2c46d",
    "reasoning": "#8fb6f0",
    "content": "#ffffff",
}

# A line is a list of (colour, text).
Line = list[tuple[str, str]]


def run(bigmodel: str) -> tuple[list[str], list[str]]:
    """Start the platform, ask one question: the lines of its start, and the events of the answer."""
    with tempfile.TemporaryDirectory() as folder:
        command = [bigmodel, "serve", "--port", "0", "--data", folder]
        with subprocess.Popen(  # noqa: S603  our own program
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            try:
                assert server.stdout is not None
                said = list(_start(iter(server.stdout.readline, "")))
                url = next(line.split()[-1] for line in said if "http://" in line)
                key = next(line.split()[-1] for line in said if line.startswith("API key: "))
                return said, _ask(url, key)
            finally:
                server.terminate()


def _start(lines: Iterator[str]) -> Iterator[str]:
    """What is printed up to the key; the curl after it is drawn by `picture`."""
    for line in lines:
        yield line.rstrip("\n")
        if line.startswith("API key: "):
            return


def _ask(url: str, key: str) -> list[str]:
    body = json.dumps(QUESTION).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/chat/completions", body, headers)  # noqa: S310  http, on this machine
    with urllib.request.urlopen(request, timeout=START_TIMEOUT_S) as reply:  # noqa: S310
        return [line.decode().rstrip("\n") for line in reply if line.strip()]


def picture(said: list[str], events: list[str]) -> list[Line]:
    """The lines to draw."""
    lines: list[Line] = [[("prompt", "$ "), ("text", "make serve")]]
    for said_line in said:
        line = re.sub(r"(127\.0\.0\.1):\d+", rf"\1:{PORT}", said_line)
        if line.startswith("API key: "):
            key_id, _, secret = line.removeprefix("API key: ").partition(".")
            lines.append([("text", "API key: "), ("key", f"{key_id[:12]}….{secret[:12]}…")])
        else:
            lines += [[("text", part)] for part in _wrapped(line)]
    lines += [
        [],
        [("prompt", "$ "), ("text", f"curl -N http://127.0.0.1:{PORT}/api/paas/v4/chat/completions \\")],
        [
            ("text", '    -H "Authorization: Bearer '),
            ("key", "$KEY"),
            ("text", '" -H "Content-Type: application/json" \\'),
        ],
        [("text", f"    -d '{json.dumps(QUESTION, ensure_ascii=False)}'")],
    ]
    return lines + list(_stream(events))


def _wrapped(line: str) -> list[str]:
    if _cells(line) <= COLUMNS:
        return [line]
    head, _, tail = line[:COLUMNS].rpartition(" ")
    return [head, *_wrapped(tail + line[COLUMNS:])]


def _stream(events: list[str]) -> Iterator[Line]:
    """Two reasoning chunks, three of content, the last one and the end."""
    reasoning = [event for event in events if '"reasoning_content":"' in event]
    content = [event for event in events if '"content":"' in event and '"finish_reason"' not in event]
    last = [event for event in events if '"finish_reason"' in event]
    yield from (_event(event) for event in reasoning[:2])
    yield [("dim", "⋮")]
    yield from (_event(event) for event in content[:4])
    yield [("dim", "⋮")]
    for event in last:
        yield _event(event)
        usage = re.search(r'"usage":\{.*\}', event)
        assert usage is not None
        counts = usage[0].partition(',"prompt_tokens_details"')[0]
        yield [("dim", f"      …{counts},…")]
    yield [("text", events[-1])]


def _event(event: str) -> Line:
    """A chunk without what is the same in all of them."""
    choices = re.search(r'"choices":\[(\{.*?\})\]', event)
    assert choices is not None, event
    found = re.search(r'("(?:reasoning_)?content":)("(?:[^"\\]|\\.)*")', choices[1])
    assert found is not None, event
    before, after = choices[1][: found.start()], choices[1][found.end() :]
    kind = "reasoning" if found[1].startswith('"reasoning') else "content"
    identifier = event.partition('"id":"')[2][:8]
    return [
        ("dim", f'data: {{"id":"{identifier}…,"choices":[{before}'),
        (kind, found[1] + found[2]),
        ("dim", f"{after}]" + ("}" if "usage" not in event else "")),
    ]


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def svg(lines: list[Line], title: str) -> str:
    """The drawing. Wide characters have a place each, as fonts differ in how wide they are."""
    width = round(2 * PADDING + COLUMNS * CELL_WIDTH)
    height = TITLE_HEIGHT + 2 * PADDING + LINE_HEIGHT * len(lines)
    style = "font-family: ui-monospace, 'Cascadia Mono', Menlo, Consolas, 'DejaVu Sans Mono', 'Noto Sans CJK SC', monospace"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="10" fill="#1b202b"/>',
        f'<path d="M0 {TITLE_HEIGHT}V10Q0 0 10 0H{width - 10}Q{width} 0 {width} 10V{TITLE_HEIGHT}Z" fill="#272e3c"/>',
    ]
    for number, colour in enumerate(("#f0655b", "#f4bf4f", "#5fc454")):
        parts.append(f'<circle cx="{22 + 20 * number}" cy="{TITLE_HEIGHT / 2:g}" r="6" fill="{colour}"/>')
    parts.append(f'<g font-size="14" style="{style}" xml:space="preserve">')
    for number, line in enumerate(lines):
        y = TITLE_HEIGHT + PADDING + LINE_HEIGHT * number + 15
        parts.append(f'<text y="{y}">{"".join(_runs(line))}</text>')
    parts += ["</g>", "</svg>", ""]
    return "\n".join(parts)


def _runs(line: Line) -> Iterator[str]:
    column = 0
    for colour, text in line:
        for run_text in _by_width(text):
            x = PADDING + column * CELL_WIDTH
            yield f'<tspan x="{x:.1f}" fill="{COLOURS[colour]}">{escape(run_text, quote=False)}</tspan>'
            column += _cells(run_text)


def _by_width(text: str) -> list[str]:
    """Wide characters one by one, the others in runs."""
    return re.findall(r"[\u1100-\uffff]|[^\u1100-\uffff]+", text)


def main() -> int:
    """Run and draw."""
    parser = argparse.ArgumentParser(description="Draw the picture of the README from a real run.")
    parser.add_argument("--bigmodel", default=str(ROOT / ".venv/bin/bigmodel"), help="the command to run")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/images/first-answer.svg")
    options = parser.parse_args()
    lines = picture(*run(options.bigmodel))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(
        svg(lines, "make serve, then a curl: the first streamed answer"), encoding="utf-8"
    )
    print(f"{options.output}: {len(lines)} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
