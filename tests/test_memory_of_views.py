"""What views, shared memory and in-place writes may and may not do with memory."""

from __future__ import annotations

import pytest

import rustorch as rt

HUGE = 2**62


@pytest.mark.parametrize(
    "make",
    [
        lambda: rt.ones(1).expand(HUGE, 8),
        lambda: rt.ones(1).expand(4, 2**63 - 2, 2**63 - 1),
        lambda: rt.ones(1, 1).expand(HUGE, 8).max(1),
        lambda: rt.ones(1).expand_as(rt.ones(1).expand(HUGE)).expand(8, HUGE),
        lambda: rt.broadcast_to(rt.ones(1), (2**32, 2**32)),
        lambda: rt.broadcast_tensors(rt.ones(1, 1).expand(2**40, 1), rt.ones(1, 1).expand(1, 2**40)),
        lambda: rt.meshgrid(rt.ones(1).expand(2**40), rt.ones(1).expand(2**40), indexing="ij"),
        lambda: rt.ones(1).expand(HUGE).unfold(0, 2**61, 1),
        lambda: rt.ones(1, 1).expand(2**40, 1) + rt.ones(1, 1).expand(1, 2**40),
        lambda: rt.ones(4).as_strided((2**32, 2**32), (0, 0)),
        lambda: rt.ones(4).as_strided((2, 2), (2**62, 2**62)),
        lambda: rt.ones(4).as_strided((2,), (1,), 2**63 - 1),
        lambda: rt.empty(0, HUGE, HUGE),
        lambda: rt.zeros(0, 2**40, 2**40),
        lambda: rt.empty(0).view(0, 2**40, 2**40),
        lambda: rt.empty(0).reshape(2**40, 0, 2**40),
        lambda: rt.ones(1).expand(HUGE).repeat(8),
        lambda: rt.empty(2**63 - 1),
        lambda: rt.cat([rt.zeros(1).expand(HUGE)] * 4),
        lambda: rt.stack([rt.zeros(1).expand(HUGE)] * 4),
        lambda: rt.zeros(1).expand(HUGE).clone(),
        lambda: rt.zeros(1).expand(2**61).to(rt.float64),
        lambda: rt.zeros(1).expand(HUGE).flatten().contiguous(),
        lambda: (
            rt.zeros(1).expand(HUGE).tolist() if False else rt.zeros(1, dtype=rt.float64).expand(HUGE).numpy().copy()
        ),
        lambda: rt.ones(1).expand(2**62).diag_embed(),
        lambda: rt.ones(1).expand(2**62).outer(rt.ones(8)),
    ],
)
def test_sizes_that_overflow_are_refused(make):
    with pytest.raises((RuntimeError, ValueError, MemoryError)):
        make()


def test_large_views_that_can_be_counted():
    x = rt.zeros(1).expand(HUGE)
    assert x.numel() == HUGE and x.stride() == (0,) and x[5:7].tolist() == [0.0, 0.0]
    assert rt.empty(0, HUGE).stride() == (HUGE, 1)
    assert x.view(2**31, 2**31)[3, 4].item() == 0.0
