"""The types of settings: what they show, and what they hide."""

from pathlib import Path

import msgspec
import pytest

from openbigmodel.settings import ModelFile, Secret, Secrets


def test_a_secret_cannot_be_written_out() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("hunter2"))


def test_secrets_compare_by_text_and_an_empty_one_is_false() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
    assert repr(Secret("")) == "Secret()"


def test_a_model_file_is_a_path_unless_it_is_a_download() -> None:
    assert ModelFile("/models/a.gguf").path == Path("/models/a.gguf")
    assert ModelFile("hf:zai-org/GLM/a.gguf").path is None
    assert ModelFile("modelscope:ZhipuAI/GLM/a.gguf").path is None


def test_several_secrets_leave_out_empty_ones() -> None:
    keys = Secrets(Secret("a.hunter2"), Secret(""), Secret("b.hunter2"))

    assert keys.reveal() == ("a.hunter2", "b.hunter2")
    assert Secrets().reveal() == ()
    assert "hunter2" not in repr(keys)
    assert keys == Secrets(Secret("a.hunter2"), Secret(""), Secret("b.hunter2")) != Secrets()
    assert len({Secrets(), Secrets(), keys}) == 2
