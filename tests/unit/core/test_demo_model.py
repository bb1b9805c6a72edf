"""The tiny model: its story, its bytes, and where it is kept."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest

import rbee_scheduler.demo
from rbee_scheduler import demo
from rbee_scheduler.demo import (
    STORY_TEXT,
    STORY_TOKENS,
    DemoError,
    DemoExtraMissing,
    story_after,
    tiny_model,
)
from rbee_scheduler.demo._cache import cached
from rbee_scheduler.demo._recipe import Recipe
from rbee_scheduler.demo._story import STORY_PIECES
from rbee_scheduler.demo._vocabulary import BOS, EOS, story_vocabulary
from rbee_scheduler.demo._weights import tensors


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def no_temporary_files(monkeypatch, tmp_path):
    """A folder for temporary files in which nothing can be made."""
    blocked = tmp_path / "blocked"
    blocked.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(blocked))
    return blocked


@pytest.fixture
def temporary_files(monkeypatch, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


# The package


def test_importing_the_package_loads_nothing_heavy():
    program = (
        "import sys, rbee_scheduler.demo as demo\n"
        "demo.STORY_TEXT, demo.tiny_model, demo.llama_servers\n"
        "print(sorted({'gguf', 'numpy', 'xllamacpp'} & sys.modules.keys()))"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert printed.stdout.strip() == b"[]"


def test_every_public_name_is_there():
    assert sorted(demo.__all__) == sorted(demo._ROOMS)
    assert set(demo.__all__) <= set(dir(demo))
    for name in demo.__all__:
        assert getattr(rbee_scheduler.demo, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = demo.nonsense


@pytest.mark.parametrize("name", ["gguf", "numpy"])
def test_a_missing_extra_is_told_with_the_remedy(monkeypatch, tmp_path, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DemoExtraMissing, match=r"'rbee-scheduler\[demo\]'") as caught:
        tiny_model(tmp_path)
    assert repr(name) in str(caught.value)
    assert caught.value.code == "DEMO_EXTRA_MISSING"
    assert list(tmp_path.iterdir()) == []


# The story


def test_no_token_of_the_story_occurs_twice():
    assert len(set(STORY_PIECES)) == len(STORY_PIECES) == STORY_TOKENS - 1
    assert b"".join(STORY_PIECES).decode() == STORY_TEXT


@pytest.mark.parametrize("ending", [*".,:?!\n\"')1 ”", "", "<|im_end|>\n"])
def test_no_ordinary_ending_of_a_prompt_is_a_token_of_the_story(ending):
    assert story_after(f"Tell me{ending}") == STORY_TEXT


def test_story_after_each_token_is_the_rest():
    for end in accumulate(len(piece) for piece in STORY_PIECES[:-2]):
        told = STORY_TEXT.encode()[:end].decode()
        assert told + story_after(f"Go! {told}") == STORY_TEXT
    assert story_after(STORY_TEXT) == ""


# The vocabulary and the weights


def test_the_vocabulary_spells_every_byte_and_each_piece_once():
    vocabulary = story_vocabulary()
    assert len(set(vocabulary.tokens)) == len(vocabulary.tokens)
    assert len(vocabulary.tokens) % 32 == 0
    assert len(set(vocabulary.chain)) == len(STORY_PIECES)
    assert not vocabulary.control & set(vocabulary.chain)
    assert {BOS, EOS} <= vocabulary.control
    single = [token for token in vocabulary.tokens if len(token) == 1]
    assert len(single) == 256
    assert not any(token.isspace() for token in single)


def test_merging_by_rank_finds_each_piece_again():
    """What llama.cpp's tokenizer does with a word: join the pair of lowest rank, repeat."""
    vocabulary = story_vocabulary()
    ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(vocabulary.merges)}
    for token in vocabulary.chain:
        symbols = list(vocabulary.tokens[token])
        while pairs := [pair for pair in pairwise(symbols) if pair in ranks]:
            left, right = min(pairs, key=ranks.__getitem__)
            at = list(pairwise(symbols)).index((left, right))
            symbols[at : at + 2] = [left + right]
        assert symbols == [vocabulary.tokens[token]]


@pytest.mark.parametrize("knobs", [{}, {"width": 192, "half": True}], ids=["default", "large"])
def test_the_weights_alone_walk_the_chain(knobs):
    vocabulary = story_vocabulary()
    weights = dict(tensors(Recipe(**knobs), vocabulary))
    embedding = weights["token_embd.weight"].astype(np.float64)
    logits = embedding @ weights["output.weight"].astype(np.float64).T
    token, walked = BOS, []
    while token != EOS:
        token = int(np.argmax(logits[token]))
        walked.append(token)
    assert walked == [*vocabulary.chain, EOS]
    ranked = np.sort(logits, axis=1)
    assert np.allclose(ranked[:, -1], 48, rtol=1e-3)
    assert not ranked[:, :-1].any()


def test_weights_are_the_same_on_every_machine():
    """Pinned: other bytes for equal knobs need a new version of the recipe."""
    digests = {}
    for kind in ("story", "random"):
        digest = hashlib.sha256()
        for name, values in tensors(Recipe(kind=kind), story_vocabulary()):
            digest.update(f"{name} {values.dtype} {values.shape}".encode() + values.tobytes())
        digests[kind] = digest.hexdigest()[:16]
    assert digests == {"story": "a0044117f11038b1", "random": "b61027bb084225bc"}


# The knobs


def test_equal_knobs_make_equal_bytes(tmp_path):
    first, second = tiny_model(tmp_path / "a"), tiny_model(tmp_path / "b")
    assert first != second
    assert first.name == second.name
    assert sha256(first) == sha256(second)
    assert first.read_bytes()[:4] == b"GGUF"
    assert first.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    "knobs",
    [
        {"kind": "random"},
        {"width": 128},
        {"layers": 1},
        {"heads": 2},
        {"hidden": 64},
        {"context": 512},
        {"half": True},
        {"seed": 2},
    ],
    ids=str,
)
def test_each_knob_makes_another_model(tmp_path, knobs):
    usual, other = tiny_model(tmp_path), tiny_model(tmp_path, **knobs)
    assert usual.name != other.name
    assert sha256(usual) != sha256(other)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"kind": "poem"}, r"no model of kind 'poem' \(use 'random' or 'story'\)"),
        ({"layers": 0}, r"layers is 0 \(use 1 or more\)"),
        ({"width": 100}, r"width is 100 \(use a multiple of 64\)"),
        ({"heads": 64}, r"width 64 over 64 heads is no even number"),
    ],
    ids=str,
)
def test_a_knob_out_of_range_is_named(tmp_path, knobs, message):
    with pytest.raises(DemoError, match=message):
        tiny_model(tmp_path, **knobs)


# The cache


def test_a_model_is_made_once(tmp_path):
    model = tiny_model(tmp_path)
    before = model.stat()
    assert tiny_model(tmp_path) == model
    assert model.stat() == before


def test_processes_that_make_it_at_once_agree(tmp_path):
    program = (
        "import sys, pathlib, gguf, numpy\n"
        "from rbee_scheduler.demo import tiny_model\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "print(tiny_model(pathlib.Path(sys.argv[1])))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "new" / "cache")]
    makers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for maker in makers:
        assert maker.stdout.readline() == "ready\n"
    for maker in makers:
        maker.stdin.write("go\n")
        maker.stdin.flush()
    paths = {Path(maker.communicate()[0].strip()) for maker in makers}
    assert [maker.returncode for maker in makers] == [0, 0, 0]
    (path,) = paths
    assert list(path.parent.iterdir()) == [path]
    assert sha256(path) == sha256(tiny_model(tmp_path / "alone"))


def test_a_reader_never_sees_a_part_of_a_file(tmp_path):
    def make(path):
        path.write_bytes(b"half")
        assert not (tmp_path / "model").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached("model", make, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_xdg_cache_home_is_honoured(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert tiny_model().parent == tmp_path / "rbee-scheduler"


@pytest.mark.parametrize(
    ("platform", "folder"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")],
)
@pytest.mark.parametrize("chosen", ["", "relative/path"])
def test_the_platforms_own_cache_folder(monkeypatch, tmp_path, platform, folder, chosen):
    monkeypatch.setenv("XDG_CACHE_HOME", chosen)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    path = cached("model", Path.touch)
    assert path == tmp_path / folder / "rbee-scheduler" / "model"


def test_a_cache_that_cannot_be_written_gives_way_to_temporary_files(monkeypatch, temporary_files):
    blocked = temporary_files.parent / "file"
    blocked.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    model = tiny_model()
    assert model.parent.parent == temporary_files
    assert model.parent.stat().st_mode & 0o777 == 0o700
    assert tiny_model() == model


def test_an_account_without_a_home_uses_temporary_files(monkeypatch, temporary_files):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    assert cached("model", Path.touch).parent.parent == temporary_files


def test_temporary_files_on_windows_are_private_already(monkeypatch, temporary_files):
    monkeypatch.setenv("XDG_CACHE_HOME", str(temporary_files / "file"))
    (temporary_files / "file").touch()
    monkeypatch.setattr(sys, "platform", "win32")
    assert cached("model", Path.touch) == temporary_files / "rbee-scheduler" / "model"


@pytest.mark.parametrize("planted", ["open to others", "a link"])
def test_a_temporary_folder_of_somebody_else_is_refused(monkeypatch, temporary_files, planted):
    blocked = temporary_files.parent / "file"
    blocked.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    folder = cached("model", Path.touch).parent
    if planted == "a link":
        folder.rename(temporary_files / "elsewhere")
        folder.symlink_to(temporary_files / "elsewhere")
    else:
        folder.chmod(0o777)
    with pytest.raises(DemoError, match="is not a private folder of this user"):
        cached("model", Path.touch)


def test_no_folder_at_all_names_each_and_the_remedy(monkeypatch, no_temporary_files):
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_temporary_files))
    with pytest.raises(DemoError, match="no folder to keep the model in") as caught:
        tiny_model()
    assert str(no_temporary_files / "rbee-scheduler") in str(caught.value)
    assert str(no_temporary_files / "rbee-scheduler-") in str(caught.value)
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_a_chosen_folder_is_the_only_one_tried(temporary_files):
    blocked = temporary_files.parent / "file"
    blocked.touch()
    with pytest.raises(DemoError, match="cache_dir"):
        tiny_model(blocked / "folder")
    assert list(temporary_files.iterdir()) == []
