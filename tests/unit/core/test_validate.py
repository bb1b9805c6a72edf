"""The checks that all models share, and how they show a value."""

import math

import attrs
import pytest

from rbee_scheduler import ConfigError, Rejected
from rbee_scheduler._validate import LARGEST, Checks, as_tuple, shown


HUGE = pytest.param(10**400, id="huge")

check = Checks(Rejected)


def accepts(validator, value, converter=None):
    model = attrs.make_class("M", {"f": attrs.field(validator=validator, converter=converter)})
    try:
        model(value)
    except Rejected as error:
        return not error.place.startswith("$.f")
    return True


@pytest.mark.parametrize("value", [0, 1, 0.0, 0.5, 1.0])
def test_a_number_within_bounds_is_accepted(value):
    assert accepts(check.number(at_least=0, at_most=1), value)


@pytest.mark.parametrize(
    "value",
    [-0.001, 1.001, -1, 2, math.nan, math.inf, -math.inf, True, False, "1", None, [1], HUGE],
)
def test_a_number_out_of_bounds_or_none_at_all_is_refused(value):
    assert not accepts(check.number(at_least=0, at_most=1), value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, HUGE, -LARGEST - 2, 2**63])
def test_without_bounds_a_number_is_still_finite_and_of_64_bits(value):
    assert not accepts(check.number(), value)


def test_above_excludes_the_bound():
    assert not accepts(check.number(above=0), 0)
    assert accepts(check.number(above=0), 5e-324)


@pytest.mark.parametrize("value", [0, 1, LARGEST])
def test_an_integer_is_accepted(value):
    assert accepts(check.integer(at_least=0), value)


@pytest.mark.parametrize("value", [-1, 1.0, math.nan, True, "1", None, LARGEST + 1, HUGE])
def test_what_is_no_integer_in_range_is_refused(value):
    assert not accepts(check.integer(at_least=0), value)


@pytest.mark.parametrize("make", [check.number, check.integer, check.text])
def test_none_is_fine_only_where_it_is_optional(make):
    assert accepts(make(optional=True), None)
    assert not accepts(make(), None)


@pytest.mark.parametrize(("value", "fine"), [("", True), ("x", True), (b"x", False), (1, False)])
def test_text(value, fine):
    assert fine == accepts(check.text(), value)


@pytest.mark.parametrize("value", ["", " ", "\t\n", None, 5, b"x"])
def test_blank_strings_are_empty(value):
    assert not accepts(check.non_empty, value)


@pytest.mark.parametrize("value", ["c", "", None, 1])
def test_one_of_lists_what_is_allowed(value):
    with pytest.raises(Rejected, match=r"\$\.f: f is .* \(it must be one of a, b\)"):
        attrs.make_class("M", {"f": attrs.field(validator=check.one_of(("a", "b")))})(value)


@pytest.mark.parametrize("value", [[], ["a"], ("a", "b"), {"a"}, (x for x in "ab")])
def test_any_iterable_of_the_right_elements_is_a_list(value):
    assert accepts(check.listed(str, "strings"), value, as_tuple)


@pytest.mark.parametrize("value", ["abc", b"xyz", {"a": 1}, 5, None, [1], ["a", None]])
def test_one_string_is_no_list_and_neither_is_a_mapping(value):
    assert not accepts(check.listed(str, "strings"), value, as_tuple)


def test_a_wrong_element_is_named_by_its_index():
    model = attrs.make_class(
        "M", {"f": attrs.field(converter=as_tuple, validator=check.listed(str, "strings"))}
    )
    with pytest.raises(
        Rejected, match=r"^\$\.f\[1\]: f\[1\] is 5 \(it must be one of the strings\)"
    ):
        model(["a", 5])


def test_the_bounds_are_in_the_hint():
    model = attrs.make_class("M", {"f": attrs.field(validator=check.number(above=0, at_most=2))})
    with pytest.raises(Rejected) as caught:
        model(3)
    assert caught.value.hint == "it must be a finite number, above 0 and at most 2"


def test_settings_raise_config_errors():
    from rbee_scheduler import RetryConfig

    with pytest.raises(ConfigError, match=r"\$\.max_attempts: max_attempts is 0"):
        RetryConfig(max_attempts=0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ({"a": 1}, "an object"),
        ([1], "an array"),
        ("a", "'a'"),
        (1.5, "1.5"),
        pytest.param(10**5000, "an integer of more than 64 bits", id="huge"),
        ("x" * 1000, "'" + "x" * 56 + "..."),
        (b"\xff" * 1000, "b'" + r"\xff" * 13 + r"\xf" + "..."),
    ],
)
def test_values_are_shown_in_jsons_words_and_short(value, text):
    assert text == shown(value)


def test_showing_a_deeply_nested_value_does_not_recurse():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "an array"
    while deep:
        deep = deep.pop()  # freed link by link
