"""What the benchmarks measure by: known sizes, known counts, and which way a ratio goes. No time is asserted."""

import pytest
import torch
from torch import nn

from benchmarks.__main__ import row
from benchmarks.growth import exponent
from benchmarks.losses import pair_sum
from benchmarks.side_by_side import Goal, line, peak_memory
from unlearning.losses.contrastive_unlearning import contrastive_unlearning

NUMBERS = 1000


def test_peak_memory_is_of_what_lives_at_once() -> None:
    assert peak_memory(lambda: [torch.zeros(NUMBERS) for _ in range(5)]) == 5 * 4 * NUMBERS
    one_after_the_other = peak_memory(lambda: [float(torch.zeros(NUMBERS).sum()) for _ in range(5)])
    assert one_after_the_other == 4 * NUMBERS + 4


def test_peak_memory_counts_no_view_and_nothing_in_place() -> None:
    given = torch.zeros(NUMBERS)
    assert peak_memory(lambda: given.view(10, -1).add_(1)) == 0


def test_the_backward_pass_is_in_the_peak() -> None:
    weight = torch.ones(NUMBERS, requires_grad=True)
    assert peak_memory(lambda: weight * weight) == 4 * NUMBERS
    assert peak_memory(lambda: (weight * weight).sum().backward()) >= 2 * 4 * NUMBERS  # a gradient of each factor


def test_a_ratio_is_read_as_its_goal_is() -> None:
    measured = [(1.0, 3.0), (2.0, 4.0), (1.0, 9.0)]  # ours, theirs
    slower = line("", "", measured, Goal(2), "s")
    assert (slower.ratio, slower.low, slower.high, slower.met) == (1 / 4, 1 / 9, 1 / 2, True)
    faster = line("", "", measured, Goal(5, at_most=False), "s")
    assert (faster.ratio, faster.low, faster.high, faster.met) == (4, 2, 9, False)
    assert "| 4.00 (2.00 to 9.00) | >= 5 | **no** |" in row(faster)


def test_the_exponent_of_sixteen_times_as_much() -> None:
    assert [exponent(3, 3 * 16**power) for power in (0, 1, 2)] == pytest.approx([0, 1, 2])


def test_the_plain_form_that_is_measured_beside_is_the_same_loss() -> None:
    drawn = torch.randn(2, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    forget, retain = nn.functional.normalize(drawn, dim=2)
    assert float(pair_sum(forget, retain, 0.3)) == pytest.approx(float(contrastive_unlearning(forget, retain, 0.3)))
