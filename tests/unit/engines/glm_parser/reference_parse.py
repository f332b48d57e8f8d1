"""What a raw text says, read by someone who has all of it: nothing is cut, nothing is held back, nothing is quick.

Written from the rules, not from the parser, and compared with it on random texts. Arguments are given as values:
objects as their members in order, numbers as ("number", digits).
"""

import ast
import json
import re
from typing import Any

from tests.unit.engines.glm_parser.corpus import TOOLS

BLANK = "[ \t\r\n]"
CONTROL = r"<\|(?:endoftext|system|user|assistant|observation)\|>"
TOOLS_BY_NAME: dict[str, Any] = {
    tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in TOOLS if "function" in tool
}
NAME = r"((?! )[^<>{}\t\r\n]{1,128})"
SOME = f"{BLANK}{{0,16}}"
JSON_BEGINS = rf'(?=\{{{SOME}["}}])'

Said = tuple[Any, ...]


class Members(list[tuple[str, Any]]):
    """An object's, which are never the same as a list, not even if there are none."""

    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Members) and super().__eq__(other)


def reference_parse(text: str, written: str, thinking: bool | None) -> list[Said]:
    return _Reading(text, written, bool(thinking)).run()


class _Reading:
    def __init__(self, text: str, written: str, thinking: bool) -> None:
        self.text, self.tagged, self.thinking = text, written != "glm0414", thinking
        self.said: list[Said] = []
        self.position = 0
        self.hermes_left = 8

    def say(self, text: str) -> None:
        kind = "reasoning" if self.thinking else "content"
        if text and self.said and self.said[-1][0] == kind:
            text = self.said.pop()[1] + text
        if text:
            self.said.append((kind, text))

    def take(self, pattern: str) -> re.Match[str] | None:
        found = re.compile(pattern, re.DOTALL).match(self.text, self.position)
        if found:
            self.position = found.end()
        return found

    def run(self) -> list[Said]:
        place = "beginning"
        while place != "end":
            place = self.gap(place) or self.words()
        return self.said

    def gap(self, place: str) -> str:
        """Between things: blanks, and tags that say nothing there. Answers with the next place, if it is known."""
        blanks = ""
        while len(blanks) <= 64:
            if found := self.take(f"{BLANK}+"):
                blanks += found[0]
            elif self.position == len(self.text):
                self.say("" if place == "after call" else blanks)
                return "end"
            elif place == "beginning" and self.take("<think>"):
                self.thinking = True
                return ""
            elif self.take("</think>"):
                if self.thinking:
                    self.say(blanks)
                    blanks = ""
                self.thinking = False
                place = "gap" if place == "beginning" else place
            elif place == "after call" and self.take("</tool_call>"):
                blanks = ""
            elif self.take(CONTROL):
                pass
            elif self.call():
                return "after call"
            else:
                break
        self.say(blanks)
        return ""

    def words(self) -> str:
        """Reasoning or an answer, up to where it ends."""
        while self.position < len(self.text):
            found = self.take(f"</think>|{CONTROL}")
            if found and found[0] == "</think>":
                if self.thinking:
                    self.thinking = False
                    return "gap"
                self.say(found[0])
            elif found:
                if found[0] == "<|assistant|>" and not self.tagged and not self.thinking:
                    return "gap"
            elif self.tagged and self.call():
                return "after call"
            else:
                character = self.take(".")
                assert character
                self.say(character[0])
        return "end"

    def call(self) -> bool:
        start = self.position
        if not self.tagged:
            found = None if self.thinking else self.take(rf"{NAME}\r?\n{SOME}{JSON_BEGINS}")
            if found and found[1].strip(" ") in TOOLS_BY_NAME:
                return self.json_call(found[1])
        elif self.take("<tool_call>"):
            if found := self.take(rf"{SOME}{NAME}{SOME}(?=<arg_key>|</tool_call>)"):
                if callable_name(found[1]):
                    return self.tagged_call(found[1])
            elif found := self.take(rf"{SOME}{NAME}{SOME}>?{SOME}{JSON_BEGINS}"):
                if callable_name(found[1]):
                    return self.json_call(found[1])
            elif found := self.take(rf"{SOME}{NAME}{SOME}(?:{CONTROL})?\Z"):
                if found[1].strip(" ") in TOOLS_BY_NAME:
                    return self.tagged_call(found[1])
            elif self.take(rf'{SOME}(?=\{{{SOME}")') and self.hermes_left:
                if self.hermes_call():
                    return True
                self.hermes_left -= 1
        self.position = start
        return False

    def json_call(self, name: str) -> bool:
        reader = LenientJson(self.text, self.position)
        self.add_call(name.strip(" "), reader.root)
        self.position = reader.position
        return True

    def hermes_call(self) -> bool:
        reader = LenientJson(self.text, self.position)
        members = dict(reader.root)
        name = members.get("name")
        alone = Members() if len(members) == 1 else None
        given = members.get("arguments", members.get("parameters", alone))
        if isinstance(given, str):
            try:
                given = strict(given)
            except ValueError:
                return False
        if not reader.whole or not isinstance(name, str) or not callable_name(name, strip=False):
            return False
        if not isinstance(given, Members) or not encodable(whole_characters(reader.root)):
            return False
        self.add_call(name, given)
        self.position = reader.position
        return True

    def add_call(self, name: str, pairs: Any) -> None:
        self.thinking = False
        self.said.append(("call", name, pairs))

    def tagged_call(self, name: str) -> bool:
        name = name.strip(" ")
        pairs = Members()
        key: str | None = None
        while not self.take(f"{BLANK}*</tool_call>"):
            stray = "</arg_key>" if key is not None else "</arg_key>|</arg_value>"
            if self.take(rf"{BLANK}*(?:{stray})"):
                continue
            before = self.position
            if key is not None and self.take(rf"{BLANK}*<arg_value>"):
                self.argument(name, key, pairs)
                key = None
            elif found := self.take(
                rf"{BLANK}*<arg_key>((?:(?!</?arg_key>|<arg_value>|</?tool_call>).){{0,512}})"
                rf"(?=</arg_key>|<arg_value>|<arg_key>|</?tool_call>|\Z)"
            ):
                key = found[1].strip(" \t\r\n")
                if self.position == len(self.text) or self.text.startswith("<tool_call>", self.position):
                    break
                self.take("</arg_key>")
            else:
                self.position = before
                self.take(rf"{BLANK}*(?:<arg_key>)?")
                break
        self.add_call(name, pairs)
        return True

    def argument(self, name: str, key: str, pairs: Members) -> None:
        found = self.take(rf"(.*?)(?:</arg_value>|(?:</tool_call>{SOME}(?:{CONTROL})?|{CONTROL})?\Z)")
        assert found
        if key in dict(pairs):
            return
        pairs.append((key, found[1] if text_wanted(name, key) else value_of(found[1])))


def callable_name(name: str, *, strip: bool = True) -> bool:
    name = name.strip(" ") if strip else name
    return name in TOOLS_BY_NAME or re.fullmatch("[-A-Za-z0-9_.]{1,128}", name) is not None


def text_wanted(name: str, key: str) -> bool:
    """By the few schemas of these tools."""
    schema = TOOLS_BY_NAME.get(name, {})
    member = schema.get("properties", {}).get(key, schema.get("additionalProperties", {}))
    types = str(_types(member, schema, 9))
    return "string" in types or types == "[]"


def _types(schema: Any, root: Any, depth: int) -> list[str]:
    if depth == 0:
        return []
    found = [schema["type"]] if "type" in schema else []
    for value in [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]:
        found.append("string" if isinstance(value, str) else "integer")
    if "$ref" in schema:
        found += _types(root["$defs"][schema["$ref"].rpartition("/")[2]], root, depth - 1)
    for word in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(word, []):
            found += _types(part, root, depth - 1)
    return found


def value_of(text: str) -> Any:
    try:
        return strict(text)
    except ValueError:
        pass
    try:
        return strict(json.dumps(ast.literal_eval(text.strip(" \t\r\n")), allow_nan=False))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def strict(text: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(
        text,
        parse_int=lambda digits: ("number", digits),
        parse_float=lambda digits: ("number", digits),
        parse_constant=refuse,
        object_pairs_hook=Members,
    )


def encodable(value: Any) -> bool:
    """Without half characters."""
    try:
        repr_of = json.dumps(value, ensure_ascii=False)
        repr_of.encode()
    except UnicodeEncodeError:
        return False
    return True


class _BrokenError(Exception):
    pass


class LenientJson:
    """An object that may break off: `root` is what there is of it, `position` where the rest begins."""

    def __init__(self, text: str, position: int) -> None:
        self.text, self.position = text, position
        self.root: Any = None
        self.whole = True
        try:
            self.value(lambda value: setattr(self, "root", value), 0)
        except _BrokenError:
            self.whole = False

    def skip(self) -> str:
        while self.position < len(self.text) and self.text[self.position] in " \t\r\n":
            self.position += 1
        return self.text[self.position : self.position + 1]

    def value(self, put: Any, depth: int) -> None:
        first = self.skip()
        if first == '"':
            self.position += 1
            self.string(put)
        elif first and first in "{[" and depth < 128:
            self.position += 1
            container: list[Any] = Members() if first == "{" else []
            put(container)
            self.members(container, "}" if first == "{" else "]", depth + 1)
        else:
            self.word(put)

    def members(self, container: list[Any], end: str, depth: int) -> None:
        while True:
            if self.closes(end):
                return
            if end == "]":
                self.value(container.append, depth)
            else:
                key = self.key()
                for expected in (":", ""):
                    if self.closes(end):
                        return
                    if expected and self.skip() != expected:
                        raise _BrokenError
                    self.position += len(expected)
                self.value(lambda value, key=key: container.append((key, value)), depth)
            if self.closes(end):
                return
            if self.skip() != ",":
                raise _BrokenError
            self.position += 1

    def closes(self, end: str) -> bool:
        if self.skip() != end:
            return False
        self.position += 1
        return True

    def key(self) -> str:
        if self.skip() != '"':
            raise _BrokenError
        start = self.position
        keys: list[str] = []
        self.position += 1
        try:
            self.string(keys.append)
        except _BrokenError:
            self.position = len(self.text) if len(self.text) - start <= 512 else start
            raise
        if self.position - start > 512:
            self.position = start
            raise _BrokenError
        return str(keys[0])

    def string(self, put: Any) -> None:
        pieces: list[str] = []
        while True:
            rest = self.text[self.position : self.position + 6]
            if rest.startswith('"'):
                self.position += 1
                put("".join(pieces))
                return
            if not rest or re.fullmatch(r"\\(?:u[0-9a-fA-F]{0,3})?", rest):
                self.position = len(self.text)
                put("".join(pieces))
                raise _BrokenError
            found = re.match(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})', rest)
            piece = found[0] if found else rest[0]
            pieces.append(json.loads(f'"{piece}"') if found else piece)
            self.position += len(piece)

    def word(self, put: Any) -> None:
        found = re.compile("[-+.0-9A-Za-z_]{0,401}").match(self.text, self.position)
        assert found
        word, words = (
            found[0],
            {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None},
        )
        number = re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", word)
        if len(word) > 400 or not (number or word in words):
            if len(word) <= 400 and found.end() == len(self.text):
                self.position = found.end()
            raise _BrokenError
        self.position = found.end()
        put(("number", word) if number else words[word])


def whole_characters(value: Any) -> Any:
    """The same with halves of one character put together, which escapes in JSON do by themselves."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    if isinstance(value, list | tuple):
        return type(value)(whole_characters(item) for item in value)
    return value
