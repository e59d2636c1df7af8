"""The words of PyTorch's API that are not one op of the table as it is: overloads, conversions, other names.

A function whose first parameter is `input` serves as a method of Tensor too (see `TensorWords`).
"""

from __future__ import annotations

from .. import _ops
from .._tensor import attach
from .arithmetic import (
    _polygamma_method,
    addbmm,
    addbmm_,
    addcdiv,
    addcdiv_,
    addcmul,
    addcmul_,
    addmm,
    addmm_,
    addmv,
    addmv_,
    addr,
    addr_,
    allclose,
    baddbmm,
    baddbmm_,
    clamp,
    clamp_,
    clamp_max,
    clamp_max_,
    clamp_min,
    clamp_min_,
    clip_,
    einsum,
    equal,
    float_power_,
    frexp,
    isin,
    polygamma,
    pow,
    spmm,
    svd,
    tensordot,
)
from .conversion import (
    _conversion,
    apply_,
    can_cast,
    clone,
    contiguous,
    copy_,
    cpu,
    cuda,
    get_device,
    is_complex,
    is_conj,
    is_floating_point,
    is_neg,
    is_nonzero,
    is_pinned,
    is_shared,
    is_tensor,
    numel,
    pin_memory,
    result_type,
    share_memory_,
    to,
    type_as,
)
from .conversion import type as type
from .creation import (
    _new,
    arange,
    empty_strided,
    full,
    linspace,
    logspace,
    new,
    new_full,
    new_tensor,
    range,
    scalar_tensor,
    tensor,
)
from .indexing import (
    _where_method,
    index_put,
    index_put_,
    narrow,
    narrow_copy,
    nonzero,
    scatter,
    scatter_,
    unravel_index,
    where,
)
from .layout import (
    resize_,
    resize_as_,
)
from .linear import (
    _lu_method,
    chain_matmul,
    geqrf,
    lu,
    lu_solve,
    lu_unpack,
    orgqr,
    pca_lowrank,
    pinverse,
    qr,
    slogdet,
    svd_lowrank,
    triangular_solve,
    vander,
)
from .randomness import (
    _range_method,
    bernoulli,
    bernoulli_,
    normal,
    randint,
    randint_like,
    random_,
)
from .recurrent import gru, lstm, lstm_cell, rnn_relu, rnn_tanh
from .reduction import (
    amax,
    amin,
    aminmax,
    argmax,
    argmin,
    argsort,
    cummax,
    cummin,
    cumprod_,
    cumsum_,
    cumulative_trapezoid,
    gradient,
    histogram,
    histogramdd,
    kthvalue,
    max,
    median,
    min,
    mode,
    nanmedian,
    norm,
    prod,
    sort,
    std,
    std_mean,
    topk,
    trapezoid,
    trapz,
    unique,
    unique_consecutive,
    var,
    var_mean,
)
from .shaping import (
    _H,
    _T,
    _mH,
    _mT,
    _set_imag,
    _set_real,
    adjoint,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    broadcast_shapes,
    broadcast_tensors,
    cartesian_prod,
    dsplit,
    expand_as,
    hsplit,
    meshgrid,
    repeat_interleave,
    reshape_as,
    roll,
    split,
    tensor_split,
    unflatten,
    unsafe_chunk,
    unsafe_split,
    view,
    view_as,
    vsplit,
)
from .spectral import istft, stft


@attach
class TensorWords:
    """The words that are methods of Tensor."""

    __slots__ = ()

    addcmul = addcmul
    addcmul_ = addcmul_
    addcdiv = addcdiv
    addcdiv_ = addcdiv_
    addmm = addmm
    addmm_ = addmm_
    addmv = addmv
    addmv_ = addmv_
    addr = addr
    addr_ = addr_
    addbmm = addbmm
    addbmm_ = addbmm_
    baddbmm = baddbmm
    baddbmm_ = baddbmm_
    amax = amax
    amin = amin
    roll = roll
    max = max
    svd = svd
    slogdet = slogdet
    geqrf = geqrf
    orgqr = orgqr
    qr = qr
    pinverse = pinverse
    triangular_solve = triangular_solve
    lu = _lu_method
    lu_solve = lu_solve
    frexp = frexp
    histogram = histogram
    min = min
    median = median
    nanmedian = nanmedian
    prod = prod
    topk = topk
    kthvalue = kthvalue
    mode = mode
    cummax = cummax
    cummin = cummin
    sort = sort
    argsort = argsort
    aminmax = aminmax
    argmax = argmax
    argmin = argmin
    std = std
    var = var
    norm = norm
    split = split
    tensor_split = tensor_split
    hsplit = hsplit
    vsplit = vsplit
    dsplit = dsplit
    unsafe_split = unsafe_split
    unsafe_chunk = unsafe_chunk
    narrow = narrow
    narrow_copy = narrow_copy
    where = _where_method
    nonzero = nonzero
    repeat_interleave = repeat_interleave
    clamp = clamp
    clamp_ = clamp_
    clip = clamp
    clip_ = clamp_
    clamp_min = clamp_min
    clamp_max = clamp_max
    clamp_min_ = clamp_min_
    clamp_max_ = clamp_max_
    float_power_ = float_power_
    cumsum_ = cumsum_
    cumprod_ = cumprod_
    polygamma = _polygamma_method
    scatter = scatter
    scatter_ = scatter_
    index_put = index_put
    index_put_ = index_put_
    equal = equal
    allclose = allclose
    unique = unique
    unique_consecutive = unique_consecutive
    to = to
    float = _conversion("float", "float32")
    double = _conversion("double", "float64")
    half = _conversion("half", "float16")
    bfloat16 = _conversion("bfloat16", "bfloat16")
    int = _conversion("int", "int32")
    long = _conversion("long", "int64")
    short = _conversion("short", "int16")
    char = _conversion("char", "int8")
    byte = _conversion("byte", "uint8")
    bool = _conversion("bool", "bool")
    cfloat = _conversion("cfloat", "complex64")
    cdouble = _conversion("cdouble", "complex128")
    is_conj = is_conj
    is_neg = is_neg
    adjoint = adjoint
    cpu = cpu
    cuda = cuda
    type = type
    type_as = type_as
    view = view
    view_as = view_as
    reshape_as = reshape_as
    expand_as = expand_as
    clone = clone
    contiguous = contiguous
    copy_ = copy_
    resize_ = resize_
    resize_as_ = resize_as_
    is_nonzero = is_nonzero
    apply_ = apply_
    new_empty = _new("empty")
    new_zeros = _new("zeros")
    new_ones = _new("ones")
    new = new
    new_full = new_full
    new_tensor = new_tensor
    bernoulli = bernoulli
    bernoulli_ = bernoulli_
    random_ = random_
    uniform_ = _range_method("uniform_")
    normal_ = _range_method("normal_")
    share_memory_ = share_memory_
    pin_memory = pin_memory
    is_pinned = is_pinned
    is_shared = is_shared
    get_device = get_device
    unflatten = unflatten
    stft = stft
    istft = istft
    T = property(_T)
    mT = property(_mT)
    H = property(_H)
    mH = property(_mH)
    real = property(lambda t: _ops.real(t), _set_real)
    imag = property(lambda t: _ops.imag(t), _set_imag)


__all__ = (
    "addbmm",
    "addbmm_",
    "addcdiv",
    "addcdiv_",
    "addcmul",
    "addcmul_",
    "addmm",
    "addmm_",
    "addmv",
    "addmv_",
    "addr",
    "addr_",
    "adjoint",
    "allclose",
    "amax",
    "amin",
    "aminmax",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "baddbmm",
    "baddbmm_",
    "bernoulli",
    "block_diag",
    "broadcast_shapes",
    "broadcast_tensors",
    "can_cast",
    "cartesian_prod",
    "chain_matmul",
    "clamp",
    "clamp_",
    "clamp_max",
    "clamp_max_",
    "clamp_min",
    "clamp_min_",
    "clip_",
    "clone",
    "cummax",
    "cummin",
    "cumulative_trapezoid",
    "dsplit",
    "einsum",
    "empty_strided",
    "equal",
    "frexp",
    "full",
    "geqrf",
    "get_device",
    "gradient",
    "gru",
    "histogram",
    "histogramdd",
    "hsplit",
    "index_put",
    "index_put_",
    "is_complex",
    "is_conj",
    "is_floating_point",
    "is_neg",
    "is_nonzero",
    "is_tensor",
    "isin",
    "istft",
    "kthvalue",
    "linspace",
    "logspace",
    "lstm",
    "lstm_cell",
    "lu",
    "lu_solve",
    "lu_unpack",
    "max",
    "median",
    "meshgrid",
    "min",
    "mode",
    "nanmedian",
    "narrow",
    "narrow_copy",
    "nonzero",
    "norm",
    "normal",
    "numel",
    "orgqr",
    "pca_lowrank",
    "pinverse",
    "polygamma",
    "pow",
    "prod",
    "qr",
    "randint",
    "randint_like",
    "range",
    "repeat_interleave",
    "result_type",
    "rnn_relu",
    "rnn_tanh",
    "roll",
    "scalar_tensor",
    "scatter",
    "slogdet",
    "sort",
    "split",
    "spmm",
    "std",
    "std_mean",
    "stft",
    "svd",
    "svd_lowrank",
    "tensor",
    "tensor_split",
    "tensordot",
    "topk",
    "trapezoid",
    "trapz",
    "triangular_solve",
    "unflatten",
    "unique",
    "unique_consecutive",
    "unravel_index",
    "unsafe_chunk",
    "unsafe_split",
    "vander",
    "var",
    "var_mean",
    "vsplit",
    "where",
)
