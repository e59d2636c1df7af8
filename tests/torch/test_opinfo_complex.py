"""OpInfo's complex samples: values in complex64, values and gradients in complex128; the share that is taken."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))

import test_opinfo as opinfo  # noqa: E402

import rustorch as rt  # noqa: E402

# Core ops that refuse complex numbers here, though PyTorch takes them.
REFUSED = {"nn.functional.rms_norm": "its kernel is for real numbers"}

# Differences that are known, with the reason.
KNOWN: dict[str, str] = {}

CASES = [
    (".".join(k for k in key if k), op)
    for key, op in opinfo.CASES
    if torch.complex64 in op.supported_dtypes("cpu") and op.name not in opinfo.NOT_COMPARABLE
]
CASES = [(name, op) for name, op in CASES if opinfo.ADAPTED.get(name) or opinfo.resolve(op.name)]


def run(name: str, op: Any) -> tuple[int, list[str]]:
    f = opinfo.ADAPTED.get(name) or opinfo.resolve(op.name)
    torch.manual_seed(0)
    total, failures = opinfo.run(op, f, torch.complex64, False)
    grad = op.supports_autograd and torch.complex128 in op.supported_backward_dtypes("cpu")
    more, failed = opinfo.run(op, f, torch.complex128, grad)
    return total + more, failures + failed


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name,op", CASES, ids=[name for name, _ in CASES])
def test_complex(name: str, op: Any) -> None:
    if name in opinfo.KNOWN or name in KNOWN:
        pytest.skip(opinfo.KNOWN.get(name) or KNOWN[name])
    total, failures = run(name, op)
    if name in REFUSED:
        assert failures, "it takes complex numbers now"
        assert all("DTypeError" in f or "UnsupportedError" in f for f in failures), failures[:3]
        return
    assert total or failures or name in opinfo.NOTHING_LEFT, "no sample was compared"
    assert not failures, f"{len(failures)} of {total + len(failures)} samples differ:\n" + "\n".join(failures[:6])


def test_share() -> None:
    share = 1 - len(REFUSED) / len(CASES)
    print(f"complex64: {len(CASES) - len(REFUSED)} of {len(CASES)} core ops, {share:.1%}")
    assert share >= 0.95
    assert rt.complex64 in opinfo.TO_TORCH
