//! What views show, as tensors with memory of their own.

use crate::engine::copy::copy_into;
use crate::table::{Outs, Refusal, Spec, Takes, one};
use crate::error::Result;
use crate::tensor::Tensor;

fn own(view: Result<Tensor>) -> Result<Outs> {
    one(view?.contiguous_copy()?)
}

fn each(views: Result<Outs>) -> Result<Outs> {
    let mut outs = views?;
    for t in &mut outs {
        *t = t.contiguous_copy()?;
    }
    Ok(outs)
}

ops! {
    /// A copy of `alias`.
    alias_copy(input: Tensor) -> Tensor, Real {
        body: Composite(|c| own(Ok(c.x(0).clone()))),
        method: false,
    }

    /// A copy of `detach`: no gradient flows through it.
    detach_copy(input: Tensor) -> Tensor, Real {
        body: Kernel(|c| Spec::rows(c.x(0).shape(), c.x(0).dtype())?.one(), |c, outs| copy_into(&outs[0], c.x(0))),
        method: false, takes: Takes::ALL,
    }

    /// A copy of `as_strided`.
    as_strided_copy(input: Tensor, size: Ints, stride: Ints, storage_offset: OptInt = None) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).as_strided(c.ints(0), c.ints(1), c.opt_int(2)))),
        method: false,
        samples: &["r(6), (2, 2), (1, 3), 1"],
    }

    /// A copy of `diagonal`.
    diagonal_copy(input: Tensor, offset: Int = 0, dim1: Int = 0, dim2: Int = 1) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).diagonal(c.int(0), c.int(1), c.int(2)))),
        method: false,
        samples: &["r(2, 3), 1"],
    }

    /// A copy of `expand`.
    expand_copy(input: Tensor, size: Ints) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).expand(c.ints(0)))),
        method: false,
        refuses: &[Refusal { call: "rt.ones(2), (3,)", message: "broadcast" }],
        samples: &["r(2, 1), (2, 3)"],
    }

    /// A copy of `permute`.
    permute_copy(input: Tensor, dims: Ints) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).permute(c.ints(0)))),
        method: false,
        samples: &["r(2, 3), (1, 0)"],
    }

    /// A copy of `select`.
    select_copy(input: Tensor, dim: Int, index: Int) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).select(c.int(0), c.int(1)))),
        method: false,
        samples: &["r(2, 3), 1, 2"],
    }

    /// A copy of the elements from `start` to `end` along `dim`, each `step`-th one.
    slice_copy(input: Tensor, dim: Int = 0, start: OptInt = None, end: OptInt = None, step: Int = 1) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).slice(c.int(0), c.opt_int(1), c.opt_int(2), c.int(3)))),
        method: false,
        samples: &["r(2, 4), 1, 1, 4, 2"],
    }

    /// Copies of `split`.
    split_copy(input: Tensor, split_size: Int, dim: Int = 0) -> List, Special {
        body: Composite(|c| each(c.x(0).split(c.int(0), c.int(1)))),
        method: false,
        samples: &["r(3, 2), 2"],
    }

    /// Copies of `split_with_sizes`.
    split_with_sizes_copy(input: Tensor, split_sizes: Ints, dim: Int = 0) -> List, Special {
        body: Composite(|c| each(c.x(0).split_with_sizes(c.ints(0), c.int(1)))),
        method: false,
        samples: &["r(3, 2), (1, 2)"],
    }

    /// A copy of `squeeze`.
    squeeze_copy(input: Tensor, dim: OptInts = None) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).squeeze(c.opt_ints(0)))),
        method: false,
        samples: &["r(2, 1)", "r(1, 2, 1), 0"],
    }

    /// A copy of `t`.
    t_copy(input: Tensor) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).t())),
        method: false,
        samples: &["r(2, 3)"],
    }

    /// A copy of `transpose`.
    transpose_copy(input: Tensor, dim0: Int, dim1: Int) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).transpose(c.int(0), c.int(1)))),
        method: false,
        samples: &["r(2, 3), 0, 1"],
    }

    /// Copies of `unbind`.
    unbind_copy(input: Tensor, dim: Int = 0) -> List, Special {
        body: Composite(|c| each(c.x(0).unbind(c.int(0)))),
        method: false,
        samples: &["r(2, 3), 1"],
    }

    /// A copy of `unfold`.
    unfold_copy(input: Tensor, dimension: Int, size: Int, step: Int) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).unfold(c.int(0), c.int(1), c.int(2)))),
        method: false,
        samples: &["r(5), 0, 3, 1"],
    }

    /// A copy of `unsqueeze`.
    unsqueeze_copy(input: Tensor, dim: Int) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).unsqueeze(c.int(0)))),
        method: false,
        samples: &["r(2, 3), 1"],
    }

    /// A copy of `view`.
    view_copy(input: Tensor, size: Ints) -> Tensor, Special {
        body: Composite(|c| own(c.x(0).view(c.ints(0)))),
        method: false,
        samples: &["r(2, 3), (3, 2)"],
    }
}
