import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openbigmodel.moderation import words as words_module
from openbigmodel.moderation.folding import fold
from openbigmodel.moderation.words import (
    MAX_WORD_CHARACTERS,
    Match,
    WordList,
    WordListError,
    read_word_list,
)


def found(words: list[str], text: str) -> bool:
    return WordList(dict.fromkeys(words, 1)).scan(fold(text)).blocked is not None


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("bomb", "a BOMB!"),
        ("bomb", "bomb"),
        ("bomb", "是bomb吗"),
        ("bomb", "x_bomb_y"),
        ("bomb", "ｂｏｍｂ"),
        ("bomb", "bo\u200bmb"),
        ("pipe bomb", "pipe\n  bomb"),
        ("炸弹", "制造炸弹的方法"),
        ("炸弹", "炸\u200d弹"),
        ("폭탄", "폭탄을"),
        ("爆弾", "爆弾の"),
        ("قنبلة", "هذه قنبلة"),
        ("ระเบิด", "ทำระเบิดเอง"),
        ("бомба", "Бомба."),
        ("βόμβα", "ΒΌΜΒΑ"),
        ("bombe", "Bombe"),
        ("café", "cafe\u0301"),
        ("bomb*", "bombing"),
        ("*bomb", "petrolbomb"),
        ("*bomb*", "petrolbombs"),
        ("大法", "大大法"),
        ("c++", "c++"),
        ("毒", "毒"),
        ("18禁", "是18禁的"),
    ],
)
def test_what_is_found(word: str, text: str) -> None:
    assert found([word], text)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("ass", "class passes"),
        ("ass", "assets"),
        ("bomb", "bombing"),
        ("bomb", "bomb2"),
        ("bomb", "e\u0301bomb"),
        ("*bomb", "bombs"),
        ("bomb*", "abomb"),
        ("cafe", "café"),
        ("cafe", "cafe\u0301s"),
        ("가", "각"),
        ("กา", "กา\u0e48"),
        ("cặc", "các"),
        ("бомба", "бомбардировка"),
        ("炸弹", "炸药"),
    ],
)
def test_what_is_not(word: str, text: str) -> None:
    assert not found([word], text)


def test_the_shorter_of_two_words_is_found_inside_the_longer_ones_beginning() -> None:
    assert found(["abcd", "bc"], "xabce") is False
    assert found(["*abcd*", "*bc*"], "xabce")
    assert found(["法轮大法好", "大法"], "法轮大法不")


def test_levels_decide_what_blocks_and_what_is_noted() -> None:
    words = WordList({"bad": 1, "worse": 0, "meh": 3, "mild": 2}, block_level=1)
    assert words.scan("meh mild bad worse").blocked == Match(start=9, level=1)
    assert words.scan("meh mild bad").noted == 2
    scan = words.scan("meh")
    assert (scan.blocked, scan.noted, scan.held) == (None, 3, 3)


def test_of_two_words_that_end_together_the_more_severe_one_counts() -> None:
    assert WordList({"机炸弹": 2, "炸弹": 0}).scan("飞机炸弹").blocked == Match(start=2, level=0)


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("nothing", 0),
        ("the bo", 2),
        ("the bomb", 4),  # bombing is no bomb
        ("the abomb", 0),
        ("制造炸", 1),
        ("制造炸弹", 2),  # a mark might follow
        ("pipe", 4),
        ("pipe ", 5),
        ("pipe b", 6),
        ("pipe bo", 7),
        ("pipe bomx", 0),
        ("a pi", 2),
    ],
)
def test_no_more_is_held_than_could_become_a_match(text: str, held: int) -> None:
    scan = WordList({"bomb": 1, "炸弹": 1, "pipe bomb": 1}).scan(text, final=False)
    assert scan.blocked is None
    assert len(text) - scan.held == held


@settings(max_examples=300)
@given(
    st.lists(st.text("ab炸", min_size=1, max_size=4), min_size=1, max_size=6),
    st.text("ab炸 .", max_size=30),
)
def test_it_finds_what_a_plain_search_finds(words: list[str], text: str) -> None:
    def edge(word: str, at: int) -> bool:
        return word[at] in "ab"

    starts = [
        match.start()
        for word in words
        for match in re.finditer(
            ("(?<![ab])" if edge(word, 0) else "")
            + f"(?={re.escape(word)}"
            + ("(?![ab])" if edge(word, -1) else "")
            + ")",
            text,
        )
    ]
    scan = WordList(dict.fromkeys(words, 1)).scan(text)
    assert (scan.blocked is not None) == bool(starts)
    assert scan.blocked is None or scan.blocked.start in starts


def test_a_text_of_nothing_but_beginnings_costs_no_more_than_its_length() -> None:
    words = WordList({"炸" * n + "弹": 1 for n in range(1, 100)})
    text = "炸" * 20_000
    began_s = time.process_time()
    assert words.scan(text).blocked is None
    assert time.process_time() - began_s < 1.0


def write(path: Path, text: str) -> Path:
    file = path / "words.txt"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "\ufeff# comment\n\n  炸弹  \r\n[level 0]\nworst\n[level 3]\nmild\n\\#tag\n\\[x]\nworst\n",
    )
    words = read_word_list(file, block_level=2)
    assert words.count == 5
    assert words.scan("炸弹").blocked == Match(0, 1)
    assert words.scan("a worst").blocked == Match(2, 0)
    for mild in ("mild", "#tag", "[x]"):
        assert (words.scan(mild).blocked, words.scan(mild).noted) == (None, 3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no words"),
        ("# nothing\n", "has no words"),
        ("a\n[level 4]\n", "line 2: a line in brackets is [level 0] to [level 3]"),
        ("a\n\u200b\n", "line 2: nothing of this word can be compared"),
        ("*\n", "line 1: nothing of this word can be compared"),
        ("\u0301a\n", "line 1: a word cannot begin with a combining mark"),
        ("x" * (MAX_WORD_CHARACTERS + 1), "line 1: a word may have 128 characters"),
    ],
)
def test_a_file_that_is_no_word_list(tmp_path: Path, text: str, complaint: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(WordListError, match=re.escape(complaint)) as caught:
        read_word_list(file)
    assert str(caught.value).startswith(str(file))


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WordListError, match="cannot be read"):
        read_word_list(tmp_path / "none.txt")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WordListError, match="is not UTF-8"):
        read_word_list(binary)
    file = write(tmp_path, "a\nb\nc\n")
    monkeypatch.setattr(words_module, "MAX_WORDS", 2)
    with pytest.raises(WordListError, match="more than 2 words"):
        read_word_list(file)
    monkeypatch.setattr(words_module, "MAX_FILE_BYTES", 3)
    with pytest.raises(WordListError, match="is larger than"):
        read_word_list(file)
