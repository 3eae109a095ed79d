"""Values print no digit beyond the first uncertain one."""

import math

import pytest

from repro.report.rounding import in_errors, rounded, with_error, with_sign


@pytest.mark.parametrize(
    ("value", "se", "text"),
    [
        (293.5298, 1.1, "294 ± 1"),
        (293.5298, 0.96, "294 ± 1"),
        (0.37312, 0.0143, "0.37 ± 0.01"),
        (1284.2, 25.0, "1280 ± 20"),
        (-2.9104e-05, 1.02e-6, "−0.000029 ± 0.000001"),
        (0.004, 1.0, "0 ± 1"),
        (-0.004, 1.0, "0 ± 1"),
        (10.32332, None, "10.32"),
        (10.32332, 0.0, "10.32"),
        (10.32332, math.inf, "10.32"),
        (math.nan, 1.0, "not finite"),
        (None, None, "not finite"),
    ],
)
def test_a_value_is_rounded_to_the_first_digit_of_its_error(value, se, text):
    """`293.5298` with an error of 1.1 is `294 ± 1`."""
    assert with_error(value, se) == text


def test_an_error_may_be_left_out():
    """An extrapolated value is rounded to the error of the value it comes from."""
    assert rounded(4.1639, 0.09) == "4.16"


def test_a_difference_always_has_a_sign():
    """A reader must not wonder in which direction a difference goes."""
    assert [with_sign(0.42, 0.1), with_sign(-32.41, 0.3)] == ["+0.4 ± 0.1", "−32.4 ± 0.3"]


def test_few_standard_errors_have_a_digit_more():
    """1.3 standard errors are not 1; 114 need no more digits."""
    assert [in_errors(1.31), in_errors(113.6)] == ["1.3", "114"]
