"""What is masked of text that people type, and what a tracking number and a status may be."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events import PackageShipped
from shared.masking import masked, with_masked_texts
from shared.schemas import event_schema
from shared.systems import MessageFailed, StatusReported, Word
from tests.central_scene import NOW


@pytest.mark.parametrize(
    "number",
    [
        "13800138000", "138.0013.8000", "138-0013-8000", "(138) 0013/8000", "+86 [138] 0013 8000",
        "138 - 0013 - 8000", "138_0013_8000", "1.3.8.0.0.1.3.8.0.0.0", "１３８００１３８０００",
        "１３８－００１３－８０００", "138–0013—8000", "١٣٨٠٠١٣٨",
    ],
)  # fmt: skip
def test_a_number_is_masked_however_it_is_written(number):
    shown = masked(f"CALLED {number}, no answer")
    assert sum(x.isdecimal() for x in shown) == 2
    assert shown.startswith("CALLED ")
    assert shown.endswith(", no answer")


@pytest.mark.parametrize(
    "address",
    ["wang.li@example.com", "13800138000@qq.example", "li＠example.cn", "a+b@x-y.example"],
)
def test_an_email_address_is_masked(address):
    assert masked(f"mail to {address}.") == "mail to #####@"


def test_short_numbers_and_plain_words_stay():
    for text in ("silent for 90 s", "3 of 120 units at 14:03", "bay 12, shelf 7-3", "@home"):
        assert masked(text) == text


@given(st.text(st.sampled_from("0123789 -./()@ab#,１８＠\n"), max_size=60) | st.text())
def test_masked_again_a_text_stays_as_it_is(text):
    once = masked(text)
    assert masked(once) == once


def test_only_free_texts_of_an_event_are_masked():
    failed = MessageFailed(order_id="1234567890", reason="no such number 138-0013-8000")
    safe = with_masked_texts(failed)
    assert safe == MessageFailed(order_id="1234567890", reason="no such number #####00")
    assert with_masked_texts(safe) is safe


@pytest.mark.parametrize(
    "word", ["NEW", "to be packed", "in_transit-2", "已发货", "отгружен", "B2"]
)
def test_a_status_is_a_code_in_letters_of_any_script(word):
    assert msgspec.convert(word, Word) == word
    assert masked(word) == word


@pytest.mark.parametrize(
    "word",
    [
        "", " NEW", "NEW ", "NEW\n", "to  be", "Ms. Wang", "wang@example.com",
        "CALLED 138-0013-8000", "138 0013 8000", "1_3_8_0_0_1_3", "１３８００１３", "x" * 65,
    ],
)  # fmt: skip
def test_a_status_is_no_sentence_and_no_number(word):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"order_id": "o", "state": word, "at": NOW}, StatusReported)


@given(st.from_regex(r"\A[\w -]{1,64}\Z"))
def test_a_status_that_is_taken_has_nothing_to_mask(word):
    try:
        msgspec.convert(word, Word)
    except msgspec.ValidationError:
        return
    assert masked(word) == word


@pytest.mark.parametrize("number", ["SF1234567890123", "1Z-999-AA1", ""])
def test_a_tracking_number_is_kept_as_it_is(number):
    data = msgspec.convert({"task_id": "t", "tracking": number}, PackageShipped)
    assert data.tracking == number


@pytest.mark.parametrize("number", ["ask Ms Wang", "138 0013 8000", "a@b.example", "X\n", "X" * 65])
def test_a_tracking_number_has_no_spaces(number):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"task_id": "t", "tracking": number}, PackageShipped)


def test_the_schemas_say_both():
    schemas = json.dumps([event_schema(PackageShipped), event_schema(StatusReported)])
    assert "^[A-Za-z0-9-]*$" in schemas
    assert "[ _-]{0,3}" in schemas
