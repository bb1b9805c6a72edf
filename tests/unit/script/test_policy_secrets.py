"""A prompt is found in a message however it is written there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_scheduler_script._sample import sample_request
from rbee_scheduler_script._secrets import scrubbed


SECRET = 'He said "no"\nand left é\\ for good'
MARK = f"<prompt {sample_request(prompt=SECRET).prompt_hash[:12]}>"

WAYS = {
    "as it is": (f"id {SECRET}!", f"id {MARK}!"),
    "twice": (f"{SECRET} and {SECRET}", f"{MARK} and {MARK}"),
    "Python's way": (f"the string {SECRET!r}", f"the string '{MARK}'"),
    "JSON's way": (json.dumps([SECRET]), f'["{MARK}"]'),
    "other JSON": (json.dumps([SECRET], ensure_ascii=False), f'["{MARK}"]'),
    "cut": (f"it is {SECRET[:20]}...", f"it is {MARK}..."),
    "not there": ("nothing of it", "nothing of it"),
}


@pytest.mark.parametrize(("text", "expected"), WAYS.values(), ids=WAYS)
def test_ways_to_write_it(text, expected):
    assert scrubbed(text, sample_request(prompt=SECRET)) == expected


def test_short_prompts_are_words():
    assert scrubbed("no, nothing (no)", sample_request(prompt="no")).count("<prompt") == 2


def test_messages_of_all_shapes():
    messages = [
        {"role": "user", "content": "the first secret"},
        {"role": "user", "content": [{"type": "text", "text": "the second secret"}]},
        {"role": "user", "content": None},
    ]
    request = sample_request(prompt="", messages=messages)
    assert "secret" not in scrubbed("the first secret, the second secret", request)
    assert scrubbed("text", request) == "text"


def test_without_a_request_nothing_is_a_secret():
    assert scrubbed("Hello!", None) == "Hello!"


def test_a_prompt_of_megabytes_costs_no_more_than_the_text():
    assert scrubbed("short", sample_request(prompt="x" * 4_000_000)) == "short"


@given(prompt=st.text(min_size=6), around=st.text(), cut=st.integers(0, 200))
def test_the_start_of_a_prompt_never_stays(prompt, around, cut):
    text = f"{around}{prompt}{around}"[: len(around) + 16 + cut]
    left = scrubbed(text, sample_request(prompt=prompt))
    if prompt not in around and len(prompt) <= 16 + cut:
        assert left.count(prompt) == 0 or prompt in "<prompt 0123456789abcdef>"
