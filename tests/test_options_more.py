"""Checks of arguments, kept options, defaults and the rarer ways through losses, averages, loaders and files.

The two tables say what PyTorch does: which calls it refuses, and what an object keeps of its options.
"""

import copy
import importlib
import inspect
import itertools
import math
import warnings
from fractions import Fraction

import numpy as np
import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import nn, serialization
from rustorch.nn import init
from rustorch.nn import utils as U
from rustorch.nn.utils import rnn
from rustorch.optim import lr_scheduler, swa_utils
from rustorch.utils import data

I64 = rt.int64


def tensor(values, dtype=rt.float64, **options):
    return rt.tensor(np.asarray(values).tolist(), dtype=dtype, **options)


def numbers(seed, shape):
    return np.random.default_rng(seed).standard_normal(shape)


# What a line of the tables may use.
NAMES = {
    "rt": rt, "F": F, "nn": nn, "opt": rt.optim, "sch": lr_scheduler, "swa": swa_utils, "data": data, "U": U,
    "rnn": rnn, "init": init, "la": rt.linalg, "D": importlib.import_module("rustorch.distributions"),
    "autograd": rt.autograd, "ones": rt.ones, "zeros": lambda *size: rt.zeros(*size, dtype=I64), "I64": I64,
    "inf": math.inf, "nan": math.nan, "P": lambda: [nn.Parameter(rt.ones(2))], "np": np, "copy": copy,
}  # fmt: skip


def made(source):
    return eval(source, {**NAMES, "x": rt.ones(2, 3), "mod": nn.Linear(2, 2), "sgd": lambda: sgd()})


def sgd(lr=1.0, momentum=0.9):
    return rt.optim.SGD([nn.Parameter(rt.ones(2))], lr=lr, momentum=momentum)


# ---- what is refused: an error and a part of what it says, and the calls that raise it ----

REFUSED = """
! DTypeError: argument 'kernel_size' must be an int or a
F.max_pool3d(ones(1, 4, 4, 4), True)
! InvalidArgumentError: kernel_size must be one number or 3, got [2, 2]
F.max_pool3d(ones(1, 4, 4, 4), (2, 2))
F.avg_pool3d(ones(1, 4, 4, 4), (2, 2))
! InvalidArgumentError: stride must be one number or 3, got [2, 2]
F.max_pool3d(ones(1, 4, 4, 4), 2, stride=(2, 2))
F.avg_pool3d(ones(1, 4, 4, 4), 2, (2, 2))
! InvalidArgumentError: padding must be one number or 3, got [1, 1]
F.max_pool3d(ones(1, 4, 4, 4), 2, padding=(1, 1))
F.avg_pool3d(ones(1, 4, 4, 4), 2, 2, (1, 1))
! InvalidArgumentError: dilation must be one number or 3, got [1, 1]
F.max_pool3d(ones(1, 4, 4, 4), 2, dilation=(1, 1))
! ValueError: expected a number or
F.max_unpool1d(ones(1, 2), zeros(1, 2), (2, 2))
F.max_unpool2d(ones(1, 2, 2), zeros(1, 2, 2), 2, (2, 2, 2))
F.max_unpool3d(ones(1, 2, 2, 2), zeros(1, 2, 2, 2), 2, 2, (0, 0))
! InvalidArgumentError: divisor_override must not be zero
F.avg_pool3d(ones(1, 4, 4, 4), 2, divisor_override=0)
! ShapeMismatchError: expected 2D or 3D input
F.max_unpool1d(ones(2), zeros(2), 2)
F.max_unpool1d(ones(1, 1, 1, 2), zeros(1, 1, 1, 2), 2)
! ShapeMismatchError: expected 3D or 4D input
F.max_unpool2d(ones(2, 2), zeros(2, 2), 2)
! ShapeMismatchError: indices must have the input's shape
F.max_unpool1d(ones(1, 2), zeros(1, 3), 2)
! DTypeError: elements in indices should be type int64
F.max_unpool1d(ones(1, 2), ones(1, 2), 2)
! ValueError: output_size must have
F.max_unpool1d(ones(1, 2), zeros(1, 2), 2, output_size=(1, 4))
F.adaptive_avg_pool2d(ones(1, 4, 4), (2,))
F.adaptive_max_pool1d(ones(1, 4), (2, 2))
F.adaptive_max_pool3d(ones(1, 4, 4, 4), (2, 2))
nn.ConvTranspose2d(1, 1, 2)(ones(1, 1, 2, 2), output_size=(3,))
nn.ConvTranspose2d(1, 1, 2)(ones(1, 1, 2, 2), output_size=(3, 3, 3))
! ShapeMismatchError: only the batch may be empty
F.max_unpool1d(ones(0, 2), zeros(0, 2), 2)
F.max_unpool1d(ones(1, 0), zeros(1, 0), 2)
F.max_pool3d(ones(1, 0, 4, 4, 4), 2)
! ShapeMismatchError: expected input with non-zero size in the
F.adaptive_avg_pool3d(ones(1, 1, 0, 4, 4), 2)
! ValueError: invalid output_size
F.max_unpool1d(ones(1, 2), zeros(1, 2), 2, output_size=(2,))
F.max_unpool1d(ones(1, 2), zeros(1, 2), 2, output_size=(6,))
! ShapeMismatchError: expected 4D or 5D input
F.max_pool3d(ones(4, 4, 4), 2)
F.max_pool3d(ones(1, 1, 1, 4, 4, 4), 2)
F.avg_pool3d(ones(4, 4, 4), 2)
F.adaptive_max_pool3d(ones(4, 4, 4), 2)
! TypeError: output_size must be a number or numbers, not None
F.adaptive_avg_pool1d(ones(1, 4), None)
! TypeError: output_size must be a number, not None
F.adaptive_avg_pool1d(ones(1, 4), (None,))
! DTypeError: output_size must be an int or ints, not True
F.adaptive_avg_pool2d(ones(1, 4, 4), True)
! DTypeError: indices must be int64 or int32
F.embedding(ones(2), ones(3, 2))
F.embedding(ones(2, dtype=rt.int16), ones(3, 2))
! AssertionError: padding_idx must be within num_embeddings
F.embedding(zeros(2), ones(3, 2), padding_idx=3)
F.embedding(zeros(2), ones(3, 2), padding_idx=-4)
nn.Embedding(3, 2, padding_idx=3)
nn.Embedding(3, 2, padding_idx=-4)
nn.EmbeddingBag(3, 2, padding_idx=3)
! DTypeError: argument 'padding_idx' must be an int, not float
F.embedding(zeros(2), ones(3, 2), padding_idx=1.5)
F.embedding_bag(zeros(1, 2), ones(3, 2), padding_idx=0.5)
! DTypeError: argument 'scale_grad_by_freq' must be a bool, not
F.embedding(zeros(2), ones(3, 2), scale_grad_by_freq=0)
! DTypeError: argument 'sparse' must be a bool, not int
F.embedding(zeros(2), ones(3, 2), sparse=0)
! ValueError: mode has to be one of sum, mean or max
F.embedding_bag(zeros(1, 2), ones(3, 2), mode="median")
! InvalidArgumentError: per_sample_weights must have the input's shape
F.embedding_bag(zeros(1, 2), ones(3, 2), mode="sum", per_sample_weights=ones(1, 3))
! DTypeError: per_sample_weights must have the weight's dtype
F.embedding_bag(zeros(1, 2), ones(3, 2), mode="sum", per_sample_weights=ones(1, 2, dtype=rt.float64))
! UnsupportedError: per_sample_weights needs mode='sum'
F.embedding_bag(zeros(1, 2), ones(3, 2), mode="mean", per_sample_weights=ones(1, 2))
F.embedding_bag(zeros(1, 2), ones(3, 2), mode="max", per_sample_weights=ones(1, 2))
! InvalidArgumentError: padding_idx must be within the number of
F.embedding_bag(zeros(1, 2), ones(3, 2), padding_idx=3)
F.embedding_bag(zeros(1, 2), ones(3, 2), padding_idx=-4)
! InvalidArgumentError: offsets must ascend up to the number of indices,
F.embedding_bag(zeros(2), ones(3, 2), rt.tensor([0, 2, 1]))
F.embedding_bag(zeros(2), ones(3, 2), rt.tensor([0, 3]))
! InvalidArgumentError: offsets[0] has to be
F.embedding_bag(zeros(2), ones(3, 2), rt.tensor([1]))
! InvalidArgumentError: input has to be
F.embedding_bag(zeros(2, 1, 1), ones(3, 2), rt.tensor([0]))
F.embedding_bag(zeros(()), ones(3, 2), rt.tensor([0]))
! InvalidArgumentError: padding must be 'same', 'valid' or ints
F.conv1d(ones(1, 1, 4), ones(1, 1, 2), padding="full")
F.conv2d(ones(1, 1, 4, 4), ones(1, 1, 2, 2), padding="full")
F.conv3d(ones(1, 1, 4, 4, 4), ones(1, 1, 2, 2, 2), padding="full")
! InvalidArgumentError: padding='same' is not supported for strided
F.conv1d(ones(1, 1, 4), ones(1, 1, 2), stride=2, padding="same")
F.conv2d(ones(1, 1, 4, 4), ones(1, 1, 2, 2), stride=(1, 2), padding="same")
F.conv3d(ones(1, 1, 4, 4, 4), ones(1, 1, 2, 2, 2), stride=(1, 1, 3), padding="same")
! RuntimeError: only the batch may be empty
F.unfold(ones(1, 0, 4, 4), 2)
F.unfold(ones(1, 1, 4, 0), 2)
F.unfold(ones(1, 0, 4), 2)
F.pad(ones(0, 3), (1, 1), "reflect")
F.pad(ones(1, 0, 3), (1, 1), "reflect")
F.pad(ones(1, 0, 3), (1, 1), "replicate")
! ValueError: Expected more than
F.batch_norm(ones(1, 3), None, None, training=True)
F.batch_norm(ones(1, 3, 1, 1), None, None, training=True)
F.group_norm(ones(1, 4), 4)
F.group_norm(ones(1, 1, 1), 1)
F.instance_norm(ones(2, 3, 1))
F.instance_norm(ones(2, 3))
! ValueError: batch_norm eps must be positive during training
F.batch_norm(ones(2, 3), None, None, training=True, eps=0.0)
F.batch_norm(ones(2, 3), None, None, training=True, eps=-1.0)
! ValueError: batch_norm eps must be non-negative
F.batch_norm(ones(2, 3), ones(3), ones(3), eps=-1e-3)
! RuntimeError: Expected at least
F.group_norm(ones(3), 1)
! ShapeMismatchError: Expected 3D or higher dimensionality input (got
F.local_response_norm(ones(2, 3), 2)
! ValueError: dropout probability has to be between
F.dropout(ones(2), -0.1)
F.dropout(ones(2), 1.1)
F.dropout1d(ones(2, 2), -0.1)
F.alpha_dropout(ones(2), 1.1)
nn.Dropout(-0.1)
nn.Dropout(1.1)
nn.AlphaDropout(1.5)
! ShapeMismatchError: Feature dropout requires at least
F.feature_alpha_dropout(ones(2), 0.5, training=True)
! TypeError: input must be a Tensor, not list
F.alpha_dropout([1.0], 0.5, training=True)
! RuntimeError: Expected 2D or 3D input, but received a 1D input.
F.dropout1d(ones(2), 0.5)
! RuntimeError: Expected 2D or 3D input, but received a 4D input.
F.dropout1d(ones(2, 2, 2, 2), 0.5)
! InvalidArgumentError: the lower bound must be less than or equal to
F.rrelu(ones(2), 0.5, 0.25)
F.rrelu(ones(2), float("nan"), 0.25)
! ValueError: min_val cannot be greater than max_val
F.hardtanh(ones(2), 1.0, 0.5)
! DTypeError: argument 'dim' must be an int, not float
F.gumbel_softmax(ones(2), dim=0.5)
! DTypeError: must be a Tensor, not list
F.pairwise_distance([1.0], ones(1))
F.pairwise_distance(ones(1), [1.0])
! InvalidArgumentError: only supports non-negative p values
F.pdist(ones(2, 2), -1.0)
F.pdist(ones(2, 2), float("nan"))
! DTypeError: not implemented for dtype bool
rt.isin(ones(2), True)
rt.isin(True, ones(2))
rt.isin(rt.tensor([True]), ones(2))
rt.trapezoid(rt.tensor([True, False]))
rt.trapezoid(ones(2), rt.tensor([True, False]))
! InvalidArgumentError: does not support negative values for beta
F.smooth_l1_loss(ones(2), ones(2), beta=-0.5)
! DTypeError: argument 'target' must be a Tensor, not
F.poisson_nll_loss(ones(2), 1.0)
F.poisson_nll_loss(ones(2), [1.0, 1.0])
! DTypeError: argument 'eps' must be a float, not
F.poisson_nll_loss(ones(2), ones(2), eps=rt.tensor(1.0))
F.poisson_nll_loss(ones(2), ones(2), eps=None)
! InvalidArgumentError: var has negative entry/entries
F.gaussian_nll_loss(ones(2), ones(2), rt.tensor([1.0, -1.0]))
! ShapeMismatchError: input is [2, 3], var is [3]
F.gaussian_nll_loss(ones(2, 3), ones(2, 3), ones(3))
! ShapeMismatchError: input is [2, 3], var is [1, 1]
F.gaussian_nll_loss(ones(2, 3), ones(2, 3), ones(1, 1))
! ShapeMismatchError: input is [2, 3], var is [2, 4]
F.gaussian_nll_loss(ones(2, 3), ones(2, 3), ones(2, 4))
! DTypeError: the mean needs an input of a floating point dtype
F.hinge_embedding_loss(rt.tensor([1]), rt.tensor([1]))
! ShapeMismatchError: expected inputs [N, d] with target [N], or [d] with
F.cosine_embedding_loss(ones(2, 3), ones(2, 3), ones(2, 1))
F.cosine_embedding_loss(ones(2, 3), ones(3), ones(2))
F.cosine_embedding_loss(ones(2, 3), ones(2, 3), rt.tensor(1))
F.cosine_embedding_loss(ones(2, 3, 1), ones(2, 3, 1), ones(2, 3))
! ShapeMismatchError: All input tensors should have same dimension but
F.margin_ranking_loss(ones(2), ones(2, 1), ones(2))
F.margin_ranking_loss(ones(2), ones(2), ones(2, 1))
! DTypeError: argument 'target' must be a Tensor, not float
F.soft_margin_loss(ones(2), 1.0)
! DTypeError: expected input of a floating point dtype
F.soft_margin_loss(rt.tensor([1]), ones(1))
! InvalidArgumentError: only p == 1 and p == 2 supported
F.multi_margin_loss(ones(2, 3), zeros(2), p=0)
F.multi_margin_loss(ones(2, 3), zeros(2), p=3)
! ValueError: only p == 1 and p == 2 supported
nn.MultiMarginLoss(p=3)
! ShapeMismatchError: weight must be one-dimensional
F.multi_margin_loss(ones(2, 3), zeros(2), weight=ones(3, 1))
! ShapeMismatchError: expected weight of shape
F.multi_margin_loss(ones(2, 3), zeros(2), weight=ones(2))
F.multi_margin_loss(ones(2, 3), zeros(2), weight=ones(3, dtype=rt.float64))
! ShapeMismatchError: expected input [N, C] or [C]
F.multi_margin_loss(ones(2, 3, 1), zeros(2))
F.multi_margin_loss(ones(2, 0), zeros(2))
F.multilabel_margin_loss(ones(1, 1, 3), zeros(1, 1, 3))
! DTypeError: target must be int64
F.multi_margin_loss(ones(2, 3), ones(2))
F.multilabel_margin_loss(ones(3), ones(3))
! ShapeMismatchError: inconsistent target size
F.multi_margin_loss(ones(2, 3), zeros(3))
F.multi_margin_loss(ones(3), zeros(3))
F.multi_margin_loss(ones(2, 3), zeros(2, 1))
F.multilabel_margin_loss(ones(2, 3), zeros(2))
F.multilabel_margin_loss(ones(2, 3), zeros(2, 2))
! InvalidArgumentError: target must hold classes below
F.multilabel_margin_loss(ones(3), rt.tensor([0, 3, -1]))
F.multilabel_margin_loss(ones(3), rt.tensor([0, -2, -1]))
! InvalidArgumentError: margin must be greater than
F.triplet_margin_loss(ones(2, 3), ones(2, 3), ones(2, 3), margin=0.0)
F.triplet_margin_loss(ones(2, 3), ones(2, 3), ones(2, 3), margin=-1.0)
! ShapeMismatchError: The anchor, positive, and negative tensors are
F.triplet_margin_loss(ones(2, 3), ones(3), ones(2, 3))
F.triplet_margin_loss(ones(2, 3), ones(2, 3), ones(3))
F.triplet_margin_loss(ones(3), ones(2, 3), ones(2, 3))
! ShapeMismatchError: log_probs must not be empty
F.ctc_loss(ones(0, 1, 3), zeros(1, 1), [0], [1])
! InvalidArgumentError: input_lengths must be at most
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, [3], [1])
! InvalidArgumentError: blank must be a class, from
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, [2], [1], blank=3)
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, [2], [1], blank=-1)
! DTypeError: targets must be whole numbers
F.ctc_loss(ones(2, 1, 3), ones(1, 1), [2], [1])
F.ctc_loss(ones(2, 1, 3), rt.tensor([[True]]), [2], [1])
! ShapeMismatchError: targets must have shape
F.ctc_loss(ones(2, 1, 3), zeros(2, 1) + 1, [2], [1])
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, [2], [2])
! ShapeMismatchError: targets must have shape [1, S]
F.ctc_loss(ones(2, 1, 3), zeros(1, 1, 1) + 1, [2], [1])
! ShapeMismatchError: targets must be
F.ctc_loss(ones(2, 1, 3), zeros(2) + 1, [2], [1])
! InvalidArgumentError: targets must be classes, from
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 3, [2], [1])
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) - 1, [2], [1])
! DTypeError: input_lengths must be integral
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, rt.tensor([2.0]), [1])
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, rt.tensor([True]), [1])
! TypeError: input_lengths must be integral
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, [2.0], [1])
! TypeError: target_lengths must be integral
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, [2], [rt.tensor(1.0)])
! ShapeMismatchError: expected 1 input_lengths
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, [2, 2], [1])
! ShapeMismatchError: expected 1 target_lengths
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, [2], [1, 1])
! InvalidArgumentError: input_lengths must be at least
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, [-1], [1])
! InvalidArgumentError: target_lengths must be at least
F.ctc_loss(ones(2, 1, 3), zeros(1, 1) + 1, [2], [-1])
! ShapeMismatchError: channel_shuffle expects input with > 2 dims, but
F.channel_shuffle(ones(2, 4), 2)
! InvalidArgumentError: channels must be divisible by groups
F.channel_shuffle(ones(1, 4, 2), 0)
F.channel_shuffle(ones(1, 4, 2), -2)
F.channel_shuffle(ones(1, 4, 2), 3)
! DTypeError: argument 'groups' must be an int, not float
F.channel_shuffle(ones(1, 4, 2), 2.0)
! NotImplementedError: only 3D, 4D and 5D inputs are supported
F.interpolate(ones(1, 4), 2)
F.interpolate(ones(1, 1, 2, 2, 2, 2), 2)
! ValueError: linear | bilinear | bicubic | trilinear
F.interpolate(ones(1, 1, 4), 2, align_corners=True)
F.interpolate(ones(1, 1, 4), 2, mode="area", align_corners=False)
F.interpolate(ones(1, 1, 4), 2, mode="nearest-exact", align_corners=False)
! NotImplementedError: mode 'bilinear' does not go with a
F.interpolate(ones(1, 1, 4), 2, mode="bilinear")
! NotImplementedError: mode 'linear' does not go with a
F.interpolate(ones(1, 1, 4, 4), 2, mode="linear")
! NotImplementedError: mode 'bicubic' does not go with a
F.interpolate(ones(1, 1, 4, 4, 4), 2, mode="bicubic")
! NotImplementedError: mode 'cubic' does not go with a
F.interpolate(ones(1, 1, 4, 4), 2, mode="cubic")
! TypeError: expected size to be an int or
F.interpolate(ones(1, 1, 4), True)
F.interpolate(ones(1, 1, 4), 2.0)
F.interpolate(ones(1, 1, 4, 4), (2, 2.0))
! TypeError: align_corners must be a bool or None
F.interpolate(ones(1, 1, 4), 2, mode="linear", align_corners=1)
! ShapeMismatchError: input and output sizes should be greater than
F.interpolate(ones(1, 1, 4), 0)
F.interpolate(ones(1, 1, 4), scale_factor=0.1)
F.interpolate(ones(1, 1, 0), 2)
! UnsupportedError: interpolation between elements is not
F.interpolate(ones(1, 1, 4, dtype=rt.uint8), 2, mode="linear")
! UnsupportedError: interpolation between elements is not
F.interpolate(ones(1, 1, 4, 4, dtype=rt.int32), 2, mode="bilinear")
! UnsupportedError: interpolation between elements is not
F.interpolate(ones(1, 1, 4, 4, 4, dtype=rt.uint8), 2, mode="trilinear")
! UnsupportedError: expected theta of shape [1, 2, 3] for the size
F.affine_grid(ones(2, 3), (1, 1, 2, 2))
! UnsupportedError: expected theta of shape [2, 2, 3] for the size
F.affine_grid(ones(1, 2, 3), (2, 1, 2, 2))
! UnsupportedError: expected a size of 4 or 5 numbers, (N, C, *)
F.affine_grid(ones(1, 2, 3), (1, 1, 2))
! InvalidArgumentError: expected non-zero, positive output size
F.affine_grid(ones(1, 2, 3), (1, 1, 2, 0))
F.affine_grid(ones(1, 2, 3), (1, 0, 2, 2))
F.affine_grid(ones(1, 2, 3), (1, 1, -1, 2))
! NotImplementedError: expected input and grid of four or five
F.grid_sample(ones(1, 2, 2), ones(1, 1, 1, 2))
F.grid_sample(ones(1, 1, 2, 2), ones(1, 1, 2))
! ShapeMismatchError: expected a grid of shape [1, .., 2] for input
F.grid_sample(ones(1, 1, 2, 2), ones(1, 1, 1, 3))
F.grid_sample(ones(1, 1, 2, 2), ones(2, 1, 1, 2))
! DTypeError: not implemented for dtype int64
F.grid_sample(ones(1, 1, 2, 2, dtype=rt.int64), ones(1, 1, 1, 2, dtype=rt.int64))
! DTypeError: input and grid must have one float dtype
F.grid_sample(ones(1, 1, 2, 2), ones(1, 1, 1, 2, dtype=rt.float64))
! ValueError: mode must be 'bilinear', 'nearest' or 'bicubic',
F.grid_sample(ones(1, 1, 2, 2), ones(1, 1, 1, 2), mode="bicubic2")
! ValueError: padding_mode must be zeros, border or reflection
F.grid_sample(ones(1, 1, 2, 2), ones(1, 1, 1, 2), padding_mode="circular")
! ShapeMismatchError: expected input with non-empty spatial
F.grid_sample(ones(1, 1, 0, 2), ones(1, 1, 1, 2))
F.grid_sample(ones(1, 1, 2, 0), ones(1, 1, 1, 2))
! ShapeMismatchError: the number of heads in key and value must divide
F.scaled_dot_product_attention(ones(1, 3, 2, 2), ones(1, 2, 2, 2), ones(1, 3, 2, 2), enable_gqa=True)
F.scaled_dot_product_attention(ones(1, 3, 2, 2), ones(1, 3, 2, 2), ones(1, 2, 2, 2), enable_gqa=True)
F.scaled_dot_product_attention(ones(1, 3, 2, 2), ones(1, 0, 2, 2), ones(1, 0, 2, 2), enable_gqa=True)
! DTypeError: argument 'enable_gqa' must be a bool, not int
F.scaled_dot_product_attention(ones(1, 2, 2), ones(1, 2, 2), ones(1, 2, 2), enable_gqa=0)
! InvalidArgumentError: Invalid learning rate
opt.Rprop(P(), lr=-1.0)
opt.Adadelta(P(), lr=-1.0)
opt.Adagrad(P(), lr=-1.0)
opt.Adam(P(), lr=-1.0)
opt.AdamW(P(), lr=-1.0)
opt.Adamax(P(), lr=-1.0)
opt.ASGD(P(), lr=-1.0)
opt.NAdam(P(), lr=-1.0)
opt.RAdam(P(), lr=-1.0)
opt.RMSprop(P(), lr=-1.0)
opt.SGD(P(), lr=-1.0)
opt.LBFGS(P(), lr=-1.0)
! InvalidArgumentError: Invalid learning rate: nan
opt.Rprop(P(), lr=nan)
! InvalidArgumentError: Invalid eta values
opt.Rprop(P(), etas=(0.0, 1.2))
opt.Rprop(P(), etas=(0.5, 1.0))
opt.Rprop(P(), etas=(1.0, 1.2))
! InvalidArgumentError: Invalid rho value
opt.Adadelta(P(), rho=-0.1)
opt.Adadelta(P(), rho=1.1)
! InvalidArgumentError: Invalid rho value: nan
opt.Adadelta(P(), rho=nan)
! InvalidArgumentError: Invalid epsilon value
opt.Adadelta(P(), eps=-1.0)
opt.Adagrad(P(), eps=-1.0)
opt.Adam(P(), eps=-1.0)
opt.AdamW(P(), eps=-1.0)
opt.Adamax(P(), eps=-1.0)
opt.NAdam(P(), eps=-1.0)
opt.RAdam(P(), eps=-1.0)
opt.RMSprop(P(), eps=-1.0)
! InvalidArgumentError: Invalid weight_decay value
opt.Adadelta(P(), weight_decay=-1.0)
opt.Adagrad(P(), weight_decay=-1.0)
opt.Adam(P(), weight_decay=-1.0)
opt.AdamW(P(), weight_decay=-1.0)
opt.Adamax(P(), weight_decay=-1.0)
opt.ASGD(P(), weight_decay=-1.0)
opt.NAdam(P(), weight_decay=-1.0)
opt.RAdam(P(), weight_decay=-1.0)
opt.RMSprop(P(), weight_decay=-1.0)
opt.SGD(P(), weight_decay=-1.0)
! InvalidArgumentError: Invalid lr_decay value
opt.Adagrad(P(), lr_decay=-1.0)
! InvalidArgumentError: Invalid initial_accumulator_value value
opt.Adagrad(P(), initial_accumulator_value=-1.0)
! InvalidArgumentError: Invalid beta parameter at index
opt.Adam(P(), betas=(1.0, 0.9))
opt.Adam(P(), betas=(-0.1, 0.9))
opt.Adam(P(), betas=(0.9, 1.0))
opt.AdamW(P(), betas=(0.9, 1.0))
opt.Adamax(P(), betas=(1.0, 0.9))
opt.NAdam(P(), betas=(0.9, 1.0))
opt.RAdam(P(), betas=(0.9, 1.0))
! InvalidArgumentError: betas must be either both floats or both Tensors
opt.Adam(P(), betas=(rt.tensor(0.9), 0.9))
opt.Adam(P(), betas=(0.9, rt.tensor(0.9)))
! InvalidArgumentError: lr and betas as Tensors are not supported for
opt.Adam(P(), lr=rt.tensor(0.1), foreach=True)
opt.Adam(P(), betas=(rt.tensor(0.9), rt.tensor(0.9)), foreach=True)
! InvalidArgumentError: a tensor must have
opt.Adam(P(), lr=rt.ones(2))
! RuntimeError: `fused` and `foreach` cannot be `True` together.
opt.Adam(P(), foreach=True, fused=True)
! InvalidArgumentError: Invalid momentum_decay value
opt.NAdam(P(), momentum_decay=-1.0)
! InvalidArgumentError: Invalid momentum value
opt.RMSprop(P(), momentum=-1.0)
opt.SGD(P(), momentum=-1.0)
! InvalidArgumentError: Invalid alpha value
opt.RMSprop(P(), alpha=-1.0)
! InvalidArgumentError: Nesterov momentum requires a momentum and zero
opt.SGD(P(), nesterov=True)
opt.SGD(P(), nesterov=True, momentum=0.9, dampening=0.1)
! TypeError: expected a number
opt.SGD(P(), lr="a")
! InvalidArgumentError: line_search_fn must be 'strong_wolfe' or None
opt.LBFGS(P(), line_search_fn="wolfe")
! InvalidArgumentError: all optimizer params should be with/without names.
opt.SGD([("a", P()[0]), P()[0]])
opt.SGD([P()[0], ("a", P()[0])])
! InvalidArgumentError: can't optimize a non-leaf Tensor
opt.SGD([P()[0] * 2])
! InvalidArgumentError: all optimizer param groups should be with/without
opt.SGD(P()).add_param_group({"params": [("a", P()[0])]})
opt.SGD([("a", P()[0])]).add_param_group({"params": P()})
! TypeError: int is not an Optimizer
sch.StepLR(1, 2)
sch.LambdaLR(1, len)
sch.ReduceLROnPlateau(1)
! KeyError: param 'initial_lr' is not specified in
sch.StepLR(opt.SGD(P()), 2, last_epoch=1)
! InvalidArgumentError: Constant multiplicative factor expected to be
sch.ConstantLR(opt.SGD(P()), -0.1)
sch.ConstantLR(opt.SGD(P()), 1.1)
! InvalidArgumentError: Starting multiplicative factor expected to be
sch.LinearLR(opt.SGD(P()), 0.0)
sch.LinearLR(opt.SGD(P()), 1.1)
! InvalidArgumentError: Ending multiplicative factor expected to be between
sch.LinearLR(opt.SGD(P()), 0.5, -0.1)
sch.LinearLR(opt.SGD(P()), 0.5, 1.1)
! InvalidArgumentError: Expected positive integer T_0
sch.CosineAnnealingWarmRestarts(opt.SGD(P()), 0)
sch.CosineAnnealingWarmRestarts(opt.SGD(P()), 1.5)
! InvalidArgumentError: Expected integer T_mult >= 1
sch.CosineAnnealingWarmRestarts(opt.SGD(P()), 2, 0)
sch.CosineAnnealingWarmRestarts(opt.SGD(P()), 2, 1.5)
! InvalidArgumentError: Expected non-negative epoch
sch.CosineAnnealingWarmRestarts(opt.SGD(P()), 2).step(-1)
! InvalidArgumentError: mode is invalid and scale_fn is None
sch.CyclicLR(opt.SGD(P()), 0.1, 1.0, mode="square")
! InvalidArgumentError: base_lr must have the same length as
sch.CyclicLR(opt.SGD(P()), [0.1, 0.1], 1.0)
! InvalidArgumentError: max_lr must have the same length as
sch.CyclicLR(opt.SGD(P(), momentum=0.9), 0.1, [1.0, 1.0])
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), [0.1, 0.1], 4)
! InvalidArgumentError: optimizer must support momentum or beta1 with
sch.CyclicLR(opt.Adadelta(P()), 0.1, 1.0)
sch.OneCycleLR(opt.Adadelta(P()), 0.1, 4)
! InvalidArgumentError: base_momentum must have the same length as
sch.CyclicLR(opt.SGD(P(), momentum=0.9), 0.1, 1.0, base_momentum=[0.8, 0.8])
! InvalidArgumentError: max_momentum must have the same length as
sch.CyclicLR(opt.SGD(P(), momentum=0.9), 0.1, 1.0, max_momentum=[0.8, 0.8])
! InvalidArgumentError: You must define either total_steps OR (epochs AND
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1)
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1, epochs=2)
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1, steps_per_epoch=2)
! InvalidArgumentError: Expected positive integer total_steps
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1, 0)
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1, 2.5)
! InvalidArgumentError: Expected positive integer epochs
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1, epochs=0, steps_per_epoch=2)
! InvalidArgumentError: Expected positive integer steps_per_epoch
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1, epochs=2, steps_per_epoch=-1)
! InvalidArgumentError: Expected float between
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1, 4, pct_start=1)
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1, 4, pct_start=1.1)
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1, 4, pct_start=-0.1)
! InvalidArgumentError: anneal_strategy must be one of 'cos' or 'linear'
sch.OneCycleLR(opt.SGD(P(), momentum=0.9), 0.1, 4, anneal_strategy="sin")
! InvalidArgumentError: Factor should be < 1.0
sch.ReduceLROnPlateau(opt.SGD(P()), factor=1.0)
! InvalidArgumentError: mode least is unknown!
sch.ReduceLROnPlateau(opt.SGD(P()), mode="least")
! InvalidArgumentError: threshold mode both is unknown!
sch.ReduceLROnPlateau(opt.SGD(P()), threshold_mode="both")
! InvalidArgumentError: min_lr must have the same length as
sch.ReduceLROnPlateau(opt.SGD(P()), min_lr=[0.1, 0.1])
! InvalidArgumentError: anneal_strategy must by one of "cos" or "linear"
swa.SWALR(opt.SGD(P()), 0.1, anneal_strategy="sin")
! InvalidArgumentError: anneal_epochs must be equal or greater than
swa.SWALR(opt.SGD(P()), 0.1, anneal_epochs=-1)
swa.SWALR(opt.SGD(P()), 0.1, anneal_epochs=1.5)
! InvalidArgumentError: swa_lr must have the same length as
swa.SWALR(opt.SGD(P()), [0.1, 0.2])
! InvalidArgumentError: Invalid decay value
swa.get_ema_avg_fn(-0.1)
swa.get_ema_avg_fn(1.1)
swa.get_ema_multi_avg_fn(1.1)
swa.get_ema_multi_avg_fn(-0.1)
! AssertionError: Only one of avg_fn and multi_avg_fn should be
swa.AveragedModel(mod, avg_fn=len, multi_avg_fn=len)
! InvalidArgumentError: num_samples should be a positive integer value, but
data.RandomSampler([1], num_samples=0)
data.RandomSampler([1], num_samples=1.5)
data.RandomSampler([])
data.WeightedRandomSampler([1.0], 0)
data.WeightedRandomSampler([1.0], True)
! InvalidArgumentError: replacement should be a boolean value
data.WeightedRandomSampler([1.0], 1, 1)
! InvalidArgumentError: batch_size should be a positive integer value, but
data.BatchSampler([1], 0, False)
data.BatchSampler([1], 1.5, False)
data.BatchSampler([1], True, False)
! InvalidArgumentError: drop_last should be a boolean value
data.BatchSampler([1], 1, 0)
! InvalidArgumentError: Size mismatch between tensors, first sizes are []
data.TensorDataset()
! InvalidArgumentError: Size mismatch between tensors, first sizes are
data.TensorDataset(ones(2), ones(3))
! InvalidArgumentError: datasets are given either by position or by
data.StackDataset([1], a=[1])
! InvalidArgumentError: At least one dataset should be passed
data.StackDataset()
! InvalidArgumentError: Size mismatch between datasets, lengths are
data.StackDataset([1], [1, 2])
data.StackDataset(a=[1], b=[1, 2])
! InvalidArgumentError: absolute value of index should not exceed dataset
data.ConcatDataset([[1], [2]])[-3]
! InvalidArgumentError: Fraction at index
data.random_split([1, 2], [1.5, -0.5])
! InvalidArgumentError: Invalid rank 2, rank should be in the interval [0
data.DistributedSampler([1], 2, 2)
! InvalidArgumentError: Invalid rank -1, rank should be in the interval [0
data.DistributedSampler([1], 2, -1)
! InvalidArgumentError: num_replicas and rank must be given
data.DistributedSampler([1], num_replicas=2)
data.DistributedSampler([1], rank=0)
! InvalidArgumentError: num_workers option should be non-negative
data.DataLoader([1], num_workers=-1)
! InvalidArgumentError: timeout option should be non-negative
data.DataLoader([1], timeout=-1, num_workers=1)
! InvalidArgumentError: timeout option needs num_workers > 0
data.DataLoader([1], timeout=1)
! InvalidArgumentError: prefetch_factor option needs num_workers > 0
data.DataLoader([1], prefetch_factor=1)
! InvalidArgumentError: prefetch_factor should be positive
data.DataLoader([1], prefetch_factor=0, num_workers=1)
! InvalidArgumentError: persistent_workers option needs num_workers > 0
data.DataLoader([1], persistent_workers=True)
! InvalidArgumentError: multiprocessing_context option needs num_workers > 0
data.DataLoader([1], multiprocessing_context="fork")
! InvalidArgumentError: sampler option is mutually exclusive with shuffle
data.DataLoader([1], sampler=[0], shuffle=True)
! InvalidArgumentError: batch_sampler option is mutually exclusive with
data.DataLoader([1], batch_sampler=[[0]], batch_size=2)
data.DataLoader([1], batch_sampler=[[0]], shuffle=True)
data.DataLoader([1], batch_sampler=[[0]], sampler=[0])
data.DataLoader([1], batch_sampler=[[0]], drop_last=True)
! InvalidArgumentError: batch_size=None option disables auto-batching and
data.DataLoader([1], batch_size=None, drop_last=True)
! InvalidArgumentError: with IterableDataset: expected unspecified shuffle
data.DataLoader(data.IterableDataset(), shuffle=True)
! InvalidArgumentError: with IterableDataset: expected unspecified sampler
data.DataLoader(data.IterableDataset(), sampler=[0])
! InvalidArgumentError: with IterableDataset: expected unspecified
data.DataLoader(data.IterableDataset(), batch_sampler=[[0]])
! RuntimeError: each element in list of batch should be of equal
data.default_collate([[1, 2], [1]])
! TypeError: batch must contain tensors, numpy arrays, numbers
data.default_collate([object()])
! RuntimeError: The total norm of order
U.get_total_norm([rt.tensor([inf])], error_if_nonfinite=True)
U.get_total_norm([rt.tensor([nan])], error_if_nonfinite=True)
! InvalidArgumentError: Expected n_power_iterations to be positive
U.parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
! AttributeError: 'Linear' object has no attribute 'weigh'
U.parametrizations.spectral_norm(nn.Linear(2, 2), "weigh")
! ValueError: Expected n_power_iterations to be positive
U.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
! RuntimeError: Cannot register two spectral_norm hooks on the same
U.spectral_norm(U.spectral_norm(nn.Linear(2, 2)))
! RuntimeError: Cannot register two weight_norm hooks on the same
U.weight_norm(U.weight_norm(nn.Linear(2, 2)))
! ValueError: weight_norm of 'weight' not found in
U.remove_weight_norm(nn.Linear(2, 2))
! ValueError: spectral_norm of 'weight' not found in
U.remove_spectral_norm(nn.Linear(2, 2))
! InvalidArgumentError: padding_side should be 'right' or 'left'
rnn.pad_sequence([ones(2)], padding_side="both")
! InvalidArgumentError: `lengths` array must be sorted in decreasing order
rnn.pack_padded_sequence(ones(3, 2), [2, 3])
rnn.pack_sequence([ones(2), ones(3)])
! InvalidArgumentError: Length of all samples has to be greater than
rnn.pack_padded_sequence(ones(3, 2), [3, 0])
rnn.pack_padded_sequence(ones(3, 2), [3, -1])
rnn.pack_padded_sequence(ones(3, 0), [])
! InvalidArgumentError: the longest length is
rnn.pack_padded_sequence(ones(3, 2), [4, 3])
! ValueError: Expected total_length to be at least the length of
rnn.pad_packed_sequence(rnn.pack_sequence([ones(3), ones(2)]), total_length=2)
! ValueError: negative_slope True not a valid number
init.calculate_gain("leaky_relu", True)
! ValueError: negative_slope a not a valid number
init.calculate_gain("leaky_relu", "a")
! ValueError: Unsupported nonlinearity square
init.calculate_gain("square")
! ValueError: Only tensors with
init.dirac_(ones(2, 2))
init.dirac_(ones(2, 2, 2, 2, 2, 2))
init.orthogonal_(ones(2))
! ValueError: Fan in and fan out can not be computed for tensor
init.xavier_uniform_(ones(2))
init.xavier_normal_(ones(2))
init.kaiming_uniform_(ones(2))
! ValueError: Mode fan not supported, please use one of
init.kaiming_normal_(ones(2, 2), mode="fan")
! ValueError: Mode fan_both not supported, please use one of
init.kaiming_uniform_(ones(2, 2), mode="fan_both")
! InvalidArgumentError: driver must be one of gels, gelsy, gelsd and gelss
la.lstsq(ones(2, 2), ones(2, 1), driver="gel")
! DTypeError: expected two floating point tensors of one dtype
la.vecdot(ones(2), ones(2, dtype=rt.float64))
la.vecdot(ones(2, dtype=I64), ones(2, dtype=I64))
! DTypeError: expected a floating point or complex tensor
la.matrix_norm(ones(2, 2, dtype=I64))
la.matrix_norm(ones(2, 2, dtype=I64), 1)
la.matrix_norm(ones(2, 2, dtype=rt.bool), "nuc")
! ShapeMismatchError: expected a tensor with at least two dimensions
la.matrix_norm(ones(2))
! IndexOutOfRangeError: dimension out of range
la.matrix_norm(ones(2, 2), dim=(0, 2))
la.matrix_norm(ones(2, 2), dim=(-3, 1))
! ShapeMismatchError: dim must hold two different dimensions of
la.matrix_norm(ones(2, 2), dim=(0, 0))
la.matrix_norm(ones(2, 2), dim=(1, -1))
! InvalidArgumentError: matrix_norm: ord
la.matrix_norm(ones(2, 2), 3)
la.matrix_norm(ones(2, 2), 0)
! ShapeMismatchError: dim must hold one or two dimensions
la.norm(ones(2, 2), 2, dim=(0, 1, 1))
la.norm(ones(2, 2), 2, dim=())
! ShapeMismatchError: with ord but without dim, A must have one or two
la.norm(ones(2, 2, 2), 2)
la.norm(rt.tensor(1.0), 2)
! ValueError: groups must be a positive integer
nn.Conv1d(2, 2, 2, groups=0)
nn.Conv1d(2, 2, 2, groups=-1)
! ValueError: Invalid padding string 'full', should be one of
nn.Conv2d(2, 2, 2, padding="full")
! ValueError: padding='same' is not supported for strided
nn.Conv2d(2, 2, 2, padding="same", stride=(1, 2))
! ValueError: padding_mode must be one of ('zeros', 'reflect'
nn.Conv2d(2, 2, 2, padding_mode="mirror")
! ValueError: max_val must be larger than min_val
nn.Hardtanh(1.0, 1.0)
nn.Hardtanh(1.0, 0.5)
! ValueError: expected input to be
nn.Softmax2d()(ones(2, 2))
nn.Softmax2d()(ones(1, 1, 1, 2, 2))
! IndexError: index 1 is out of range
nn.Sequential(nn.ReLU())[1]
nn.ModuleList([nn.ReLU()])[1]
! IndexError: index -2 is out of range
nn.Sequential(nn.ReLU())[-2]
nn.ModuleList([nn.ReLU()])[-2]
! IndexError: Index out of range
nn.Sequential(nn.ReLU()).insert(2, nn.ReLU())
nn.Sequential(nn.ReLU()).insert(-2, nn.ReLU())
! ValueError: Non-positive multiplication factor
nn.Sequential(nn.ReLU()) * 0
nn.Sequential(nn.ReLU()).__imul__(-1)
! TypeError: ParameterList.extend should be called with an
nn.ParameterList().extend(1)
nn.ParameterList().extend(ones(2))
! KeyError: a
nn.ParameterDict()["a"]
! KeyError: 1
nn.ParameterDict()[1]
! RuntimeError: Expected 2D (unbatched) or 3D (batched) input to
nn.LazyConv1d(2, 1)(ones(2))
nn.LazyConv1d(2, 1)(ones(1, 1, 1, 2))
! RuntimeError: Expected 3D (unbatched) or 4D (batched) input to
nn.LazyConv2d(2, 1)(ones(2, 2))
! ValueError: in1_features must be > 0
nn.Bilinear(0, 2, 2)
nn.Bilinear(-1, 2, 2)
! TypeError: delta must be a float or int
nn.HuberLoss(delta="a")
! ValueError: weight must be
nn.MultiMarginLoss(weight=ones(2, 2))
! ValueError: expected margin to be greater than
nn.TripletMarginLoss(margin=0)
nn.TripletMarginLoss(margin=-1)
nn.TripletMarginWithDistanceLoss(margin=0)
nn.TripletMarginWithDistanceLoss(margin=-1.0)
! ValueError: expected input's size at dim=1 to match
nn.InstanceNorm1d(2, affine=True)(ones(1, 3, 2))
! ValueError: expected 2D or 3D input (got 1D input)
nn.InstanceNorm1d(2)(ones(2))
nn.BatchNorm1d(2)(ones(2))
nn.CircularPad1d(1)(ones(2))
! ValueError: expected 3D or 4D input (got 2D input)
nn.InstanceNorm2d(2)(ones(2, 2))
nn.CircularPad2d(1)(ones(2, 2))
! ValueError: expected 2D or 3D input (got 4D input)
nn.BatchNorm1d(2)(ones(1, 2, 2, 2))
nn.CircularPad1d(1)(ones(1, 1, 2, 2))
! ValueError: expected 4D input (got 3D input)
nn.BatchNorm2d(2)(ones(1, 2, 2))
! ValueError: expected 5D input (got 4D input)
nn.BatchNorm3d(2)(ones(1, 2, 2, 2))
! ValueError: dropout should be a number in range
nn.RNN(2, 2, dropout=True)
nn.RNN(2, 2, dropout="a")
nn.RNN(2, 2, dropout=1.5)
nn.RNN(2, 2, dropout=-0.5)
! TypeError: input_size should be of type int
nn.LSTM(2.0, 2)
! TypeError: hidden_size should be of type int
nn.LSTM(2, 2.0)
! ValueError: input_size must be greater than zero
nn.LSTM(0, 2)
! ValueError: hidden_size must be greater than zero
nn.LSTM(2, 0)
! ValueError: num_layers must be greater than zero
nn.LSTM(2, 2, 0)
nn.LSTM(2, 2, -1)
! ValueError: proj_size should be a positive integer or zero to
nn.LSTM(2, 2, proj_size=-1)
! ValueError: proj_size has to be smaller than hidden_size
nn.LSTM(2, 2, proj_size=2)
! TypeError: proj_size should be of type int
nn.LSTM(2, 2, proj_size=1.5)
! ValueError: Unknown nonlinearity 'gelu'. Select from 'tanh' or
nn.RNN(2, 2, nonlinearity="gelu")
! RuntimeError: Unknown nonlinearity: gelu
nn.RNNCell(2, 2, nonlinearity="gelu")(ones(2))
! ValueError: Expected input to be
nn.GRU(2, 2)(ones(2))
nn.GRU(2, 2)(ones(1, 1, 1, 2))
nn.GRUCell(2, 2)(ones(1, 1, 2))
! ValueError: input dtype (rustorch.float64) does not match
nn.GRU(2, 2)(ones(1, 2, dtype=rt.float64))
! ValueError: Expected hidden to be
nn.GRUCell(2, 2)(ones(2), ones(1, 1, 2))
! ShapeMismatchError: of shape [1, 2], got
nn.GRUCell(2, 2)(ones(1, 2), ones(1, 3))
nn.GRUCell(2, 2)(ones(1, 2), ones(2, 2))
nn.LSTMCell(2, 2)(ones(1, 2), (ones(1, 2), ones(1, 3)))
! ValueError: embed_dim and num_heads must be greater than
nn.MultiheadAttention(0, 1)
nn.MultiheadAttention(2, 0)
nn.MultiheadAttention(-2, 1)
! RuntimeError: activation should be relu/gelu, not tanh
nn.TransformerEncoderLayer(2, 1, 2, activation="tanh")
nn.TransformerDecoderLayer(2, 1, 2, activation="tanh")
! RuntimeError: the feature number of src and tgt must be equal to
nn.Transformer(2, 1, 1, 1, 2)(ones(1, 1, 3), ones(1, 1, 2))
nn.Transformer(2, 1, 1, 1, 2)(ones(1, 1, 2), ones(1, 1, 3))
! RuntimeError: the batch number of src and tgt must be equal
nn.Transformer(2, 1, 1, 1, 2)(ones(1, 1, 2), ones(1, 2, 2))
nn.Transformer(2, 1, 1, 1, 2, batch_first=True)(ones(1, 1, 2), ones(2, 1, 2))
! TypeError: buffer name should be a string
nn.Module().register_buffer(1, None)
! KeyError: buffer name can't contain "."
nn.Module().register_buffer("a.b", None)
! KeyError: buffer name can't be empty string ""
nn.Module().register_buffer("", None)
! KeyError: attribute 'forward' already exists
nn.Module().register_buffer("forward", None)
nn.Module().register_parameter("forward", None)
nn.Module().add_module("forward", None)
! TypeError: cannot assign 'int' object to buffer 'a' (Tensor or
nn.Module().register_buffer("a", 1)
! KeyError: parameter name can't contain "."
nn.Module().register_parameter("a.b", None)
! KeyError: parameter name can't be empty string ""
nn.Module().register_parameter("", None)
! TypeError: parameter name should be a string
nn.Module().register_parameter(1, None)
! TypeError: int is not a Module subclass
nn.Module().add_module("a", 1)
! KeyError: module name can't contain "."
nn.Module().add_module("a.b", None)
! KeyError: module name can't be empty string ""
nn.Module().add_module("", None)
! TypeError: module name should be a string
nn.Module().add_module(1, None)
! AttributeError: `weight` is not an nn.Module
mod.set_submodule("weight", nn.ReLU())
! AttributeError: Linear has no attribute `a`
mod.set_submodule("a", nn.ReLU(), strict=True)
! ValueError: `module` is not an nn.Module, found <class 'int'>
mod.set_submodule("a", 1)
! TypeError: nn.Module.to only accepts floating point or complex dtypes
mod.to(rt.int64)
mod.to(I64)
! TypeError: cannot assign 'int' as buffer 'running_mean'
setattr(nn.BatchNorm1d(2), "running_mean", 1)
! AutogradError: got 1 tensors and 2 gradients
autograd.backward(ones(1, requires_grad=True) * 2, [ones(1), ones(1)])
autograd.grad((a := ones(1, requires_grad=True)) * 2, a, [ones(1), ones(1)])
! AutogradError: One of the differentiated Tensors appears to not
autograd.grad((a := ones(1, requires_grad=True)) * 2, ones(1, requires_grad=True))
! DTypeError: argument 'data' must be a Tensor, not int
autograd.Variable(1)
! DTypeError: the outputs of func must be a Tensor or a tuple of
autograd.functional.jacobian(lambda t: 1, ones(1))
! DTypeError: inputs must be a Tensor or a tuple of Tensors
autograd.functional.jacobian(lambda t: t, 1)
! AutogradError: the vector v can only be None for a single element
autograd.functional.vjp(lambda t: t, ones(2))
autograd.functional.jvp(lambda t: t, ones(2))
! AutogradError: the outputs do not depend on some of the inputs
autograd.functional.jacobian(lambda t: ones(1), ones(2), strict=True)
! AutogradError: the function must return a single Tensor with a
autograd.functional.hessian(lambda t: t, ones(2))
autograd.functional.hessian(lambda t: 1.0, ones(2))
autograd.functional.hvp(lambda t: t, ones(2), ones(2))
! InvalidArgumentError: Expects mode to be one of ('all', 'any')
autograd.graph.register_multi_grad_hook([ones(1, requires_grad=True)], len, mode="some")
! RustorchError: Expected one of cpu, cuda, mps, xpu, meta, mtia
rt.device("warp")
! DTypeError: wanted a whole-number dtype
rt.iinfo(rt.float32)
rt.iinfo(rt.bool)
! InvalidArgumentError: profile must be one of default, short, full
rt.set_printoptions(profile="wide")
! InvalidArgumentError: only tensors of one element can be numbers of a
rt.tensor([ones(2)])
! InvalidArgumentError: expected sequence of length
rt.tensor([[1], [1, 2]])
rt.tensor([[1], 1])
! InvalidArgumentError: the nesting is not regular at dim
rt.tensor([1, [1]])
! DTypeError: cannot make numbers of a NoneType
rt.tensor([None])
! InvalidArgumentError: value -200 cannot be converted to type int8 without
rt.tensor([-200], dtype=rt.int8)
! InvalidArgumentError: value 9223372036854775808 cannot be converted to
rt.tensor([2**63])
! DTypeError: only integer tensors of a single element can be
[1, 2][rt.tensor(1.0)]
[1, 2][rt.tensor([0, 1])]
! InvalidArgumentError: a tensor with 2 elements cannot be converted to a
ones(2).item()
! DTypeError: wanted a Tensor or None
setattr(ones(2), "grad", 1)
! DTypeError: argument 'gradient' must be a Tensor or None, not
ones((), requires_grad=True).backward(1.0)
! DTypeError: only integers, slices (`:`), ellipsis (`...`), None
ones(2)[1.5]
ones(2)["a"]
! IndexOutOfRangeError: too many indices for tensor of dimension
ones(2)[0, 0]
! InvalidArgumentError: slice step must be positive
ones(2)[::-1]
ones(2)[::0]
! IndexOutOfRangeError: tensors used as indices must be long, int, byte or
ones(2)[rt.tensor([0.5])]
! InvalidArgumentError: both buffer length
rt.frombuffer(b"", dtype=rt.uint8)
rt.frombuffer(bytearray(4), dtype=rt.uint8, count=0)
! InvalidArgumentError: offset (4 bytes) must be non-negative and no
rt.frombuffer(bytearray(4), dtype=rt.uint8, offset=4)
! InvalidArgumentError: offset (-1 bytes) must be non-negative and no
rt.frombuffer(bytearray(4), dtype=rt.uint8, offset=-1)
! InvalidArgumentError: buffer length (5 bytes) after offset (0 bytes) must
rt.frombuffer(bytearray(5), dtype=rt.float32)
! InvalidArgumentError: requested buffer length
rt.frombuffer(bytearray(8), dtype=rt.float32, count=3)
rt.frombuffer(bytearray(8), dtype=rt.float32, offset=5, count=1)
! DTypeError: wanted a buffer with its bytes in a row
rt.frombuffer(1, dtype=rt.uint8)
! InvalidArgumentError: a list cannot be made a tensor of rustorch.int64
rt.asarray([1], copy=False)
! ShapeMismatchError: requires a tensor with at least
rt.hsplit(rt.tensor(1), 1)
rt.vsplit(ones(2), 1)
rt.dsplit(ones(2, 2), 1)
! InvalidArgumentError: dimension 0 of size 3 is not divisible by the
rt.hsplit(ones(3), 2)
! InvalidArgumentError: dimension 0 of size 2 is not divisible by the
rt.vsplit(ones(2, 2), 0)
rt.vsplit(ones(2, 2), -1)
! DTypeError: start must be an int or a
rt.narrow(ones(3), 0, rt.tensor([0]), 1)
rt.narrow(ones(3), 0, rt.tensor(0.0), 1)
rt.narrow(ones(3), 0, rt.tensor(True), 1)
! InvalidArgumentError: Invalid output_size, expected
rt.repeat_interleave(ones(2), 2, output_size=3)
! DTypeError: result type rustorch.float32 can't be cast to the
rt.add(ones(2), ones(2), out=ones(2, dtype=I64))
! DTypeError: the tensor has dtype rustorch.float32, which must
ones(2).cumsum_(0, dtype=rt.float64)
! InvalidArgumentError: reduce must be either 'add' or 'multiply'
rt.scatter(ones(2), 0, rt.tensor([0]), 1.0, reduce="sum")
! InvalidArgumentError: tol must be greater than or equal to zero
rt.isclose(ones(1), ones(1), rtol=nan)
rt.isclose(ones(1), ones(1), atol=nan)
! ShapeMismatchError: [2, 2] cannot be expanded to
ones(2, 3).sum_to_size(2, 2)
! ShapeMismatchError: [3, 1] cannot be expanded to
ones(2, 3).sum_to_size(3, 1)
! ShapeMismatchError: [1, 3] cannot be expanded to
ones(3).sum_to_size(1, 3)
! InvalidArgumentError: sizes must not be negative
ones(2).resize_(-1)
! UnsupportedError: the elements can only be laid out contiguously, not
ones(2).resize_(2, memory_format=rt.channels_last)
! InvalidArgumentError: the offset must not be negative
ones(2).set_(ones(4), -1, (2,), (1,))
! InvalidArgumentError: wanted sizes and strides of one length, got
ones(2).set_(ones(4), 0, (2, 2), (1,))
! DTypeError: argument 'fill_value' must be a number, not a
ones(2, 2).fill_diagonal_(ones(1))
! InvalidArgumentError: wanted a matrix, or dimensions of one size
ones(2).fill_diagonal_(1.0)
ones(2, 3, 2).fill_diagonal_(1.0)
! DTypeError: expected (), (to) or (from, to)
ones(2).random_(1, 2, 3)
! DTypeError: size goes with a mean and std that are numbers, not
rt.normal(ones(2), 1.0, (2,))
! InvalidArgumentError: size is wanted when mean and std are numbers
rt.normal(0.0, 1.0)
! InvalidArgumentError: normal: expects all elements of std >= 0.0
rt.normal(0.0, rt.tensor([-1.0]))
! DTypeError: wanted randint(high, size) or randint(low, high
rt.randint(3)
! DTypeError: wanted (end), (start, end) or (start, end, step)
rt.arange()
rt.arange(0, 1, 1, 1)
! InvalidArgumentError: cannot go from
rt.range(0, 1, 0)
rt.range(0, 1, -1)
! ShapeMismatchError: sizes are ints from
rt.broadcast_shapes((-1,))
rt.broadcast_shapes(("a",))
! InvalidArgumentError: dims must be from
rt.tensordot(x, x, -1)
rt.tensordot(x, x, 3)
! DTypeError: argument 'dims' must be an int or two sequences of
rt.tensordot(x, x, (0, 1))
rt.tensordot(x, x, ([0], [0], [0]))
! ShapeMismatchError: expected a 1-d vector
rt.combinations(x)
! InvalidArgumentError: r must be non-negative
rt.combinations(ones(2), -1)
! InvalidArgumentError: order must be non-negative
rt.diff(ones(2), n=-1)
! ShapeMismatchError: prepend and append must match the input's shape
rt.diff(x, prepend=ones(3))
rt.diff(x, prepend=ones(1, 1))
rt.diff(x, append=ones(3, 1))
! ShapeMismatchError: wanted a matrix
ones(2).H
ones(2, 2, 2).H
! InvalidArgumentError: unsupported operation: several elements of `out`
rt.add(ones(2), ones(2), out=ones(3).expand(2, 3))
! InvalidArgumentError: functions with out=... arguments don't support
rt.add(ones(2, requires_grad=True), ones(2), out=ones(2))
rt.add(ones(2), ones(2), out=ones(2, requires_grad=True))
! DTypeError: expected out for indices of dtype rustorch.int64
rt.max(x, 0, out=(ones(3), ones(3)))
rt.sort(x, out=(ones(2, 3), ones(2, 3)))
! InvalidArgumentError: Value is not broadcastable with batch_shape+event_shape
D.Normal(ones(2), 1.0).log_prob(ones(3))
! InvalidArgumentError: Expected parameter low
D.Uniform(1.0, 1.0)
D.Uniform(1.0, 0.0)
! InvalidArgumentError: `probs` parameter must be at least one-dimensional.
D.Categorical(rt.tensor(1.0))
! InvalidArgumentError: Expected parameter probs
D.Categorical(rt.tensor([-1.0, 1.0]))
! InvalidArgumentError: Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual 2 vs 1
D.Independent(D.Normal(ones(2), 1.0), 2)
! UnsupportedError: The cross KL-divergence between different exponential families
D.kl_divergence(D.Normal(0.0, 1.0), D.Bernoulli(0.5))
! UnsupportedError: no formula for Normal and Cauchy; see register_kl
D.kl_divergence(D.Normal(0.0, 1.0), D.Cauchy(0.0, 1.0))
"""

HEADINGS = [part.splitlines() for part in REFUSED.strip().removeprefix("! ").split("\n! ")]


@pytest.mark.parametrize("lines", HEADINGS, ids=[lines[0] for lines in HEADINGS])
def test_is_refused(lines):
    name, _, text = lines[0].partition(": ")
    assert len(lines) > 1
    for source in lines[1:]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                result = made(source)
            except Exception as e:
                said = str(e.args[0] if name == "KeyError" else e)
                assert type(e).__name__ == name and text in said, f"{source}: {e!r}"
            else:
                raise AssertionError(f"{source} gives {result}")


# ---- what is kept: an object, and attributes that it has, by default or as given ----

KEPT = """
nn.Linear(2, 3) | in_features=2, out_features=3
nn.Linear(2, 3, False) | in_features=2, out_features=3
nn.Bilinear(2, 3, 4) | in1_features=2, in2_features=3, out_features=4
nn.Conv1d(2, 4, 3) |
    dilation=(1,), groups=1, in_channels=2, kernel_size=(3,), out_channels=4, output_padding=(0,), padding=(0,),
    padding_mode='zeros', stride=(1,), transposed=False
nn.Conv2d(2, 4, (3, 2), (2, 1), (1, 0), (1, 2), 2, False, "reflect") |
    dilation=(1, 2), groups=2, in_channels=2, kernel_size=(3, 2), out_channels=4, output_padding=(0, 0),
    padding=(1, 0), padding_mode='reflect', stride=(2, 1), transposed=False
nn.Conv3d(2, 4, 3, 2, 1, 2, 2) |
    dilation=(2, 2, 2), groups=2, in_channels=2, kernel_size=(3, 3, 3), out_channels=4, output_padding=(0, 0, 0),
    padding=(1, 1, 1), padding_mode='zeros', stride=(2, 2, 2), transposed=False
nn.ConvTranspose1d(2, 4, 3) |
    dilation=(1,), groups=1, in_channels=2, kernel_size=(3,), out_channels=4, output_padding=(0,), padding=(0,),
    padding_mode='zeros', stride=(1,), transposed=True
nn.ConvTranspose2d(2, 4, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (1, 3)) |
    dilation=(1, 3), groups=2, in_channels=2, kernel_size=(3, 2), out_channels=4, output_padding=(1, 2),
    padding=(1, 0), padding_mode='zeros', stride=(2, 3), transposed=True
nn.ConvTranspose3d(2, 4, 3, 2, 1, 1, 2, True, 2) |
    dilation=(2, 2, 2), groups=2, in_channels=2, kernel_size=(3, 3, 3), out_channels=4, output_padding=(1, 1, 1),
    padding=(1, 1, 1), padding_mode='zeros', stride=(2, 2, 2), transposed=True
nn.LazyConv1d(4, 3) |
    dilation=(1,), groups=1, in_channels=0, kernel_size=(3,), out_channels=4, output_padding=(0,), padding=(0,),
    padding_mode='zeros', stride=(1,), transposed=False
nn.LazyConv2d(4, (3, 2), (2, 1), (1, 0), (1, 2), 2, False, "reflect") |
    dilation=(1, 2), groups=2, in_channels=0, kernel_size=(3, 2), out_channels=4, output_padding=(0, 0),
    padding=(1, 0), padding_mode='reflect', stride=(2, 1), transposed=False
nn.LazyConvTranspose2d(4, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, (1, 3)) |
    dilation=(1, 3), groups=2, in_channels=0, kernel_size=(3, 2), out_channels=4, output_padding=(1, 2),
    padding=(1, 0), padding_mode='zeros', stride=(2, 3), transposed=True
nn.LazyLinear(3) | in_features=0, out_features=3
nn.LazyBatchNorm1d() | affine=True, eps=1e-05, momentum=0.1, num_features=0, track_running_stats=True
nn.LazyBatchNorm2d(1e-3, None, False, False) |
    affine=False, eps=0.001, momentum=None, num_features=0, track_running_stats=False
nn.LazyInstanceNorm1d() | affine=True, eps=1e-05, momentum=0.1, num_features=0, track_running_stats=True
nn.LazyInstanceNorm2d(1e-3, 0.3, True, True) |
    affine=True, eps=0.001, momentum=0.3, num_features=0, track_running_stats=True
nn.BatchNorm1d(3) | affine=True, eps=1e-05, momentum=0.1, num_features=3, track_running_stats=True
nn.BatchNorm2d(3, 1e-3, None, False, False) |
    affine=False, eps=0.001, momentum=None, num_features=3, track_running_stats=False
nn.BatchNorm3d(3, 1e-3, 0.3) | affine=True, eps=0.001, momentum=0.3, num_features=3, track_running_stats=True
nn.InstanceNorm1d(3) | affine=False, eps=1e-05, momentum=0.1, num_features=3, track_running_stats=False
nn.InstanceNorm2d(3, 1e-3, 0.3, True, True) |
    affine=True, eps=0.001, momentum=0.3, num_features=3, track_running_stats=True
nn.LayerNorm(3) | elementwise_affine=True, eps=1e-05, normalized_shape=(3,)
nn.LayerNorm((3, 2), 1e-3, False) | elementwise_affine=False, eps=0.001, normalized_shape=(3, 2)
nn.GroupNorm(2, 4) | affine=True, eps=1e-05, num_channels=4, num_groups=2
nn.GroupNorm(2, 4, 1e-3, False) | affine=False, eps=0.001, num_channels=4, num_groups=2
nn.RMSNorm(3) | elementwise_affine=True, eps=None, normalized_shape=(3,)
nn.RMSNorm((3, 2), 1e-3, False) | elementwise_affine=False, eps=0.001, normalized_shape=(3, 2)
nn.LocalResponseNorm(2) | alpha=0.0001, beta=0.75, k=1.0, size=2
nn.LocalResponseNorm(2, 1e-3, 0.5, 2.0) | alpha=0.001, beta=0.5, k=2.0, size=2
nn.MaxPool1d(2) | ceil_mode=False, dilation=1, kernel_size=2, padding=0, return_indices=False, stride=2
nn.MaxPool2d(3, 2, 1, 2, True, True) |
    ceil_mode=True, dilation=2, kernel_size=3, padding=1, return_indices=True, stride=2
nn.MaxPool3d(3, 2, 1, 2, True, True) |
    ceil_mode=True, dilation=2, kernel_size=3, padding=1, return_indices=True, stride=2
nn.AvgPool1d(2) | ceil_mode=False, count_include_pad=True, kernel_size=(2,), padding=(0,), stride=(2,)
nn.AvgPool2d(2) | ceil_mode=False, count_include_pad=True, divisor_override=None, kernel_size=2, padding=0, stride=2
nn.AvgPool2d(3, 2, 1, True, False, 5) |
    ceil_mode=True, count_include_pad=False, divisor_override=5, kernel_size=3, padding=1, stride=2
nn.AvgPool3d(3, 2, 1, True, False, 5) |
    ceil_mode=True, count_include_pad=False, divisor_override=5, kernel_size=3, padding=1, stride=2
nn.MaxUnpool1d(2) | kernel_size=(2,), padding=(0,), stride=(2,)
nn.MaxUnpool2d((2, 3), (1, 2), (0, 1)) | kernel_size=(2, 3), padding=(0, 1), stride=(1, 2)
nn.MaxUnpool3d(2, 1, 0) | kernel_size=(2, 2, 2), padding=(0, 0, 0), stride=(1, 1, 1)
nn.LPPool1d(2, 3) | ceil_mode=False, kernel_size=3, norm_type=2, stride=None
nn.LPPool2d(2, 3, 1, True) | ceil_mode=True, kernel_size=3, norm_type=2, stride=1
nn.LPPool3d(2, 3, 1, True) | ceil_mode=True, kernel_size=3, norm_type=2, stride=1
nn.AdaptiveAvgPool1d(2) | output_size=2
nn.AdaptiveAvgPool2d((2, None)) | output_size=(2, None)
nn.AdaptiveMaxPool1d(2) | output_size=2, return_indices=False
nn.AdaptiveMaxPool2d(2, True) | output_size=2, return_indices=True
nn.AdaptiveMaxPool3d((2, 1, 3), True) | output_size=(2, 1, 3), return_indices=True
nn.ReLU() | inplace=False
nn.ReLU(True) | inplace=True
nn.ReLU6(True) | inplace=True, max_val=6.0, min_val=0.0
nn.LeakyReLU() | inplace=False, negative_slope=0.01
nn.LeakyReLU(0.3, True) | inplace=True, negative_slope=0.3
nn.PReLU() | init=0.25, num_parameters=1
nn.PReLU(3, 0.5) | init=0.5, num_parameters=3
nn.RReLU() | inplace=False, lower=0.125, upper=0.3333333333333333
nn.RReLU(0.2, 0.4, True) | inplace=True, lower=0.2, upper=0.4
nn.ELU() | alpha=1.0, inplace=False
nn.ELU(0.5, True) | alpha=0.5, inplace=True
nn.SELU(True) | inplace=True
nn.CELU() | alpha=1.0, inplace=False
nn.CELU(0.5, True) | alpha=0.5, inplace=True
nn.GELU() | approximate='none'
nn.GELU("tanh") | approximate='tanh'
nn.SiLU(True) | inplace=True
nn.Mish(True) | inplace=True
nn.Hardtanh() | inplace=False, max_val=1.0, min_val=-1.0
nn.Hardtanh(-2.0, 3.0, True) | inplace=True, max_val=3.0, min_val=-2.0
nn.Hardsigmoid(True) | inplace=True
nn.Hardswish(True) | inplace=True
nn.Softplus() | beta=1.0, threshold=20.0
nn.Softplus(2.0, 10.0) | beta=2.0, threshold=10.0
nn.Hardshrink() | lambd=0.5
nn.Hardshrink(0.3) | lambd=0.3
nn.Softshrink() | lambd=0.5
nn.Softshrink(0.3) | lambd=0.3
nn.Threshold(0.1, 5.0) | inplace=False, threshold=0.1, value=5.0
nn.Threshold(0.1, 5.0, True) | inplace=True, threshold=0.1, value=5.0
nn.GLU() | dim=-1
nn.GLU(0) | dim=0
nn.Softmax() | dim=None
nn.Softmax(1) | dim=1
nn.Softmin(1) | dim=1
nn.LogSoftmax(1) | dim=1
nn.Dropout() | inplace=False, p=0.5
nn.Dropout(0.3, True) | inplace=True, p=0.3
nn.Dropout1d(0.3, True) | inplace=True, p=0.3
nn.Dropout2d() | inplace=False, p=0.5
nn.Dropout3d(0.3, True) | inplace=True, p=0.3
nn.AlphaDropout() | inplace=False, p=0.5
nn.FeatureAlphaDropout(0.3, True) | inplace=True, p=0.3
nn.Flatten() | end_dim=-1, start_dim=1
nn.Flatten(0, 1) | end_dim=1, start_dim=0
nn.Unflatten(1, (2, 3)) | dim=1, unflattened_size=(2, 3)
nn.Fold(4, 2) | dilation=1, kernel_size=2, output_size=4, padding=0, stride=1
nn.Fold(4, 2, 2, 1, 3) | dilation=2, kernel_size=2, output_size=4, padding=1, stride=3
nn.Unfold(2) | dilation=1, kernel_size=2, padding=0, stride=1
nn.Unfold(2, 2, 1, 3) | dilation=2, kernel_size=2, padding=1, stride=3
nn.PixelShuffle(2) | upscale_factor=2
nn.PixelUnshuffle(2) | downscale_factor=2
nn.ChannelShuffle(2) | groups=2
nn.Upsample(3) |
    align_corners=None, mode='nearest', name='Upsample', recompute_scale_factor=None, scale_factor=None, size=3
nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True, recompute_scale_factor=True) |
    align_corners=True, mode='bilinear', name='Upsample', recompute_scale_factor=True, scale_factor=2.0, size=None
nn.Upsample(scale_factor=(2, 3)) |
    align_corners=None, mode='nearest', name='Upsample', recompute_scale_factor=None, scale_factor=(2.0, 3.0),
    size=None
nn.UpsamplingNearest2d(3) |
    align_corners=None, mode='nearest', name='UpsamplingNearest2d', recompute_scale_factor=None,
    scale_factor=None, size=3
nn.UpsamplingNearest2d(scale_factor=3) |
    align_corners=None, mode='nearest', name='UpsamplingNearest2d', recompute_scale_factor=None, scale_factor=3.0,
    size=None
nn.UpsamplingBilinear2d(3) |
    align_corners=True, mode='bilinear', name='UpsamplingBilinear2d', recompute_scale_factor=None,
    scale_factor=None, size=3
nn.UpsamplingBilinear2d(scale_factor=3) |
    align_corners=True, mode='bilinear', name='UpsamplingBilinear2d', recompute_scale_factor=None,
    scale_factor=3.0, size=None
nn.ConstantPad1d(1, 2.0) | padding=(1, 1), value=2.0
nn.ConstantPad2d((1, 2, 3, 4), 2.0) | padding=(1, 2, 3, 4), value=2.0
nn.ConstantPad3d(1, 2.0) | padding=(1, 1, 1, 1, 1, 1), value=2.0
nn.ZeroPad1d(1) | padding=(1, 1), value=0.0
nn.ZeroPad2d(1) | padding=(1, 1, 1, 1), value=0.0
nn.ZeroPad3d(1) | padding=(1, 1, 1, 1, 1, 1), value=0.0
nn.ReflectionPad1d(1) | padding=(1, 1)
nn.ReflectionPad2d(1) | padding=(1, 1, 1, 1)
nn.ReflectionPad3d(1) | padding=(1, 1, 1, 1, 1, 1)
nn.ReplicationPad1d(1) | padding=(1, 1)
nn.ReplicationPad2d((1, 2, 3, 4)) | padding=(1, 2, 3, 4)
nn.ReplicationPad3d(1) | padding=(1, 1, 1, 1, 1, 1)
nn.CircularPad1d(1) | padding=(1, 1)
nn.CircularPad2d(1) | padding=(1, 1, 1, 1)
nn.CircularPad3d(1) | padding=(1, 1, 1, 1, 1, 1)
nn.CosineSimilarity() | dim=1, eps=1e-08
nn.CosineSimilarity(0, 1e-3) | dim=0, eps=0.001
nn.PairwiseDistance() | eps=1e-06, keepdim=False, norm=2.0
nn.PairwiseDistance(1.0, 1e-3, True) | eps=0.001, keepdim=True, norm=1.0
nn.Embedding(3, 2) |
    embedding_dim=2, max_norm=None, norm_type=2.0, num_embeddings=3, padding_idx=None, scale_grad_by_freq=False,
    sparse=False
nn.Embedding(3, 2, -1, 2.0, 1.0) |
    embedding_dim=2, max_norm=2.0, norm_type=1.0, num_embeddings=3, padding_idx=2, scale_grad_by_freq=False,
    sparse=False
nn.EmbeddingBag(3, 2) |
    embedding_dim=2, include_last_offset=False, max_norm=None, mode='mean', norm_type=2.0, num_embeddings=3,
    padding_idx=None, scale_grad_by_freq=False, sparse=False
nn.EmbeddingBag(3, 2, 2.0, 1.0, mode="sum", include_last_offset=True, padding_idx=-1) |
    embedding_dim=2, include_last_offset=True, max_norm=2.0, mode='sum', norm_type=1.0, num_embeddings=3,
    padding_idx=2, scale_grad_by_freq=False, sparse=False
nn.RNN(2, 3) |
    batch_first=False, bias=True, bidirectional=False, dropout=0.0, hidden_size=3, input_size=2, mode='RNN_TANH',
    nonlinearity='tanh', num_layers=1, proj_size=0
nn.RNN(2, 3, 2, "relu", False, True, 0.3, True) |
    batch_first=True, bias=False, bidirectional=True, dropout=0.3, hidden_size=3, input_size=2, mode='RNN_RELU',
    nonlinearity='relu', num_layers=2, proj_size=0
nn.LSTM(2, 3) |
    batch_first=False, bias=True, bidirectional=False, dropout=0.0, hidden_size=3, input_size=2, mode='LSTM',
    num_layers=1, proj_size=0
nn.LSTM(2, 3, 2, False, True, 0.3, True, 1) |
    batch_first=True, bias=False, bidirectional=True, dropout=0.3, hidden_size=3, input_size=2, mode='LSTM',
    num_layers=2, proj_size=1
nn.GRU(2, 3) |
    batch_first=False, bias=True, bidirectional=False, dropout=0.0, hidden_size=3, input_size=2, mode='GRU',
    num_layers=1, proj_size=0
nn.GRU(2, 3, 2, False, True, 0.3, True) |
    batch_first=True, bias=False, bidirectional=True, dropout=0.3, hidden_size=3, input_size=2, mode='GRU',
    num_layers=2, proj_size=0
nn.RNNCell(2, 3) | bias=True, hidden_size=3, input_size=2, nonlinearity='tanh'
nn.RNNCell(2, 3, False, "relu") | bias=False, hidden_size=3, input_size=2, nonlinearity='relu'
nn.LSTMCell(2, 3) | bias=True, hidden_size=3, input_size=2
nn.LSTMCell(2, 3, False) | bias=False, hidden_size=3, input_size=2
nn.GRUCell(2, 3) | bias=True, hidden_size=3, input_size=2
nn.GRUCell(2, 3, False) | bias=False, hidden_size=3, input_size=2
nn.MultiheadAttention(4, 2) |
    add_zero_attn=False, batch_first=False, bias_k=None, bias_v=None, dropout=0.0, embed_dim=4, head_dim=2,
    kdim=4, num_heads=2, vdim=4
nn.MultiheadAttention(4, 2, 0.3, False, True, True, 3, 5, True) |
    add_zero_attn=True, batch_first=True, dropout=0.3, embed_dim=4, head_dim=2, kdim=3, num_heads=2, vdim=5
nn.MultiheadAttention(4, 2, kdim=3) |
    add_zero_attn=False, batch_first=False, bias_k=None, bias_v=None, dropout=0.0, embed_dim=4, head_dim=2,
    kdim=3, num_heads=2, vdim=4
nn.TransformerEncoderLayer(4, 2) | norm_first=False
nn.TransformerEncoderLayer(4, 2, 8, 0.3, "gelu", 1e-3, True, True, False) | norm_first=True
nn.TransformerDecoderLayer(4, 2) | norm_first=False
nn.TransformerDecoderLayer(4, 2, 8, 0.3, "gelu", 1e-3, True, True, False) | norm_first=True
nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2) | norm=None, num_layers=2
nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2, None, False, False) | norm=None, num_layers=2
nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 8), 2) | norm=None, num_layers=2
nn.Transformer(4, 2, 1, 1, 8) | batch_first=False, d_model=4, nhead=2
nn.Transformer(4, 2, 1, 1, 8, batch_first=True) | batch_first=True, d_model=4, nhead=2
nn.L1Loss() | reduction='mean'
nn.L1Loss(reduction="sum") | reduction='sum'
nn.MSELoss() | reduction='mean'
nn.MSELoss(reduction="none") | reduction='none'
nn.SmoothL1Loss() | beta=1.0, reduction='mean'
nn.SmoothL1Loss(reduction="sum", beta=0.5) | beta=0.5, reduction='sum'
nn.HuberLoss() | delta=1.0, reduction='mean'
nn.HuberLoss("sum", 0.5) | delta=0.5, reduction='sum'
nn.NLLLoss() | ignore_index=-100, reduction='mean'
nn.NLLLoss(ignore_index=1, reduction="sum") | ignore_index=1, reduction='sum'
nn.CrossEntropyLoss() | ignore_index=-100, label_smoothing=0.0, reduction='mean'
nn.CrossEntropyLoss(ignore_index=1, reduction="sum", label_smoothing=0.3) |
    ignore_index=1, label_smoothing=0.3, reduction='sum'
nn.BCELoss() | reduction='mean'
nn.BCELoss(reduction="sum") | reduction='sum'
nn.BCEWithLogitsLoss() | reduction='mean'
nn.BCEWithLogitsLoss(reduction="sum") | reduction='sum'
nn.KLDivLoss() | log_target=False, reduction='mean'
nn.KLDivLoss(reduction="batchmean", log_target=True) | log_target=True, reduction='batchmean'
nn.PoissonNLLLoss() | eps=1e-08, full=False, log_input=True, reduction='mean'
nn.PoissonNLLLoss(False, True, eps=1e-3, reduction="sum") | eps=0.001, full=True, log_input=False, reduction='sum'
nn.GaussianNLLLoss() | eps=1e-06, full=False, reduction='mean'
nn.GaussianNLLLoss(full=True, eps=1e-3, reduction="sum") | eps=0.001, full=True, reduction='sum'
nn.HingeEmbeddingLoss() | margin=1.0, reduction='mean'
nn.HingeEmbeddingLoss(0.5, reduction="sum") | margin=0.5, reduction='sum'
nn.CosineEmbeddingLoss() | margin=0.0, reduction='mean'
nn.CosineEmbeddingLoss(0.5, reduction="sum") | margin=0.5, reduction='sum'
nn.MarginRankingLoss() | margin=0.0, reduction='mean'
nn.MarginRankingLoss(0.5, reduction="sum") | margin=0.5, reduction='sum'
nn.SoftMarginLoss(reduction="sum") | reduction='sum'
nn.MultiLabelSoftMarginLoss(reduction="sum") | reduction='sum'
nn.MultiMarginLoss() | margin=1.0, p=1, reduction='mean'
nn.MultiMarginLoss(2, 0.5, reduction="sum") | margin=0.5, p=2, reduction='sum'
nn.MultiLabelMarginLoss(reduction="sum") | reduction='sum'
nn.TripletMarginLoss() | eps=1e-06, margin=1.0, p=2.0, reduction='mean', swap=False
nn.TripletMarginLoss(0.5, 1.0, 1e-3, True, reduction="sum") | eps=0.001, margin=0.5, p=1.0, reduction='sum', swap=True
nn.TripletMarginWithDistanceLoss() | margin=1.0, reduction='mean', swap=False
nn.TripletMarginWithDistanceLoss(margin=0.5, swap=True, reduction="sum") | margin=0.5, reduction='sum', swap=True
nn.CTCLoss() | blank=0, reduction='mean', zero_infinity=False
nn.CTCLoss(1, "sum", True) | blank=1, reduction='sum', zero_infinity=True
swa.SWALR(sgd(), 0.1) | anneal_epochs=10, base_lrs=[1.0], last_epoch=0
swa.SWALR(sgd(), 0.1, 3, "linear") | anneal_epochs=3, base_lrs=[1.0], last_epoch=0
swa.AveragedModel(nn.Linear(1, 1)) | avg_fn=None, multi_avg_fn=None, use_buffers=False
swa.AveragedModel(nn.Linear(1, 1), use_buffers=True) | avg_fn=None, multi_avg_fn=None, use_buffers=True
data.DataLoader([1, 2]) |
    batch_size=1, dataset=[1, 2], drop_last=False, generator=None, in_order=True, num_workers=0,
    persistent_workers=False, pin_memory=False, pin_memory_device='', prefetch_factor=None, timeout=0,
    worker_init_fn=None
data.DataLoader([1, 2], 2, drop_last=True) |
    batch_size=2, dataset=[1, 2], drop_last=True, generator=None, in_order=True, num_workers=0,
    persistent_workers=False, pin_memory=False, pin_memory_device='', prefetch_factor=None, timeout=0,
    worker_init_fn=None
data.DataLoader([1, 2], None) |
    batch_sampler=None, batch_size=None, dataset=[1, 2], drop_last=False, generator=None, in_order=True,
    num_workers=0, persistent_workers=False, pin_memory=False, pin_memory_device='', prefetch_factor=None,
    timeout=0, worker_init_fn=None
data.DataLoader([1, 2], batch_sampler=[[0, 1]]) |
    batch_sampler=[[0, 1]], batch_size=None, dataset=[1, 2], drop_last=False, generator=None, in_order=True,
    num_workers=0, persistent_workers=False, pin_memory=False, pin_memory_device='', prefetch_factor=None,
    timeout=0, worker_init_fn=None
data.DataLoader([1, 2], num_workers=2) |
    batch_size=1, dataset=[1, 2], drop_last=False, generator=None, in_order=True, num_workers=2,
    persistent_workers=False, pin_memory=False, pin_memory_device='', prefetch_factor=2, timeout=0,
    worker_init_fn=None
data.DataLoader([1, 2], num_workers=2, timeout=3, prefetch_factor=4, persistent_workers=True, in_order=False) |
    batch_size=1, dataset=[1, 2], drop_last=False, generator=None, in_order=False, num_workers=2,
    persistent_workers=True, pin_memory=False, pin_memory_device='', prefetch_factor=4, timeout=3,
    worker_init_fn=None
data.RandomSampler([1, 2]) | data_source=[1, 2], generator=None, replacement=False
data.RandomSampler([1, 2], True, 5) | data_source=[1, 2], generator=None, replacement=True
data.WeightedRandomSampler([1.0, 2.0], 3) | generator=None, num_samples=3, replacement=True
data.WeightedRandomSampler([1.0, 2.0], 3, False) | generator=None, num_samples=3, replacement=False
data.BatchSampler([1, 2], 2, True) | batch_size=2, drop_last=True, sampler=[1, 2]
data.DistributedSampler([1, 2, 3], 2, 1) |
    dataset=[1, 2, 3], drop_last=False, epoch=0, num_replicas=2, num_samples=2, rank=1, seed=0, shuffle=True,
    total_size=4
data.DistributedSampler([1, 2, 3], 2, 0, False, 7, True) |
    dataset=[1, 2, 3], drop_last=True, epoch=0, num_replicas=2, num_samples=1, rank=0, seed=7, shuffle=False,
    total_size=2
data.ConcatDataset([[1], [2, 3]]) | cumulative_sizes=[1, 3], datasets=[[1], [2, 3]]
data.Subset([1, 2], [1]) | dataset=[1, 2], indices=[1]
sch.StepLR(sgd(), 2) | base_lrs=[1.0], gamma=0.1, last_epoch=0, step_size=2
sch.StepLR(sgd(), 2, 0.3) | base_lrs=[1.0], gamma=0.3, last_epoch=0, step_size=2
sch.MultiStepLR(sgd(), [2, 3, 3]) | base_lrs=[1.0], gamma=0.1, last_epoch=0
sch.ConstantLR(sgd()) | base_lrs=[1.0], factor=0.3333333333333333, last_epoch=0, total_iters=5
sch.ConstantLR(sgd(), 0.3, 2) | base_lrs=[1.0], factor=0.3, last_epoch=0, total_iters=2
sch.LinearLR(sgd()) | base_lrs=[1.0], end_factor=1.0, last_epoch=0, start_factor=0.3333333333333333, total_iters=5
sch.LinearLR(sgd(), 0.3, 0.5, 2) | base_lrs=[1.0], end_factor=0.5, last_epoch=0, start_factor=0.3, total_iters=2
sch.ExponentialLR(sgd(), 0.3) | base_lrs=[1.0], gamma=0.3, last_epoch=0
sch.PolynomialLR(sgd()) | base_lrs=[1.0], last_epoch=0, power=1.0, total_iters=5
sch.PolynomialLR(sgd(), 3, 2.0) | base_lrs=[1.0], last_epoch=0, power=2.0, total_iters=3
sch.CosineAnnealingLR(sgd(), 3) | T_max=3, base_lrs=[1.0], eta_min=0.0, last_epoch=0
sch.CosineAnnealingLR(sgd(), 3, 0.01) | T_max=3, base_lrs=[1.0], eta_min=0.01, last_epoch=0
sch.CosineAnnealingWarmRestarts(sgd(), 3) | T_0=3, T_cur=0, T_i=3, T_mult=1, base_lrs=[1.0], eta_min=0.0, last_epoch=0
sch.CosineAnnealingWarmRestarts(sgd(), 3, 2, 0.01) |
    T_0=3, T_cur=0, T_i=3, T_mult=2, base_lrs=[1.0], eta_min=0.01, last_epoch=0
sch.CyclicLR(sgd(), 0.1, 1.0) |
    base_lrs=[0.1], base_momentums=[0.8], cycle_momentum=True, gamma=1.0, last_epoch=0, max_lrs=[1.0],
    max_momentums=[0.9], mode='triangular', scale_mode='cycle', step_ratio=0.5, total_size=4000.0, use_beta1=False
sch.CyclicLR(sgd(), 0.1, 1.0, 4, 2, "exp_range", 0.9, None, "cycle", True, 0.6, 0.7) |
    base_lrs=[0.1], base_momentums=[0.6], cycle_momentum=True, gamma=0.9, last_epoch=0, max_lrs=[1.0],
    max_momentums=[0.7], mode='exp_range', scale_mode='iterations', step_ratio=0.6666666666666666, total_size=6.0,
    use_beta1=False
sch.CyclicLR(sgd(), 0.1, 1.0, 4, mode="triangular2", scale_mode="iterations", cycle_momentum=False) |
    base_lrs=[0.1], cycle_momentum=False, gamma=1.0, last_epoch=0, max_lrs=[1.0], mode='triangular2',
    scale_mode='cycle', step_ratio=0.5, total_size=8.0
sch.CyclicLR(sgd(), 0.1, 1.0, 4, scale_fn=float, scale_mode="iterations") |
    base_lrs=[0.1], base_momentums=[0.8], cycle_momentum=True, gamma=1.0, last_epoch=0, max_lrs=[1.0],
    max_momentums=[0.9], mode='triangular', scale_mode='iterations', step_ratio=0.5, total_size=8.0,
    use_beta1=False
sch.OneCycleLR(sgd(), 1.0, 10) | base_lrs=[0.04], cycle_momentum=True, last_epoch=0, total_steps=10, use_beta1=False
sch.OneCycleLR(sgd(), 1.0, None, 2, 5, 0.4, "linear", False, three_phase=True) |
    base_lrs=[0.04], cycle_momentum=False, last_epoch=0, total_steps=10
sch.ReduceLROnPlateau(sgd()) |
    best=inf, cooldown=0, cooldown_counter=0, default_min_lr=0, eps=1e-08, factor=0.1, last_epoch=0, min_lrs=[0],
    mode='min', num_bad_epochs=0, patience=10, threshold=0.0001, threshold_mode='rel'
sch.ReduceLROnPlateau(sgd(), "max", 0.3, 2, 1e-2, "abs", 3, 0.1, 1e-3) |
    best=-inf, cooldown=3, cooldown_counter=0, default_min_lr=0.1, eps=0.001, factor=0.3, last_epoch=0,
    min_lrs=[0.1], mode='max', num_bad_epochs=0, patience=2, threshold=0.01, threshold_mode='abs'
"""


OBJECTS = [line.split(" | ") for line in KEPT.replace("\n    ", " ").strip().splitlines()]


@pytest.mark.parametrize(("source", "options"), OBJECTS, ids=[source for source, _ in OBJECTS])
def test_options_are_kept(source, options):
    it = made(source)
    for name, want in made(f"dict({options})").items():
        got = getattr(it, name)
        assert got == want and isinstance(got, bool) == isinstance(want, bool), f"{source}.{name} is {got}"


# ---- defaults: what a word stands for if it is not given, wherever it is taken ----

DEFAULTS = {
    "out": None, "dtype": None, "axis": None, "memory_format": None, "size_average": None, "reduce": None,
    "generator": None, "layout": None, "keepdims": None, "weight": None, "foreach": None, "fused": None,
    "rounding_mode": None, "validate_args": None, "divisor_override": None, "align_corners": None, "other": None,
    "scale_factor": None, "unbiased": None, "padding_idx": None, "max_norm": None, "output_size": None,
    "retain_graph": None, "nan": None, "posinf": None, "neginf": None,
    "keepdim": False, "inplace": False, "pin_memory": False, "ceil_mode": False, "return_indices": False,
    "maximize": False, "differentiable": False, "capturable": False, "create_graph": False, "batch_first": False,
    "accumulate": False, "strict": False, "equal_nan": False, "descending": False, "stable": False,
    "out_int32": False, "right": False, "return_inverse": False, "return_counts": False,
    "scale_grad_by_freq": False, "sparse": False, "full": False, "swap": False, "bidirectional": False,
    "amsgrad": False, "decoupled_weight_decay": False, "nesterov": False, "log_target": False,
    "zero_infinity": False, "add_zero_attn": False, "add_bias_kv": False, "norm_first": False, "hard": False,
    "count_include_pad": True, "periodic": True, "include_self": True, "log_input": True, "need_weights": True,
    "average_attn_weights": True, "enforce_sorted": True, "set_to_none": True,
    "reduction": "mean", "padding_mode": "zeros", "interpolation": "linear",
    "padding": 0, "output_padding": 0, "offset": 0, "diagonal": 0, "decimals": 0,
    "groups": 1, "dilation": 1, "last_epoch": -1, "ignore_index": -100, "label_smoothing": 0.0,
}  # fmt: skip
SPACES = [rt, F, rt.linalg, rt.Tensor, nn, rt.optim, lr_scheduler, init, U, rnn, rt.autograd, data,
          rt.autograd.functional, NAMES["D"], rt.optim.Optimizer]  # fmt: skip


def test_words_have_one_default():
    seen = set()
    for name, f in [(n, getattr(space, n)) for space in SPACES for n in dir(space) if not n.startswith("_")]:
        try:
            parameters = inspect.signature(f).parameters if callable(f) else {}
        except (TypeError, ValueError):
            continue
        for word, p in parameters.items():
            if p.default is p.empty or word not in DEFAULTS:
                continue
            seen.add(word)
            want = DEFAULTS[word]
            assert p.default == want and isinstance(p.default, bool) == isinstance(want, bool), f"{name}({word})"
    assert seen == set(DEFAULTS)


# ---- losses ----

X, Y = numbers(1, (4, 3)), numbers(2, (4, 3))
SIGNS = np.where(numbers(3, (4, 3)) > 0, 1.0, -1.0)
CLASSES = [0, 2, 1, 2]
# Each with the class and arguments that it takes; the last are those of the module's call.
LOSSES = {
    "l1_loss": ("L1Loss", (X, Y)),
    "mse_loss": ("MSELoss", (X, Y)),
    "smooth_l1_loss": ("SmoothL1Loss", (X, Y)),
    "cross_entropy": ("CrossEntropyLoss", (X, CLASSES)),
    "nll_loss": ("NLLLoss", (X, CLASSES)),
    "binary_cross_entropy": ("BCELoss", (1 / (1 + np.exp(-X)), (SIGNS + 1) / 2)),
    "binary_cross_entropy_with_logits": ("BCEWithLogitsLoss", (X, (SIGNS + 1) / 2)),
    "kl_div": ("KLDivLoss", (X, np.exp(Y))),
    "poisson_nll_loss": ("PoissonNLLLoss", (X, np.exp(Y))),
    "hinge_embedding_loss": ("HingeEmbeddingLoss", (X, SIGNS)),
    "cosine_embedding_loss": ("CosineEmbeddingLoss", (X, Y, SIGNS[:, 0])),
    "margin_ranking_loss": ("MarginRankingLoss", (X, Y, SIGNS)),
    "soft_margin_loss": ("SoftMarginLoss", (X, SIGNS)),
    "multilabel_soft_margin_loss": ("MultiLabelSoftMarginLoss", (X, (SIGNS + 1) / 2)),
    "multi_margin_loss": ("MultiMarginLoss", (X, CLASSES)),
    "multilabel_margin_loss": ("MultiLabelMarginLoss", (X, [[1, -1, 0], [0, 2, -1], [2, 1, 0], [-1, 0, 1]])),
    "triplet_margin_loss": ("TripletMarginLoss", (X, Y, X - Y)),
}


def arguments(name):
    return [tensor(a, I64 if isinstance(a, list) else rt.float64) for a in LOSSES[name][1]]


@pytest.mark.parametrize("name", LOSSES)
def test_old_words_for_reductions(name):
    """`reduce=False` is "none", else `size_average=False` is "sum"; given, they go before `reduction`."""
    f, cls, args = getattr(F, name), getattr(nn, LOSSES[name][0]), arguments(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = {r: f(*args, reduction=r) for r in ("none", "sum", "mean")}
    assert values["none"].ndim and not values["sum"].ndim and not values["mean"].ndim
    assert values["none"].sum().item() == pytest.approx(values["sum"].item())
    assert values["none"].mean().item() == pytest.approx(values["mean"].item())
    for size_average, reduce in itertools.product((None, True, False), repeat=2):
        if size_average is None and reduce is None:
            continue
        want = "none" if reduce is False else "sum" if size_average is False else "mean"
        other = "sum" if want == "none" else "none"
        with pytest.warns(UserWarning, match=f"use reduction='{want}'"):
            got = f(*args, size_average=size_average, reduce=reduce, reduction=other)
        assert got.tolist() == values[want].tolist(), (size_average, reduce)
        with pytest.warns(UserWarning, match=f"use reduction='{want}'"):
            loss = cls(size_average=size_average, reduce=reduce, reduction=other)
        assert loss.reduction == want
    for bad in ("average", "batchmeans", None):
        with pytest.raises((ValueError, TypeError)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            f(*args, reduction=bad)


def margins(x, t, p, margin, weight):
    others = [max(0.0, margin - x[t] + x[i]) ** p for i in range(len(x)) if i != t]
    return weight[t] * sum(others) / len(x)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 3.0]])
def test_multi_margin_loss_of_rows_and_of_one(p, weight):
    options = {"p": p, "margin": 0.7, "weight": weight and tensor(weight)}
    want = [margins(row, t, p, 0.7, weight or [1.0] * 3) for row, t in zip(X, CLASSES)]
    x = tensor(X)
    for reduction, of in (("none", lambda v: v), ("sum", np.sum), ("mean", np.mean)):
        got = F.multi_margin_loss(x, rt.tensor(CLASSES), **options, reduction=reduction)
        np.testing.assert_allclose(got.numpy(), of(want))
        for i, t in enumerate(CLASSES):
            for target in (rt.tensor(t), rt.tensor([t])):
                one = F.multi_margin_loss(x[i], target, **options, reduction=reduction)
                np.testing.assert_allclose(one.numpy().reshape(()), want[i])
                assert one.shape == (target.shape if reduction == "none" else ())
    if weight is None:
        assert F.multi_margin_loss(tensor(2.0), rt.tensor(0), **options).item() == 0
        assert nn.MultiMarginLoss(p, 0.7, reduction="sum")(x, rt.tensor(CLASSES)).item() == pytest.approx(sum(want))


def test_multilabel_margin_loss_of_rows_and_of_one():
    targets = LOSSES["multilabel_margin_loss"][1][1]
    want = []
    for row, labels in zip(X, targets):
        own = labels[: labels.index(-1)] if -1 in labels else labels
        rest = [i for i in range(3) if i not in own]
        want.append(sum(max(0.0, 1 - row[t] + row[i]) for t in own for i in rest) / 3)
    x, t = arguments("multilabel_margin_loss")
    np.testing.assert_allclose(F.multilabel_margin_loss(x, t, reduction="none").numpy(), want)
    assert F.multilabel_margin_loss(x, t).item() == pytest.approx(np.mean(want))
    for i in range(4):
        one = F.multilabel_margin_loss(x[i], t[i], reduction="none")
        assert one.shape == () and one.item() == pytest.approx(want[i])


# ---- lazy modules ----

LAZY_NORMS = [f"{kind}Norm{n}d" for kind in ("Batch", "Instance") for n in (1, 2, 3)]


@pytest.mark.parametrize("name", LAZY_NORMS)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("track", [False, True])
def test_lazy_norms_become_what_their_options_say(name, affine, bias, track):
    options = {"eps": 1e-3, "momentum": 0.3, "affine": affine, "track_running_stats": track, "dtype": rt.float64}
    shape = (2, 3, *(4,) * int(name[-2]))
    lazy = getattr(nn, "Lazy" + name)(**options, bias=bias)
    plain = getattr(nn, name)(3, **options, bias=bias)
    assert lazy.has_uninitialized_params() == (affine or track) and lazy.num_features == 0
    x = tensor(numbers(4, shape))
    assert lazy(x).tolist() == plain(x).tolist()
    assert list(lazy.state_dict()) == list(plain.state_dict())
    assert (lazy.weight is None) == (not affine) and (lazy.bias is None) == (not (affine and bias))
    for key, value in plain.state_dict().items():
        assert lazy.state_dict()[key].tolist() == value.tolist()
        assert lazy.state_dict()[key].dtype is value.dtype
    assert [p.requires_grad for p in lazy.parameters()] == [p.requires_grad for p in plain.parameters()]
    if affine or track:
        assert type(lazy) is type(plain) and lazy.num_features == 3


@pytest.mark.parametrize("bias", [False, True])
def test_lazy_layers_have_a_bias_if_they_should(bias):
    for lazy, plain, size in (
        (nn.LazyLinear(3, bias, dtype=rt.float64), nn.Linear(2, 3, bias, dtype=rt.float64), (1, 2)),
        (nn.LazyConv1d(3, 2, bias=bias, dtype=rt.float64), nn.Conv1d(2, 3, 2, bias=bias), (1, 2, 4)),
        (nn.LazyConvTranspose2d(3, 2, bias=bias, dtype=rt.float64), nn.ConvTranspose2d(2, 3, 2), (1, 2, 4, 4)),
    ):
        assert (lazy.bias is None) == (not bias) and lazy.has_uninitialized_params()
        lazy(rt.ones(size, dtype=rt.float64))
        assert type(lazy) is type(plain) and lazy.weight.shape == plain.weight.shape
        assert {p.dtype for p in lazy.parameters()} == {rt.float64} and len(list(lazy.parameters())) == 1 + bias


# ---- averages ----


class Watching(nn.Module):
    """Says how it is called."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.seen = []

    def forward(self, x):
        self.seen.append((rt.is_grad_enabled(), self.training, self.norm.momentum, tuple(x.shape)))
        return self.norm(x)


@pytest.mark.parametrize("training", [False, True])
def test_update_bn_records_nothing(training):
    model = Watching().train(training)
    swa_utils.update_bn([rt.ones(3, 2), [rt.ones(2, 2), 1], (rt.ones(4, 2),)], model)
    assert model.seen == [(False, True, None, (n, 2)) for n in (3, 2, 4)]
    assert model.training is training and model.norm.momentum == 0.1 and rt.is_grad_enabled()


@pytest.mark.parametrize("how", [{}, {"avg_fn": swa_utils.get_ema_avg_fn(0.5)},
                                 {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.5)}])  # fmt: skip
@pytest.mark.parametrize("use_buffers", [False, True])
def test_averages_are_copies_without_a_history(how, use_buffers):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    mean = swa_utils.AveragedModel(model, **how, use_buffers=use_buffers)
    places = {id(p) for p in mean.module.parameters()}
    for _ in range(3):
        mean.update_parameters(model)
        model(rt.randn(4, 2)).sum().backward()
        rt.optim.SGD(model.parameters(), lr=0.1).step()
    assert {id(p) for p in mean.module.parameters()} == places
    assert all(p.is_leaf and p.requires_grad and p.grad is None for p in mean.module.parameters())
    assert mean.n_averaged.item() == 3 and "n_averaged" in mean.state_dict()
    for ours, theirs in zip(mean.module.state_dict().values(), model.state_dict().values()):
        assert ours.data_ptr() != theirs.data_ptr()
    x = rt.randn(3, 2)
    assert mean.eval()(x).tolist() == mean.module.eval()(x).tolist()


# ---- files ----


def test_room_of_values_besides_the_tensors(tmp_path, monkeypatch):
    """Each comma and bracket counts 64 bytes, each brace 200: of the description that a file carries."""
    for kept in ([], [1, 2, 3], {"a": 1}, [{"a": [1]}, {"b": {"c": 2}}], {"a": {}, "b": [{}, {}]}):
        rt.save(kept, tmp_path / "file")
        skeleton, _ = serialization._contents(kept)[1].get(serialization._KEY, ""), 0
        size = 64 * (skeleton.count(",") + skeleton.count("[")) + 200 * skeleton.count("{")
        assert serialization._cost(skeleton) == size
        monkeypatch.setattr(serialization, "_ROOM", size)
        rt.save(kept, tmp_path / "file")
        assert rt.load(tmp_path / "file") == kept
        if size:
            monkeypatch.setattr(serialization, "_ROOM", size - 1)
            with pytest.raises(rt.errors.InvalidArgumentError, match="too many values besides"):
                rt.save(kept, tmp_path / "other")
            assert not (tmp_path / "other").exists()
            with pytest.raises((RuntimeError, OSError, ValueError)):
                rt.load(tmp_path / "file")
        monkeypatch.undo()


# ---- distributions ----

D = NAMES["D"]
SAMPLED = {
    "Normal": lambda p: D.Normal(p, p.exp()),
    "LogNormal": lambda p: D.LogNormal(p, p.exp()),
    "Laplace": lambda p: D.Laplace(p, p.exp()),
    "Uniform": lambda p: D.Uniform(p, p + 1),
    "Exponential": lambda p: D.Exponential(p.exp()),
    "Bernoulli": lambda p: D.Bernoulli(logits=p),
    "Bernoulli of probs": lambda p: D.Bernoulli(p.sigmoid()),
    "Categorical": lambda p: D.Categorical(logits=p),
    "Categorical of probs": lambda p: D.Categorical(p.sigmoid()),
    "OneHotCategorical": lambda p: D.OneHotCategorical(logits=p),
    "Independent": lambda p: D.Independent(D.Normal(p, p.exp()), 1),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_have_no_history(name):
    p = tensor(numbers(5, (2, 3)), requires_grad=True)
    d = SAMPLED[name](p)
    assert isinstance(repr(d), str) and d.batch_shape + d.event_shape in ((2, 3), (2,))
    for shape in ((), (4,), (2, 1)):
        sample = d.sample(shape)
        assert not sample.requires_grad and sample.shape == (*shape, *d.batch_shape, *d.event_shape)
        density = d.log_prob(sample)
        assert density.requires_grad and density.shape == (*shape, *d.batch_shape)
    (slope,) = rt.autograd.grad(d.log_prob(d.sample()).sum() + d.entropy().sum(), p)
    assert slope.isfinite().all().item()
    if hasattr(d, "logits") or name in ("Categorical", "OneHotCategorical"):
        with pytest.raises(NotImplementedError, match="no rsample"):
            d.rsample()
    else:
        assert d.rsample((5,)).requires_grad and d.rsample((5,)).shape == (5, 2, 3)


@pytest.mark.parametrize("kind", [D.Bernoulli, D.Categorical])
@pytest.mark.parametrize("given", ["probs", "logits"])
def test_the_other_parameter_has_a_history_whoever_asks_first(kind, given):
    p = tensor([0.2, 0.3, 0.5], requires_grad=True)
    d, other = kind(**{given: p}), "logits" if given == "probs" else "probs"
    with rt.no_grad():
        first = getattr(d, other)
    assert getattr(d, other) is first and first.requires_grad
    values = p.detach().numpy()
    if kind is D.Bernoulli:
        want = np.log(values / (1 - values)) if given == "probs" else 1 / (1 + np.exp(-values))
    else:
        want = np.log(values) if given == "probs" else np.exp(values) / np.exp(values).sum()
    np.testing.assert_allclose(first.detach().numpy(), want)
    with pytest.raises(AttributeError, match="no attribute 'odds'"):
        d.odds  # noqa: B018


def integral(f, low, high, n=200_001):
    x = np.linspace(low, high, n)
    y = f(x)
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())


DIVERGENCES = [
    (lambda: D.Normal(0.3, 0.7), lambda: D.Normal(-0.2, 1.9), (-8, 8)),
    (lambda: D.LogNormal(0.1, 0.4), lambda: D.LogNormal(-0.3, 0.9), (1e-6, 12)),
    (lambda: D.Uniform(0.5, 2.25), lambda: D.Uniform(-1.0, 4.5), (0.5, 2.25)),
    (lambda: D.Uniform(-3.0, -1.25), lambda: D.Uniform(-3.5, 0.25), (-3.0, -1.25)),
    (lambda: D.Exponential(1.7), lambda: D.Exponential(0.6), (0, 25)),
    (lambda: D.Laplace(0.4, 0.8), lambda: D.Laplace(-0.5, 1.3), (-20, 20)),
]


@pytest.mark.parametrize(("p", "q", "bounds"), DIVERGENCES)
def test_divergences_and_moments_are_integrals(p, q, bounds):
    rt.set_default_dtype(rt.float64)
    try:
        p, q = p(), q()

        def density(x, d):
            return d.log_prob(rt.from_numpy(x)).numpy()

        low, high = bounds
        if isinstance(p, D.Uniform):  # whose density has no value at its upper end
            high -= 1e-9
        weight = {"kl": lambda x: density(x, p) - density(x, q), "entropy": lambda x: -density(x, p)}
        found = {k: integral(lambda x, f=f: np.exp(density(x, p)) * f(x), low, high) for k, f in weight.items()}
        assert D.kl_divergence(p, q).item() == pytest.approx(found["kl"], rel=1e-4)
        assert p.entropy().item() == pytest.approx(found["entropy"], rel=1e-4)
        mean = integral(lambda x: np.exp(density(x, p)) * x, low, high)
        square = integral(lambda x: np.exp(density(x, p)) * x * x, low, high)
        assert p.mean.item() == pytest.approx(mean, rel=1e-4)
        assert p.variance.item() == pytest.approx(square - mean**2, rel=1e-3)
        assert p.stddev.item() == pytest.approx(math.sqrt(p.variance.item()))
        assert p.perplexity().item() == pytest.approx(math.exp(p.entropy().item()))
        assert D.kl_divergence(p, p).item() == pytest.approx(0, abs=1e-12)
    finally:
        rt.set_default_dtype(rt.float32)


def test_divergence_without_an_end():
    for low, high in ((0.5, 3.0), (-0.5, 0.75), (-1.0, 2.0)):
        assert D.kl_divergence(D.Uniform(low, high), D.Uniform(0.0, 1.0)).item() == math.inf
    assert D.kl_divergence(D.Uniform(0.0, 1.0), D.Uniform(0.0, 1.0)).item() == 0
    a, b = np.array([0.2, 0.8]), np.array([0.5, 0.5])
    want = (a * np.log(a / b)).sum()
    assert D.kl_divergence(D.Categorical(tensor(a)), D.Categorical(tensor(b))).item() == pytest.approx(want)
    assert D.kl_divergence(D.Bernoulli(tensor(0.2)), D.Bernoulli(tensor(0.5))).item() == pytest.approx(want)
    assert D.kl_divergence(D.Categorical(tensor([0.5, 0.5])), D.Categorical(tensor([1.0, 0.0]))).item() == math.inf
    assert D.kl_divergence(*[D.Categorical(tensor([1.0, 0.0]))] * 2).item() == 0
    both = [D.Independent(D.Normal(rt.full((3, 2), m), 1.0), 1) for m in (0.0, 2.0)]
    assert D.kl_divergence(*both).tolist() == pytest.approx([4.0] * 3)


# ---- containers ----


def layers(n):
    return [nn.Linear(1, i + 1) for i in range(n)]


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList])
def test_lists_of_modules_are_like_lists(kind):
    make = (lambda ms: nn.Sequential(*ms)) if kind is nn.Sequential else nn.ModuleList
    places = [*range(-4, 4), slice(None), slice(1, 3), slice(None, None, 2), slice(-2, None), slice(5, 9), slice(2, 0)]
    for place in places:
        plain = layers(4)
        held = make(plain)
        got = held[place]
        if isinstance(place, slice):
            assert type(got) is kind and list(got) == plain[place]
        else:
            assert got is plain[place]
            new = nn.ReLU()
            held[place] = plain[place] = new
            assert list(held) == plain and list(held._modules) == ["0", "1", "2", "3"]
            assert held.pop(place) is plain.pop(place) and list(held) == plain
            held = make(plain := layers(4))
        del held[place]
        del plain[place]
        assert list(held) == plain and list(held._modules) == [str(i) for i in range(len(plain))]
    for place in range(-4, 5):
        plain, new = layers(4), nn.ReLU()
        held = make(plain)
        held.insert(place, new)
        plain.insert(place, new)
        assert list(held) == plain and list(held._modules) == [str(i) for i in range(5)]
    plain = layers(2)
    held = make(plain)
    held.extend(held)
    assert list(held) == plain * 2 and held.append(plain[0]) is held and len(held) == 5
    assert held.extend(m for m in plain) is held and list(held) == [*plain * 2, plain[0], *plain]
    both = make(plain) + make(plain[:1])
    assert type(both) is kind and list(both) == [*plain, plain[0]]
    same = held = make(plain)
    held += held
    assert held is same and list(held) == plain * 2
    if kind is nn.Sequential:
        assert list(make(plain) * 3) == list(3 * make(plain)) == plain * 3
        held = same = make(plain)
        held *= 3
        assert held is same and list(held) == plain * 3


def test_lists_of_parameters_are_like_lists():
    values = [nn.Parameter(rt.ones(i + 1)) for i in range(4)]
    held = nn.ParameterList(v for v in values)
    for place in [*range(-4, 4), slice(None), slice(1, 3), slice(-2, None)]:
        got = held[place]
        if isinstance(place, slice):
            assert type(got) is nn.ParameterList and all(a is b for a, b in zip(got, values[place], strict=True))
        else:
            assert got is values[place]
    for wrong in (4, -5):
        with pytest.raises(IndexError):
            held[wrong]
    held.extend(held)
    assert len(held) == 8 and all(a is b for a, b in zip(held, values * 2))
    held = nn.ParameterList(values[:1])
    held += (v for v in values[1:])
    assert [len(v) for v in held] == [1, 2, 3, 4] and list(dict(held.named_parameters())) == ["0", "1", "2", "3"]
    held[-1] = values[0]
    assert held[3] is values[0] and held.append(rt.ones(2)) is held and isinstance(held[4], nn.Parameter)


def test_dicts_of_modules_and_parameters_are_like_dicts():
    kinds = ((nn.ModuleDict, lambda n: nn.Linear(1, n)), (nn.ParameterDict, lambda n: nn.Parameter(rt.ones(n))))
    for kind, make in kinds:
        first = {k: make(i + 1) for i, k in enumerate("cab")}
        for given in (first, iter(first.items()), [list(pair) for pair in first.items()], kind(first.items())):
            held = kind(given)
            order = "abc" if given is first and kind is nn.ParameterDict else "cab"  # a plain dict is sorted there
            assert list(held) == list(held.keys()) == [k for k, _ in held.items()] == list(order) and len(held) == 3
            assert all(held[k] is v and k in held for k, v in first.items()) and "d" not in held
            assert all(a is first[k] for a, k in zip(held.values(), order, strict=True))
        new = make(5)
        held.update({"a": new, "d": new})
        assert list(held) == list("cabd") and held["a"] is held["d"] is new
        assert held.pop("a") is new and list(held) == list("cbd")
        del held["c"]
        assert list(held) == list("bd")
        with pytest.raises(KeyError):
            held.pop("c")
        held.clear()
        assert not len(held) and not list(held.parameters())
    held = nn.ParameterDict({"a": rt.ones(1), "b": rt.ones(2)})
    other = held.copy()
    other["c"] = rt.ones(3)
    assert list(held) == ["a", "b"] and list(other) == ["a", "b", "c"] and other["a"] is held["a"]
    assert list(reversed(other)) == ["c", "b", "a"] and other.popitem()[0] == "c"
    right = nn.ParameterDict({"b": rt.zeros(2), "d": rt.ones(4)})
    both = held | right
    assert list(both) == ["a", "b", "d"] and both["b"] is right["b"] and list(held) == ["a", "b"]
    assert list(right) == ["b", "d"] and held["b"] is not right["b"]
    held |= right
    assert list(held) == ["a", "b", "d"] and held["b"] is right["b"]
    assert held.setdefault("a", rt.ones(9)) is held["a"] and len(held["a"]) == 1
    assert held.setdefault("e", rt.ones(5)).shape == (5,) and held.get("z") is None and held.get("a") is held["a"]
    assert list(held.fromkeys(["x", "y"], 1.0)) == ["x", "y"]


# ---- what is any iterable, and is read once ----


def test_iterators_are_taken_for_lists():
    ps = [nn.Parameter(rt.ones(2)) for _ in range(3)]
    for p in ps:
        p.grad = rt.full((2,), 3.0)
    each = math.sqrt(3 * 2 * 9)
    assert U.clip_grad_norm_((p for p in ps), 1.0).item() == pytest.approx(each)
    assert U.get_total_norm(p.grad for p in ps).item() == pytest.approx(1.0, rel=1e-4)
    U.clip_grad_value_((p for p in ps), 0.1)
    assert all(p.grad.abs().max().item() <= 0.1 + 1e-7 for p in ps)
    U.clip_grads_with_norm_((p for p in ps), 0.01, rt.tensor(1.0))
    assert ps[2].grad.tolist() == pytest.approx([0.001] * 2, rel=1e-3)
    assert U.parameters_to_vector(p for p in ps).shape == (6,)
    U.vector_to_parameters(rt.arange(6.0), (p for p in ps))
    assert [p.tolist() for p in ps] == [[0, 1], [2, 3], [4, 5]]
    assert rnn.pad_sequence(p.detach() for p in ps).shape == (2, 3)
    assert rt.optim.Adam(ps, betas=[0.5, 0.6]).defaults["betas"] == (0.5, 0.6)
    assert len(rt.optim.SGD((p for p in ps), lr=1).param_groups[0]["params"]) == 3
    assert data.ConcatDataset(part for part in ([1, 2], [3]))[2] == 3
    assert rt.zeros(iter([2, 3])).shape == (2, 3) and rt.broadcast_shapes([2, 1], [3]) == (2, 3)
    assert nn.LayerNorm([2, 3]).normalized_shape == nn.RMSNorm([2, 3]).normalized_shape == (2, 3)
    assert F.interpolate(rt.ones(1, 1, 2, 2), [3, 4]).shape == F.interpolate(rt.ones(1, 1, 2, 2), (3, 4)).shape
    assert F.adaptive_avg_pool2d(rt.ones(1, 2, 2), [1, 2]).shape == (1, 1, 2)
    assert [t.tolist() for t in rt.meshgrid([rt.arange(2), rt.arange(1)], indexing="ij")] == [[[0], [1]], [[0], [0]]]
    assert rt.cartesian_prod(*(rt.arange(2) for _ in range(2))).shape == (4, 2)
    assert rt.tensordot(rt.ones(2, 3), rt.ones(2, 3), [[0, 1], [0, 1]]).item() == 6
    calls = []
    hook = rt.autograd.graph.register_multi_grad_hook((p for p in ps), calls.append)
    sum(p.sum() for p in ps).backward()
    assert len(calls) == 1 and len(calls[0]) == 3
    hook.remove()


# ---- results that are copies ----

COPIED = {
    "tensor": lambda x: rt.tensor(x),
    "clone": lambda x: x.clone(),
    "to": lambda x: x.to(x.dtype, copy=True),
    "asarray": lambda x: rt.asarray(x, copy=True),
    "diff": lambda x: rt.diff(x, n=0),
    "interpolate": lambda x: F.interpolate(x.reshape(1, 1, 2, 3), (2, 3)).reshape(2, 3),
    "bilinear": lambda x: F.interpolate(x.reshape(1, 1, 2, 3), (2, 3), mode="bilinear").reshape(2, 3),
    "area": lambda x: F.interpolate(x.reshape(1, 1, 2, 3), (2, 3), mode="area").reshape(2, 3),
    "channel_shuffle": lambda x: F.channel_shuffle(x.reshape(1, 2, 3), 1).reshape(2, 3),
    "deepcopy": lambda x: copy.deepcopy(x),
    "repeat": lambda x: x.repeat(1, 1),
    "numpy": lambda x: rt.tensor(x.numpy()),
    "list": lambda x: rt.stack([x])[0],
    "collate": lambda x: data.default_collate([x])[0],
    "parameters": lambda x: U.parameters_to_vector([x]).reshape(2, 3),
    "pad": lambda x: F.pad(x, (0, 0)),
    "max_unpool": lambda x: F.max_unpool1d(x, rt.tensor([[0, 1, 2]] * 2), 1),
    "__array__": lambda x: rt.from_numpy(np.array(x)),
}  # fmt: skip


@pytest.mark.parametrize("name", COPIED)
def test_results_that_are_copies(name):
    x = rt.arange(6.0).reshape(2, 3)
    y = COPIED[name](x)
    assert y.tolist() == x.tolist()
    y.zero_()
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_states_are_taken_as_copies():
    p = nn.Parameter(rt.ones(2))
    opt = rt.optim.Adam([p], lr=0.1)
    p.grad = rt.ones(2)
    opt.step()
    state = opt.state_dict()
    other = rt.optim.Adam([nn.Parameter(rt.ones(2))], lr=0.2)
    before = {k: list(v) if isinstance(v, list) else v for k, v in state.items()}
    other.load_state_dict(state)
    mine = other.state[other.param_groups[0]["params"][0]]
    mine["exp_avg"].zero_()
    other.param_groups[0]["lr"] = 7
    assert opt.state[p]["exp_avg"].tolist() == pytest.approx([0.1, 0.1]) and opt.param_groups[0]["lr"] == 0.1
    assert state.keys() == before.keys() and state["param_groups"][0]["params"] == [0]
    options = rt.get_printoptions()
    options["precision"] = 9
    assert repr(rt.tensor([1 / 3])) == "tensor([0.3333])"
    # Rates that are tensors: what a scheduler starts from does not move with them.
    opt = rt.optim.SGD([p], lr=rt.tensor(1.0))
    rate = opt.param_groups[0]["lr"]
    scheduler = lr_scheduler.ExponentialLR(opt, 0.5)
    kept = scheduler.get_last_lr()
    opt.step()
    scheduler.step()
    assert opt.param_groups[0]["lr"] is rate and rate.item() == 0.5 and kept[0].item() == 1.0
    assert opt.param_groups[0]["initial_lr"].item() == scheduler.base_lrs[0].item() == 1.0
    assert scheduler.get_last_lr()[0].item() == 0.5


def test_state_dicts_share_memory_without_a_history():
    model = nn.BatchNorm1d(2)
    for keep in (False, True):
        state = model.state_dict(keep_vars=keep)
        assert [t.requires_grad for t in state.values()] == [keep, keep, False, False, False]
        assert (state["weight"] is model.weight) == (state["running_mean"] is model.running_mean) == keep
        assert state["weight"].data_ptr() == model.weight.data_ptr()
    (model(rt.ones(3, 2)) * model.weight).sum().backward()
    grad = model.weight.grad
    model.zero_grad(set_to_none=False)
    assert model.weight.grad.data_ptr() == grad.data_ptr() and grad.tolist() == [0, 0]
    rt.autograd.backward((model(rt.ones(3, 2)) * model.weight).sum(), create_graph=True)
    model.zero_grad(set_to_none=False)
    assert model.weight.grad.tolist() == [0, 0] and not model.weight.grad.requires_grad
    model.zero_grad()
    assert model.weight.grad is None


# ---- functions of modules ----


def test_a_module_is_as_before_after_a_functional_call():
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2)
            self.register_buffer("scale", rt.ones(1))

        def forward(self, x, fail=False):
            if fail:
                raise KeyError("on purpose")
            return self.inner(x) * self.scale

    model = Failing()
    weight, scale = model.inner.weight, model.scale
    given = {"inner.weight": rt.zeros(2, 2), "inner.bias": rt.ones(2), "scale": rt.full((1,), 3.0)}
    for args in (rt.ones(1, 2), (rt.ones(1, 2),)):
        assert rt.func.functional_call(model, given, args).tolist() == [[3.0, 3.0]]
        assert model.inner.weight is weight and model.scale is scale
    with pytest.raises(KeyError, match="on purpose"):
        rt.func.functional_call(model, given, rt.ones(1, 2), {"fail": True})
    assert model.inner.weight is weight and model.scale is scale
    parts = ({"inner.weight": rt.zeros(2, 2)}, {"inner.bias": rt.ones(2)})
    assert rt.func.functional_call(model, parts, kwargs={"x": rt.ones(1, 2)}).tolist() == [[1.0, 1.0]]
    rt.func.functional_call(model, given, rt.ones(1, 2), strict=True)
    for wrong in ({"scale": scale}, {**given, "more": scale}):
        with pytest.raises(RuntimeError, match="missing"):
            rt.func.functional_call(model, wrong, rt.ones(1, 2), strict=True)
    tied = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    tied[1].weight = tied[0].weight
    one = {"0.weight": 2 * rt.eye(2)}
    with rt.no_grad():
        tied[0].weight.copy_(rt.eye(2))
    assert rt.func.functional_call(tied, one, rt.ones(1, 2)).tolist() == [[4.0, 4.0]]
    assert rt.func.functional_call(tied, one, rt.ones(1, 2), tie_weights=False).tolist() == [[2.0, 2.0]]
    assert tied[1].weight is tied[0].weight


@pytest.mark.parametrize("recording", [True, False])
def test_transforms_record_on_their_own(recording):
    x = tensor([1.0, 2.0])
    with rt.set_grad_enabled(recording):
        gradient, (value, beside) = rt.func.grad_and_value(lambda t: ((t**3).sum(), t * 2), has_aux=True)(x)
        assert gradient.tolist() == [3.0, 12.0] and value.item() == 9 and beside.tolist() == [2.0, 4.0]
        out, product = rt.func.vjp(lambda t: t * t, x)
        assert out.tolist() == [1, 4] and product(tensor([1.0, 10.0]))[0].tolist() == [2.0, 40.0]
        assert rt.func.jacrev(lambda t: t * t)(x).tolist() == [[2, 0], [0, 4]]
        assert rt.func.hessian(lambda t: (t**3).sum())(x).tolist() == [[6, 0], [0, 12]]
        for t in (gradient, value, beside, out):
            assert not t.requires_grad
        two = rt.func.grad(lambda a, b: (a * b * b).sum(), argnums=(0, 1))(x, x)
        assert [g.tolist() for g in two] == [[1, 4], [2, 8]]
        assert rt.func.grad(lambda a, b: (a * b * b).sum(), argnums=1)(x, x).tolist() == [2, 8]
        assert rt.func.grad(lambda a: tensor(1.0))(x).tolist() == [0, 0]
        A = rt.autograd.functional
        assert A.vjp(lambda t: (t * t).sum(), x)[1].tolist() == [2, 4]
        assert A.jvp(lambda t: t * t, x, tensor([1.0, 1.0]))[1].tolist() == [2, 4]
        assert A.jacobian(lambda t: t * t, x).tolist() == [[2, 0], [0, 4]]
        assert A.hessian(lambda t: (t**3).sum(), x).tolist() == [[6, 0], [0, 12]]
        assert A.vhp(lambda t: (t**3).sum(), x, tensor([1.0, 1.0]))[1].tolist() == [6, 12]
        assert A.hvp(lambda t: (t**3).sum(), x, tensor([1.0, 1.0]))[1].tolist() == [6, 12]
    assert not x.requires_grad and x.grad is None


# ---- numbers, sequences and buffers that are read as tensors ----


class Whole:
    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


class Kind(int):
    pass


class Share(float):
    pass


def test_numbers_of_other_classes():
    x = rt.ones(2)
    assert (x + Kind(2)).tolist() == (x * Share(3.0)).tolist() == [3, 3]
    assert rt.add(x, Kind(2), alpha=Share(0.5)).tolist() == [2, 2] and rt.full((2,), Kind(4)).dtype is I64
    assert rt.full((2,), Share(4)).dtype is rt.float32 and rt.full((2,), np.float64(4)).tolist() == [4, 4]
    assert rt.full((1,), rt.tensor(3)).tolist() == [3]
    assert rt.tensor(Kind(5)).dtype is I64 and rt.tensor(Share(5)).dtype is rt.float32
    assert rt.tensor([Kind(1), 2.5]).tolist() == [1.0, 2.5]
    half = rt.tensor([Fraction(1, 2), 2])
    assert half.tolist() == [0.5, 2.0] and half.dtype is rt.tensor(Fraction(1, 2)).dtype is rt.float32
    assert rt.tensor([True, Fraction(1, 4)]).tolist() == [1.0, 0.25] and rt.tensor(Whole(3)).dtype is I64
    assert rt.tensor([True, False]).dtype is rt.bool and rt.tensor([]).dtype is rt.float32
    assert rt.tensor([1, 2.5], dtype=rt.float64).tolist() == [1.0, 2.5] and rt.tensor([[], []]).shape == (2, 0)
    assert rt.tensor([0.0, 2.0, math.nan], dtype=rt.bool).tolist() == [False, True, True]
    assert rt.tensor([-1], dtype=rt.uint8).tolist() == [255] and rt.tensor([2.9], dtype=I64).tolist() == [2]
    for bad, dtype in ((-1.5, rt.uint8), (256, rt.uint8), (-257, rt.uint8), (math.nan, I64), (128, rt.int8)):
        with pytest.raises((RuntimeError, ValueError), match="without overflow"):
            rt.tensor([bad], dtype=dtype)
    endless = []
    endless.append(endless)
    with pytest.raises((RuntimeError, ValueError), match="dim 64 holds itself"):
        rt.tensor(endless)
    with pytest.raises((RuntimeError, ValueError), match="dim 1"):
        rt.tensor([1, [2]])


def test_arrays_of_any_layout():
    a = np.arange(6.0).reshape(2, 3)
    for other in (a.T, a[::-1], a[:, ::2], np.asfortranarray(a), a.astype(">f8"), a.astype(">i4"), a[:0], a[0, 1]):
        t = rt.tensor(other)
        assert t.tolist() == other.tolist() and t.shape == other.shape
        assert rt.tensor(other, dtype=rt.float32).dtype is rt.float32
    assert rt.tensor(a.astype(">i4")).dtype is rt.int32 and rt.tensor(a.astype("?")).dtype is rt.bool
    assert rt.tensor(a.astype(np.uint16)).dtype is rt.uint16 and rt.tensor(a.astype(">u8")).dtype is rt.uint64
    raw = np.zeros(3, dtype=[("pad", "i1"), ("x", "<f4")])
    with pytest.raises((RuntimeError, ValueError), match="whole elements"):
        rt.from_numpy(raw["x"])
    shared = np.arange(3)
    rt.from_numpy(shared)[0] = 7
    assert shared[0] == 7 and rt.from_numpy(shared[1:]).tolist() == [1, 2]


def test_dlpack_of_any_age():
    class Old:
        """Knows nothing of versions."""

        def __init__(self, t):
            self.t = t

        def __dlpack__(self, stream=None):
            return self.t.__dlpack__()

    t = rt.arange(3.0)
    same = rt.from_dlpack(Old(t))
    assert same.data_ptr() == t.data_ptr() and same.tolist() == [0, 1, 2]
    assert rt.from_dlpack(t).data_ptr() == t.data_ptr() and not rt.from_dlpack(t.requires_grad_()).requires_grad
    copied = rt.tensor(Old(t.detach()))
    assert copied.data_ptr() != t.data_ptr() and copied.tolist() == [0, 1, 2]
    assert rt.tensor(Old(t.detach()), dtype=I64).dtype is I64


def test_indices_without_dimensions():
    x = rt.arange(6).reshape(2, 3)
    a = x.numpy()
    one, on = np.array(1), np.array(True)
    for index in (
        (rt.tensor(1), one), (rt.tensor(True), on), (rt.tensor(False), ~on), (True, True), (False, False),
        ((0, rt.tensor(2)), (0, 2)), ((Ellipsis, rt.tensor(1)), (Ellipsis, 1)), ((None, 1), (None, 1)),
        ((Ellipsis, rt.tensor([True, False, True])), (Ellipsis, np.array([True, False, True]))),
        ((Ellipsis, np.array([True, False, True])), (Ellipsis, np.array([True, False, True]))),
        ((Ellipsis, [True, False, True]), (Ellipsis, [True, False, True])),
        ((rt.tensor([True, False]), Ellipsis), (np.array([True, False]), Ellipsis)),
        ((rt.ones(2, 3, dtype=rt.bool), Ellipsis), (np.ones((2, 3), bool), Ellipsis)),
        ((Ellipsis, rt.ones(2, 3, dtype=rt.bool)), (Ellipsis, np.ones((2, 3), bool))),
        ((slice(None), [2, 0]), (slice(None), [2, 0])), ((Whole(1), Whole(-1)), (1, -1)),
    ):  # fmt: skip
        got, want = x[index[0]], a[index[1]]
        assert got.tolist() == want.tolist() and got.shape == want.shape, index
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert x[rt.tensor([1, 0], dtype=rt.uint8)].tolist() == [[0, 1, 2]]
        assert x[rt.tensor(1, dtype=rt.uint8)].tolist() == [[[0, 1, 2], [3, 4, 5]]]
        assert x[..., rt.tensor([1, 0, 1], dtype=rt.uint8)].tolist() == [[0, 2], [3, 5]]


def test_results_written_over_their_inputs():
    x = rt.arange(5.0)
    with pytest.raises(RuntimeError, match="shares memory with an input"):
        rt.add(x[:3], 1, out=x[1:4])
    assert rt.add(x, 1, out=x) is x and x.tolist() == [1, 2, 3, 4, 5]
    rt.add(x[:2], 1, out=x[3:])
    assert x.tolist() == [1, 2, 3, 2, 3]
    with pytest.raises(RuntimeError):
        rt.add(rt.ones(2, 1), rt.ones(3), out=rt.ones(2, 1).expand(2, 3))
    out = rt.empty(0)
    assert rt.add(x, 1, out=out) is out and out.tolist() == [2, 3, 4, 3, 4]
    with pytest.warns(UserWarning, match="resized"):
        rt.add(x, 1, out=rt.ones(2))
    assert rt.add(x.long(), 1, out=rt.empty(5)).tolist() == [2, 3, 4, 3, 4]
    with rt.no_grad():
        assert rt.add(x, 1, out=rt.zeros(5, requires_grad=True)).tolist() == [2, 3, 4, 3, 4]
    with pytest.raises(TypeError):
        rt.cat(rt.ones(2, 2))
    with pytest.raises(TypeError):
        F.gelu(x, approximate=1)
    with pytest.raises((RuntimeError, ValueError)):
        F.gelu(x, approximate="")


def test_copies_of_one_tensor_are_one_tensor():
    t = nn.Parameter(rt.ones(2))
    t.note = ["kept"]
    a, b = copy.deepcopy([t, t])
    assert a is b and a is not t and a.note == ["kept"] and a.note is not t.note and type(a) is nn.Parameter
    near = copy.copy(t)
    assert near.note is t.note and near.data_ptr() == t.data_ptr()
    t.grad = rt.ones(2)
    far = copy.deepcopy(t)
    assert far.grad.tolist() == [1, 1] and far.grad.data_ptr() != t.grad.data_ptr()
    x = rt.ones(3)
    for on in (True, False):
        x.requires_grad = on
        assert x.requires_grad is on and x.requires_grad_(on) is x
    y = rt.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError):
        y.requires_grad = False


# ---- modes, hooks and own functions ----


def test_a_mode_may_be_entered_again():
    mode = rt.set_grad_enabled(False)
    assert not rt.is_grad_enabled()
    with mode:
        assert not rt.is_grad_enabled()
    assert rt.is_grad_enabled()
    with mode:
        assert not rt.is_grad_enabled()
    assert rt.is_grad_enabled()
    for cls, on in ((rt.no_grad, False), (rt.enable_grad, True)):
        with rt.set_grad_enabled(not on):
            both = cls()
            with both, both:
                assert rt.is_grad_enabled() is on
            assert rt.is_grad_enabled() is not on
            assert cls(lambda: rt.is_grad_enabled())() is on and cls()(lambda: rt.is_grad_enabled())() is on


def backward_of(f, *tensors):
    out = f.apply(*tensors)
    (out[0] if isinstance(out, tuple) else out).sum().backward()


def test_own_functions_that_do_not_keep_their_word():
    x, y = rt.ones(2, requires_grad=True), rt.ones(2, requires_grad=True)

    def function(gives, saves=None):
        class Own(rt.autograd.Function):
            @staticmethod
            def forward(ctx, *args):
                if saves is not None:
                    ctx.save_for_backward(*saves)
                return args[0] * 2

            @staticmethod
            def backward(ctx, g):
                return gives(g)

        return Own

    backward_of(function(lambda g: g * 2), x)
    backward_of(function(lambda g: (g * 2, None, None)), x)
    assert x.grad.tolist() == [4, 4]
    backward_of(function(lambda g: (None, g)), x, y)
    assert x.grad.tolist() == [4, 4] and y.grad.tolist() == [1, 1]
    for gives, args, text in (
        (lambda g: (g, g), (x,), "expected 1, got 2"),
        (lambda g: g, (x, y), "expected 2, got 1"),
        (lambda g: (g, 1.0), (x, y), "float"),
    ):
        with pytest.raises((RuntimeError, TypeError), match=text):
            backward_of(function(gives), *args)
    with pytest.raises(TypeError, match="can only save variables"):
        backward_of(function(lambda g: g, (1.0,)), x)
    backward_of(function(lambda g: g, (None, x)), x)
    with pytest.raises((RuntimeError, TypeError), match="hook"):
        (z := x * 1).register_hook(lambda g: 1.0)
        z.sum().backward()
    seen = []
    handle = x.register_hook(lambda g: seen.append(g.tolist()))
    again = x.register_hook(lambda g: g * 10)
    assert isinstance(handle.id, int) and handle.id != again.id
    x.grad = None
    (x * 3).sum().backward()
    handle.remove()
    (x * 3).sum().backward()
    again.remove()
    (x * 3).sum().backward()
    assert seen == [[3, 3]] and x.grad.tolist() == [63, 63]


def test_own_functions_with_a_context_of_its_own():
    class Power(rt.autograd.Function):
        @staticmethod
        def forward(x, n, *, scale=1.0):
            assert not rt.is_grad_enabled()
            return x**n * scale

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.x, ctx.n = inputs
            ctx.output = output.tolist()

        @staticmethod
        def backward(ctx, g):
            assert ctx.needs_input_grad == (True, False)
            return g * ctx.n * ctx.x ** (ctx.n - 1), None

    x = tensor([1.0, 2.0], requires_grad=True)
    out = Power.apply(x, 3)
    assert out.tolist() == [1, 8] and out.requires_grad
    out.sum().backward()
    assert x.grad.tolist() == [3, 12]
    assert not Power.apply(x.detach(), 3).requires_grad

    class Same(rt.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x, y * 2

        @staticmethod
        def backward(ctx, g, h):
            return g * 5, h * 7

    x, y = tensor([1.0], requires_grad=True), tensor([1.0], requires_grad=True)
    same, twice = Same.apply(x, y)
    assert same is not x and same.data_ptr() == x.data_ptr() and not same.is_leaf and x.is_leaf
    (same * 10 + twice * 100).sum().backward()
    assert (x.grad.item(), y.grad.item()) == (50, 700)
    with pytest.raises(RuntimeError, match="leaf"):

        class Written(rt.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.mark_dirty(x)
                return x

        Written.apply(x)


# ---- the rarer ways through bags, grids, schedules and states ----


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_what_lies_behind_the_last_bag_belongs_to_none(mode):
    weight = tensor(numbers(6, (5, 2)))
    index, offsets = rt.tensor([0, 3, 1, 4, 2]), rt.tensor([0, 2, 2, 4])
    rows = weight.numpy()[[0, 3, 1, 4]]
    join = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    want = np.array([join(rows[:2], 0), np.zeros(2), join(rows[2:], 0)])
    got = F.embedding_bag(index, weight, offsets, mode=mode, include_last_offset=True)
    np.testing.assert_allclose(got.numpy(), want)
    got = F.embedding_bag(index, weight, offsets, mode=mode)
    np.testing.assert_allclose(got.numpy(), [*want, weight.numpy()[2]])
    if mode == "sum":
        scale = tensor(numbers(7, (5,)))
        got = F.embedding_bag(index, weight, offsets, mode="sum", include_last_offset=True, per_sample_weights=scale)
        scaled = rows * scale.numpy()[:4, None]
        np.testing.assert_allclose(got.numpy(), [scaled[:2].sum(0), [0, 0], scaled[2:].sum(0)])
    kept = F.embedding_bag(index, weight, offsets, mode=mode, include_last_offset=True, padding_idx=-2)  # row 3
    want = np.array([rows[0], np.zeros(2), join(rows[2:], 0)])
    np.testing.assert_allclose(kept.numpy(), want)


def test_grids_of_one_point():
    theta = tensor(numbers(8, (1, 2, 3)))
    for corners in (False, True):
        for size in ((1, 1, 1, 3), (1, 1, 3, 1), (1, 2, 1, 1)):
            h, w = size[2:]

            def line(n, corners=corners):
                if n == 1:
                    return np.zeros(1)
                return np.linspace(-1, 1, n) * (1 if corners else (n - 1) / n)

            points = np.array([[[a, b, 1] for a in line(w)] for b in line(h)])
            got = F.affine_grid(theta, size, align_corners=corners)
            np.testing.assert_allclose(got.numpy()[0], points @ theta.numpy()[0].T, atol=1e-12)


def test_epochs_that_are_given():
    for mult, length in ((1, [0, 2, 5.5, 7, 13.25]), (2, [0, 2, 3, 5.5, 8.75, 9, 20.5, 21])):
        scheduler = lr_scheduler.CosineAnnealingWarmRestarts(sgd(), 3, mult, 0.1)
        for epoch in length:
            scheduler.step(epoch)
            start, period = 0, 3
            while epoch >= start + period:
                start, period = start + period, period * mult
            want = 0.1 + 0.9 * (1 + math.cos(math.pi * (epoch - start) / period)) / 2
            assert scheduler.get_last_lr()[0] == pytest.approx(want), (mult, epoch)
            assert scheduler.last_epoch == math.floor(epoch) and scheduler.optimizer.param_groups[0]["lr"] == want
    plateau = lr_scheduler.ReduceLROnPlateau(sgd(), patience=0, factor=0.5)
    with pytest.warns(UserWarning, match="epoch parameter"):
        plateau.step(1.0, 7)
    assert plateau.last_epoch == 7
    plateau.step(1.0)
    assert plateau.last_epoch == 8 and plateau.get_last_lr() == [0.5]


def test_a_cosine_that_is_taken_up_again():
    opt = sgd(lr=0.3)
    opt.param_groups[0]["initial_lr"] = 1.0
    for epoch in (1, 2, 5):
        scheduler = lr_scheduler.CosineAnnealingLR(opt, 4, 0.2, last_epoch=epoch - 1)
        want = 0.2 + 0.8 * (1 + math.cos(math.pi * epoch / 4)) / 2
        assert scheduler.last_epoch == epoch
        for _ in range(3):
            scheduler.optimizer.step()
        assert scheduler.get_last_lr()[0] == opt.param_groups[0]["lr"]
        assert scheduler._get_closed_form_lr()[0] == pytest.approx(want)


@pytest.mark.parametrize("base", [lr_scheduler.LRScheduler, rt.optim.Optimizer, rt.optim.optimizer.ComposedOptimizer])
def test_bases_do_nothing_by_themselves(base):
    if base is lr_scheduler.LRScheduler:
        with pytest.raises(NotImplementedError):
            base(sgd())
        return
    p = nn.Parameter(rt.ones(1))
    opt = base([p], {"lr": 1.0, "weight_decay": 0.0, "maximize": False})
    p.grad = rt.ones(1)
    with pytest.raises(NotImplementedError):
        opt.step()


def test_states_of_own_optimizers():
    p = nn.Parameter(rt.ones(2))
    opt = rt.optim.SGD([p], lr=0.1, momentum=0.9)
    opt.state[p] = {"list": [rt.ones(2), 3], "pair": (rt.zeros(1), "word"), "inner": {"t": rt.ones(1)}, "none": None}
    opt.state["free"] = [1, 2]
    state = opt.state_dict()
    assert state["state"]["free"] == [1, 2]
    q = nn.Parameter(rt.ones(2))
    other = rt.optim.SGD([q], lr=0.1, momentum=0.9)
    other.load_state_dict(state)
    mine = other.state[q]
    assert mine["list"][0].tolist() == [1, 1] and mine["list"][1] == 3 and type(mine["pair"]) is tuple
    assert mine["pair"][1] == "word" and mine["inner"]["t"].tolist() == [1] and other.state["free"] == [1, 2]
    assert mine["list"][0].data_ptr() != opt.state[p]["list"][0].data_ptr()


# ---- modules ----


def test_forms_of_to():
    m = nn.Linear(2, 2)
    for args, kwargs in (
        ((rt.float64,), {}), (("cpu", rt.float64), {}), ((rt.device("cpu"), rt.float64, True), {}),
        ((rt.ones(1, dtype=rt.float64),), {}), ((), {"dtype": rt.float64}),
        ((), {"device": "cpu", "dtype": rt.float64}),
        ((None, rt.float64), {"non_blocking": True}), ((), {"tensor": rt.ones(1, dtype=rt.float64)}),
        (("cpu",), {"dtype": rt.float64, "memory_format": rt.contiguous_format}),
    ):  # fmt: skip
        m.float()
        assert m.to(*args, **kwargs) is m and m.weight.dtype is rt.float64
    assert m.to("cpu") is m and m.to(rt.bfloat16).weight.dtype is rt.bfloat16
    for wrong in (0, "cuda", rt.device("cuda:0")):
        for more in ((), (rt.float64,), (None, True)):
            with pytest.raises(RuntimeError):
                m.to(wrong, *more)


def test_hooks_change_results():
    m = nn.Linear(2, 2)
    plain = m(rt.ones(1, 2))
    hooks = [m.register_forward_hook(lambda m, args, out: out + 1), m.register_forward_hook(lambda *_: None),
             m.register_forward_hook(lambda m, args, kwargs, out: out * 2, with_kwargs=True),
             m.register_forward_pre_hook(lambda m, args: (args[0] * 0,))]  # fmt: skip
    assert m(rt.ones(1, 2)).tolist() == ((m.bias + 1) * 2).reshape(1, 2).tolist()
    for hook in hooks:
        hook.remove()
    assert m(rt.ones(1, 2)).tolist() == plain.tolist()


def test_states_that_cannot_be_copied():
    m = nn.Linear(2, 2)
    state = {k: v.clone() for k, v in m.state_dict().items()}
    for wrong, text in (
        ({"weight": rt.ones(3, 2)}, "size mismatch for weight"), ({"weight": [1.0]}, "expected a Tensor"),
        ({"more": rt.ones(1)}, "Unexpected"), ({"deep.more": rt.ones(1)}, "Unexpected"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=text):
            m.load_state_dict({**state, **wrong})
    with pytest.raises(RuntimeError, match="Missing"):
        m.load_state_dict({"weight": state["weight"]})
    found = m.load_state_dict({"weight": state["weight"], "more": state["bias"]}, strict=False)
    assert found.missing_keys == ["bias"] and found.unexpected_keys == ["more"]
    norm = nn.BatchNorm1d(2)
    old = {**norm.state_dict(), "num_batches_tracked": rt.tensor([4])}
    norm.load_state_dict(old)
    assert norm.num_batches_tracked.shape == () and norm.num_batches_tracked.item() == 4
    norm.load_state_dict({k: v + 1 for k, v in norm.state_dict().items()}, assign=True)
    assert norm.num_batches_tracked.item() == 5 and norm.weight.tolist() == [2, 2] and norm.weight.requires_grad


def test_parametrised_buffers():
    class Twice(nn.Module):
        def forward(self, x):
            return x * 2

        def right_inverse(self, x):
            return x / 2

    P = U.parametrize
    for leave in (True, False):
        m = nn.BatchNorm1d(2)
        m.running_mean.fill_(3.0)
        P.register_parametrization(m, "running_mean", Twice())
        chain = m.parametrizations["running_mean"]
        assert m.running_mean.tolist() == [3, 3] and chain.original.tolist() == [1.5, 1.5]
        assert "original" in chain._buffers and "running_mean" not in m._buffers
        assert P.is_parametrized(m, "running_mean")
        m.running_mean = rt.ones(2)
        assert chain.original.tolist() == [0.5, 0.5] and m.running_mean.tolist() == [1, 1]
        P.remove_parametrizations(m, "running_mean", leave_parametrized=leave)
        assert type(m) is nn.BatchNorm1d and m._buffers["running_mean"].tolist() == ([1, 1] if leave else [0.5, 0.5])
        assert not P.is_parametrized(m) and not hasattr(m, "parametrizations")
    for cls, name in ((nn.BatchNorm1d, "weight"), (nn.LayerNorm, "bias")):
        m = cls(2)
        P.register_parametrization(m, name, Twice())
        with rt.no_grad():
            setattr(m, name, rt.full((2,), 4.0))
        x = tensor([[0.0, 1.0], [2.0, 5.0]], rt.float32)
        plain = cls(2)
        with rt.no_grad():
            getattr(plain, name).fill_(4.0)
        np.testing.assert_allclose(m(x).detach().numpy(), plain(x).detach().numpy(), rtol=1e-6)


def test_layouts_changed_in_place_under_no_grad():
    x = rt.arange(6.0).reshape(2, 3).requires_grad_()
    y = x * 2
    with rt.no_grad():
        assert y.t_() is y and y.shape == (3, 2)
    (y * rt.arange(6.0).reshape(3, 2)).sum().backward()
    assert x.grad.tolist() == [[0, 4, 8], [2, 6, 10]]
    view = x.detach()[0]
    assert view.unsqueeze_(0).shape == (1, 3) and view._is_view()
    leaf = rt.ones(2, 3, requires_grad=True)
    with rt.no_grad():
        assert leaf.t_().shape == (3, 2) and leaf.requires_grad and leaf.is_leaf
    assert x.cpu() is x and repr(D.LogNormal(0.0, 1.0)) == "LogNormal()"
    with pytest.raises(RuntimeError):
        x.cuda()


def test_modes_of_one_hot_choices():
    p = tensor([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]])
    assert D.OneHotCategorical(p).mode.tolist() == [[0, 1, 0], [1, 0, 0]]
    assert D.Categorical(p).mode.tolist() == [1, 0] and D.OneHotCategorical(p).mode.dtype is rt.float64
    for name in ("mean", "mode", "variance"):
        with pytest.raises(NotImplementedError):
            getattr(D.Distribution(validate_args=False), name)
    for name in ("entropy", "rsample", "sample"):
        with pytest.raises(NotImplementedError):
            getattr(D.Distribution(validate_args=False), name)()


def test_what_stands_beside_a_gradient():
    from collections import namedtuple

    Pair = namedtuple("Pair", "a b")
    x = tensor([1.0, 2.0])
    for beside, want in (
        (lambda t: [t * 2, {"a": t, "n": 3}], [[2, 4], {"a": [1, 2], "n": 3}]),
        (lambda t: Pair(t, "word"), Pair([1, 2], "word")), (lambda t: (t,), ([1, 2],)), (lambda t: None, None),
    ):  # fmt: skip
        _, (_, got) = rt.func.grad_and_value(lambda t, f=beside: ((t * t).sum(), f(t)), has_aux=True)(x)

        def plain(v):
            if isinstance(v, rt.Tensor):
                assert not v.requires_grad
                return v.tolist()
            if isinstance(v, dict):
                return {k: plain(e) for k, e in v.items()}
            if isinstance(v, (list, tuple)):
                return type(v)(*map(plain, v)) if hasattr(v, "_fields") else type(v)(map(plain, v))
            return v

        assert plain(got) == want and type(got) is type(want)


# ---- results in given tensors, and who was asked first ----

SQUARE = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.2], [0.5, 0.2, 5.0]])
RIGHT = np.triu(SQUARE)
WRITTEN = {
    "inv": (lambda **o: rt.linalg.inv(tensor(SQUARE), **o), np.linalg.inv(SQUARE)),
    "det": (lambda **o: rt.linalg.det(tensor(SQUARE), **o), np.linalg.det(SQUARE)),
    "cholesky": (lambda **o: rt.linalg.cholesky(tensor(SQUARE), **o), np.linalg.cholesky(SQUARE)),
    "upper cholesky": (lambda **o: rt.linalg.cholesky(tensor(SQUARE), upper=True, **o), np.linalg.cholesky(SQUARE).T),
    "solve": (lambda **o: rt.linalg.solve(tensor(SQUARE), tensor(X[:3]), **o), np.linalg.solve(SQUARE, X[:3])),
    "solve from the right": (
        lambda **o: rt.linalg.solve(tensor(SQUARE), tensor(X), left=False, **o), X @ np.linalg.inv(SQUARE)),
    "solve_triangular": (
        lambda **o: rt.linalg.solve_triangular(tensor(SQUARE), tensor(X[:3]), upper=True, **o),
        np.linalg.solve(RIGHT, X[:3])),
    "unitriangular": (
        lambda **o: rt.linalg.solve_triangular(tensor(SQUARE), tensor(X[:3]), upper=True, unitriangular=True, **o),
        np.linalg.solve(np.triu(SQUARE, 1) + np.eye(3), X[:3])),
    "pinv": (lambda **o: rt.linalg.pinv(tensor(X), **o), np.linalg.pinv(X)),
    "matrix_power": (lambda **o: rt.linalg.matrix_power(tensor(SQUARE), 3, **o), SQUARE @ SQUARE @ SQUARE),
    "multi_dot": (lambda **o: rt.linalg.multi_dot([tensor(X), tensor(SQUARE), tensor(X.T)], **o), X @ SQUARE @ X.T),
    "vecdot": (lambda **o: rt.linalg.vecdot(tensor(X), tensor(Y), dim=0, **o), (X * Y).sum(0)),
    "cross": (lambda **o: rt.linalg.cross(tensor(X), tensor(Y), **o), np.cross(X, Y)),
    "vector_norm": (lambda **o: rt.linalg.vector_norm(tensor(X), 3, 1, **o), (abs(X) ** 3).sum(1) ** (1 / 3)),
    "matrix_norm": (lambda **o: rt.linalg.matrix_norm(tensor(X), **o), np.linalg.norm(X)),
    "largest sum": (lambda **o: rt.linalg.matrix_norm(tensor(X), 1, **o), np.linalg.norm(X, 1)),
    "nuclear": (lambda **o: rt.linalg.matrix_norm(tensor(X), "nuc", **o), np.linalg.norm(X, "nuc")),
    "norm": (lambda **o: rt.linalg.norm(tensor(X), **o), np.linalg.norm(X)),
    "norm of columns": (lambda **o: rt.linalg.norm(tensor(X), 1, 0, True, **o), abs(X).sum(0, keepdims=True)),
    "normalize": (lambda **o: F.normalize(tensor(X), 1, 0, **o), X / abs(X).sum(0)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_results_in_given_tensors(name):
    f, want = WRITTEN[name]
    np.testing.assert_allclose(f().numpy(), want, rtol=1e-10)
    out = rt.full(np.shape(want), math.nan, dtype=rt.float64)
    assert f(out=out) is out
    np.testing.assert_allclose(out.numpy(), want, rtol=1e-10)
    if name != "normalize":
        assert f(out=(empty := rt.empty(0, dtype=rt.float64))) is empty and empty.shape == np.shape(want)


def test_norms_of_matrices_along_any_dimensions():
    a = numbers(9, (2, 3, 4, 2))
    orders = {"fro": 2, "nuc": None, 1: None, -1: None, 2: None, -2: None, math.inf: None, -math.inf: None}
    for order, dims in itertools.product(orders, itertools.permutations(range(-4, 4), 2)):
        if dims[0] % 4 == dims[1] % 4:
            continue
        for keep in (False, True):
            got = rt.linalg.matrix_norm(tensor(a), order, dims, keep)
            np.testing.assert_allclose(got.numpy(), np.linalg.norm(a, order, dims, keep), rtol=1e-9)
    got = rt.linalg.matrix_norm(rt.ones(2, 2), 1, dtype=rt.float64)
    assert got.dtype is rt.float64 and rt.linalg.matrix_norm(rt.ones(2, 2, dtype=I64), dtype=rt.float32).item() == 2


def called_in_order(register, run, **options):
    """The order of three hooks, the last of which is put before the others."""
    seen = []

    def hook(i):
        return lambda *_: seen.append(i)

    handles = [register(hook(1)), register(hook(2)), register(hook(3), prepend=True)]
    run()
    assert seen == [3, 1, 2]
    handles[0].remove()
    run()
    assert seen == [3, 1, 2, 3, 2]
    for handle in handles:
        handle.remove()
    run()
    assert len(seen) == 5


@pytest.mark.parametrize(
    "name",
    ["register_forward_pre_hook", "register_forward_hook", "register_full_backward_pre_hook",
     "register_full_backward_hook"],
)  # fmt: skip
def test_hooks_of_modules_put_before_others(name):
    m = nn.Linear(2, 2)
    called_in_order(getattr(m, name), lambda: m(rt.ones(1, 2, requires_grad=True)).sum().backward())


@pytest.mark.parametrize(
    "name",
    ["register_state_dict_pre_hook", "register_state_dict_post_hook", "register_load_state_dict_pre_hook",
     "register_load_state_dict_post_hook"],
)  # fmt: skip
def test_hooks_of_optimizers_put_before_others(name):
    opt = sgd()
    state = opt.state_dict()
    called_in_order(getattr(opt, name), lambda: opt.load_state_dict(state) if "load" in name else opt.state_dict())


# ---- listings of modules ----


def test_listings_of_modules():
    inner = nn.BatchNorm1d(2)
    m = nn.Sequential(nn.Linear(2, 2), inner, nn.Sequential(inner))
    m.scale = nn.Parameter(rt.ones(1))
    m.register_buffer("count", rt.zeros(1))
    m.register_buffer("hidden", rt.zeros(1), persistent=False)
    m[0].bias = m.scale
    own, linear = ["scale"], ["0.weight", "0.bias"]
    norm = ["1.weight", "1.bias"]
    stats = ["1.running_mean", "1.running_var", "1.num_batches_tracked"]

    def names(listed):
        return [name for name, _ in listed]

    assert names(m.named_parameters()) == [*own, linear[0], *norm]
    again = [*own, *linear, *norm, *(f"2.0.{n[2:]}" for n in norm)]
    assert names(m.named_parameters(remove_duplicate=False)) == again
    assert names(m.named_parameters(recurse=False)) == own and len(list(m.parameters(recurse=False))) == 1
    assert names(m.named_parameters("p")) == [f"p.{n}" for n in (*own, linear[0], *norm)]
    assert names(m.named_buffers()) == ["count", "hidden", *stats] and len(list(m.buffers(recurse=False))) == 2
    assert names(m.named_buffers(recurse=False)) == ["count", "hidden"]
    assert names(m.named_buffers("b", recurse=False)) == ["b.count", "b.hidden"]
    twice = ["count", "hidden", *stats, *(f"2.0.{n[2:]}" for n in stats)]
    assert names(m.named_buffers(remove_duplicate=False)) == twice
    assert len(list(m.parameters())) == 4 and len(list(m.buffers())) == 5
    assert names(m.named_modules()) == ["", "0", "1", "2"]
    assert names(m.named_modules(remove_duplicate=False)) == ["", "0", "1", "2", "2.0"]
    assert names(m.named_modules(prefix="m")) == ["m", "m.0", "m.1", "m.2"]
    assert names(m.named_modules(memo={m[0]})) == ["", "1", "2"]
    assert len(list(m.modules())) == 4 and len(list(m.modules(remove_duplicate=False))) == 5
    assert names(m.named_children()) == ["0", "1", "2"] and len(list(m.children())) == 3
    assert list(m.state_dict()) == [*own, "count", *linear, *norm, *stats, *(f"2.0.{n[2:]}" for n in (*norm, *stats))]
    given = {"first": 1}
    assert m[0].state_dict(destination=given, prefix="x.") is given and list(given) == ["first", "x.weight", "x.bias"]
    assert all(not t.requires_grad for t in m.state_dict().values())
    assert m.state_dict(keep_vars=True)["scale"] is m.scale
    m.to_empty(device="cpu", recurse=False)
    assert m[1].running_var.tolist() == [1, 1] and isinstance(m.scale, nn.Parameter) and m.scale.shape == (1,)
    m.eval()
    assert not any(part.training for part in m.modules())
    assert m.train() is m and all(part.training for part in m.modules())
    m.requires_grad_(False)
    assert not any(p.requires_grad for p in m.parameters()) and m.requires_grad_() is m and m.scale.requires_grad


# ---- devices, dtypes and generators ----

PLACED = [
    "nn.Linear(2, 3, {})", "nn.Bilinear(2, 3, 4, {})", "nn.Conv1d(2, 3, 2, {})", "nn.Conv2d(2, 3, 2, {})",
    "nn.Conv3d(2, 3, 2, {})", "nn.ConvTranspose1d(2, 3, 2, {})", "nn.ConvTranspose2d(2, 3, 2, {})",
    "nn.ConvTranspose3d(2, 3, 2, {})", "nn.LazyLinear(3, {})", "nn.LazyConv1d(3, 2, {})", "nn.LazyConv2d(3, 2, {})",
    "nn.LazyConvTranspose1d(3, 2, {})", "nn.LazyBatchNorm1d({})", "nn.LazyInstanceNorm1d(affine=True, {})",
    "nn.BatchNorm1d(2, {})", "nn.BatchNorm1d(2, affine=False, {})", "nn.BatchNorm1d(2, track_running_stats=False, {})",
    "nn.InstanceNorm1d(2, affine=True, {})", "nn.InstanceNorm1d(2, track_running_stats=True, {})",
    "nn.LayerNorm(2, {})", "nn.GroupNorm(1, 2, {})", "nn.RMSNorm(2, {})", "nn.PReLU({})", "nn.Embedding(2, 3, {})",
    "nn.EmbeddingBag(2, 3, {})", "nn.RNN(2, 3, {})", "nn.LSTM(2, 3, proj_size=1, {})", "nn.GRU(2, 3, {})",
    "nn.RNNCell(2, 3, {})", "nn.LSTMCell(2, 3, {})", "nn.GRUCell(2, 3, {})", "nn.MultiheadAttention(2, 1, {})",
    "nn.MultiheadAttention(2, 1, kdim=3, add_bias_kv=True, {})", "nn.TransformerEncoderLayer(2, 1, 2, {})",
    "nn.TransformerDecoderLayer(2, 1, 2, {})", "nn.Transformer(2, 1, 1, 1, 2, {})",
    "nn.UninitializedParameter({})", "nn.UninitializedBuffer({})", "rt.zeros(1, {})", "rt.ones(1, {})",
    "rt.full((1,), 2.0, {})", "rt.empty(1, {})", "rt.rand(1, {})", "rt.randn(1, {})", "rt.eye(2, {})",
    "rt.zeros_like(x, {})", "rt.ones_like(x, {})", "rt.full_like(x, 1.0, {})", "rt.empty_like(x, {})",
    "rt.rand_like(x, {})", "rt.randn_like(x, {})", "rt.tensor(1.0, {})", "rt.as_tensor([1.0], {})",
    "rt.asarray([1.0], {})", "rt.linspace(0, 1, 2, {})", "rt.logspace(0, 1, 2, {})", "rt.arange(2.0, {})",
    "rt.empty_strided((2,), (1,), {})", "rt.normal(0.0, 1.0, (2,), {})", "x.new_zeros(2, {})", "x.new_ones(2, {})",
    "x.new_full((2,), 1.0, {})", "x.new_empty(2, {})", "x.new_tensor([1.0], {})", "rt.hann_window(3, {})",
    "x.to({})",
]  # fmt: skip


@pytest.mark.parametrize("source", PLACED)
def test_dtype_and_device_go_everywhere(source):
    it = made(source.format("dtype=rt.float64, device='cpu'"))
    tensors = list(it.state_dict(keep_vars=True).values()) if isinstance(it, nn.Module) else [it]
    assert {t.dtype for t in tensors} - {I64} == {rt.float64} or not tensors
    plain = made(source.format(""))
    tensors = list(plain.state_dict(keep_vars=True).values()) if isinstance(plain, nn.Module) else [plain]
    assert {t.dtype for t in tensors} - {I64} == {rt.float32} or not tensors
    if tensors:
        for device in ("cuda", "cuda:1", rt.device("mps")):
            with pytest.raises((RuntimeError, NotImplementedError), match=r"CPU|device"):
                eval(source.format("device=device"), {**NAMES, "x": rt.ones(2, 3), "device": device})


@pytest.mark.parametrize(
    "source",
    ["uniform_(t, -1, 2, {})", "normal_(t, 1, 2, {})", "trunc_normal_(t, 0.5, 2, -1, 3, {})", "orthogonal_(t, 2, {})",
     "xavier_uniform_(t, 2, {})", "xavier_normal_(t, 2, {})", "kaiming_uniform_(t, 0.5, 'fan_out', {})",
     "kaiming_normal_(t, 0.5, 'fan_out', {})"],
)  # fmt: skip
def test_initial_values_come_from_the_generator(source):
    def draw(t, generator=None):
        of = "generator=generator" if generator else ""
        assert eval(f"init.{source.format(of)}", {"init": init, "t": t, "generator": generator}) is t
        return t.tolist()

    t = nn.Parameter(rt.zeros(4, 6))
    first = draw(t, rt.Generator().manual_seed(3))
    assert t.is_leaf and t.requires_grad and t.grad_fn is None
    rt.manual_seed(5)
    state = rt.get_rng_state()
    assert draw(t, rt.Generator().manual_seed(3)) == first and draw(t, rt.Generator().manual_seed(4)) != first
    assert rt.equal(rt.get_rng_state(), state)
    by_default = draw(t)
    assert not rt.equal(rt.get_rng_state(), state)
    rt.manual_seed(5)
    assert draw(t) == by_default != first


# ---- pools and resizing by other names ----


@pytest.mark.parametrize("n", [1, 2, 3])
def test_pools_with_indices_by_name(n):
    x = tensor(numbers(10, (2, 2, *(7,) * n)))
    pool, both, back = (getattr(F, f"max_{name}") for name in (f"pool{n}d", f"pool{n}d_with_indices", f"unpool{n}d"))
    for args in ((3,), (3, 2), (3, 2, 1), (2, 2, 0, 2), (2, 3, 1, 1, True)):
        values, places = both(x, *args)
        again = pool(x, *args, return_indices=True)
        assert values.tolist() == again[0].tolist() == pool(x, *args).tolist()
        assert places.tolist() == again[1].tolist() and places.dtype is I64
        assert x.flatten(2).gather(2, places.flatten(2)).reshape(values.shape).tolist() == values.tolist()
    for size, stride, padding, out in ((2, None, 0, 7), (3, 2, 0, 0), (3, 2, 1, 0), (2, 3, 0, 7), (1, 2, 0, 0)):
        values, places = pool(x, size, stride, padding, return_indices=True)
        kept = np.zeros((2, 2, 7**n))
        np.put_along_axis(kept, places.flatten(2).numpy(), values.flatten(2).numpy(), 2)
        for want in ((out,) * n if out else None, (7,) * n, (2, 2, *(7,) * n)):
            got = back(values, places, size, stride, padding, want)
            assert got.shape == x.shape and got.flatten(2).tolist() == kept.tolist()
            assert back(values[0], places[0], size, stride, padding, want).tolist() == got[0].tolist()
    adaptive, both = (getattr(F, f"adaptive_max_pool{n}d{end}") for end in ("", "_with_indices"))
    values, places = both(x, 3)
    again = adaptive(x, (3,) * n, True)
    assert values.tolist() == again[0].tolist() == adaptive(x, 3).tolist() and places.tolist() == again[1].tolist()
    assert x.flatten(2).gather(2, places.flatten(2)).reshape(values.shape).tolist() == values.tolist()


def test_resizing_by_other_names():
    x = tensor(numbers(11, (1, 2, 3, 4)))
    for given in ({"size": (5, 6)}, {"scale_factor": 2}, {"scale_factor": (1.5, 2.5)}, {"size": 5}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = F.interpolate(x, **given)
            assert F.upsample_nearest(x, **given).tolist() == F.upsample(x, **given).tolist() == plain.tolist()
            corners = F.interpolate(x, **given, mode="bilinear", align_corners=True).tolist()
            assert F.upsample_bilinear(x, **given).tolist() == corners
            assert F.upsample(x, **given, mode="bilinear", align_corners=True).tolist() == corners
            edges = F.interpolate(x, **given, mode="bilinear").tolist()
            assert F.upsample(x, **given, mode="bilinear").tolist() == edges != corners
            assert nn.Upsample(**given)(x).tolist() == plain.tolist()
            if given.get("size") != 5:
                assert nn.UpsamplingBilinear2d(**given)(x).tolist() == corners


# ---- what is looked up when it is first used ----


@pytest.mark.parametrize(
    ("module", "later"),
    [(rt, ["nn", "optim", "func"]), (rt.optim, ["swa_utils"]), (rt.utils, ["data"]), (rt.ops, ["add", "norm"]),
     (rt.autograd, ["function", "functional", "graph"])],
)  # fmt: skip
def test_modules_have_what_they_should_and_nothing_else(module, later):
    for name in later:
        assert module.__getattr__(name) is getattr(module, name)
        assert inspect.ismodule(getattr(module, name)) is (module is not rt.ops)
    for name in ("nothing", "", "Data", "swa", "__nothing__"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            getattr(module, name)
        assert not hasattr(module, name) and getattr(module, name, 7) == 7
    assert set(later) <= set(dir(module)) or module in (rt.ops, rt.autograd)
    assert len(dir(rt)) == len(set(dir(rt))) and {"FloatTensor", "Tensor", "zeros"} <= set(dir(rt))


@pytest.mark.parametrize("name", ["rt", "nn", "opt", "sch", "data", "U", "rnn", "init", "la", "autograd", "F", "D"])
def test_all_names_of_a_module_are_there(name):
    module = NAMES[name]
    listed = getattr(module, "__all__", [])
    assert all(hasattr(module, n) for n in listed)
    if name == "nn":
        exported = importlib.import_module("rustorch.nn.modules").__all__
        assert {"Linear", "ReLU", "Conv2d", "LSTM", "Module", "Sequential", "BatchNorm1d", "CTCLoss"} <= set(exported)
        assert all(getattr(nn, n) is getattr(nn.modules, n) for n in exported)


@pytest.mark.parametrize(
    ("source", "fan"),
    [("nn.Linear(1, 9)", 1), ("nn.Linear(4, 9)", 4), ("nn.Conv1d(1, 9, 1)", 1), ("nn.Conv2d(2, 9, (1, 3))", 6),
     ("nn.Conv2d(4, 9, 1)", 4), ("nn.Conv2d(4, 8, 1, groups=4)", 1), ("nn.Conv3d(1, 9, 1)", 1),
     ("nn.ConvTranspose1d(9, 1, 1)", 1), ("nn.ConvTranspose2d(2, 9, 1)", 9), ("nn.ConvTranspose3d(9, 1, 1)", 1),
     ("nn.Bilinear(1, 2, 9)", 1), ("nn.Bilinear(4, 2, 9)", 4)],
)  # fmt: skip
def test_weight_and_bias_are_drawn_one_after_the_other(source, fan):
    bound = 1 / math.sqrt(fan)
    rt.manual_seed(11)
    m = eval(source, NAMES)
    rt.manual_seed(11)
    for t in (m.weight, m.bias):
        want = rt.empty(t.shape).uniform_(-bound, bound)
        np.testing.assert_allclose(t.detach().numpy(), want.numpy(), rtol=1e-6)
        assert 0 < t.abs().max().item() <= bound
    state = rt.get_rng_state()
    rt.manual_seed(11)
    m.reset_parameters()
    assert rt.equal(rt.get_rng_state(), state)


@pytest.mark.parametrize(
    ("lowest", "size", "tolerance", "limit", "tried"),
    [
        (0.52, 1.0, 0.0, 9, [1, 0.52]),  # a slope upwards behind the minimum ends the lengthening
        (0.52, 1.0, 1.0, 9, [1, 0.52]),  # as large as the bracket times `size`, but not larger
        (0.52, 1.0, 1.000001, 9, [1]),
        (0.52, 0.5, 0.500001, 9, [1]),
        (0.52, 0.5, 0.5, 9, [1, 0.52]),
        (0.52, 1.0, 0.0, 0, [1]),
        (0.25, 1.0, 0.0, 9, [1, 0.25]),  # too high
        (0.25, 1.0, 0.0, 1, [1, 0.25]),
        (1.0, 1.0, 0.0, 9, [1]),
        (9.0, 1.0, 0.0, 9, [1]),
        (12.0, 1.0, 0.0, 9, [1, 10]),
        (12.0, 1.0, 0.0, 0, [1]),
        (60.0, 1.0, 0.0, 9, [1, 10]),
        (200.0, 1.0, 0.0, 9, [1, 10, 100]),
    ],
)
def test_lengths_that_a_line_search_tries(lowest, size, tolerance, limit, tried):
    """Of a parabola, whose minimum a cubic through two points meets at once."""
    from rustorch.optim.lbfgs import _line_search

    seen = []

    def at(t):
        return t, (t - lowest) ** 2, None, 2 * (t - lowest)

    def evaluate(t):
        seen.append(t)
        return at(t)

    found, count = _line_search(evaluate, at(0.0), 1.0, size, tolerance, limit)
    assert seen == pytest.approx(tried) and count == len(tried)
    assert found[1] == min(at(t)[1] for t in [0.0, *tried]) or tried == [1]


SCHEDULERS = [source for source, _ in OBJECTS if source.startswith(("sch.", "swa.SWALR"))]


@pytest.mark.parametrize("source", SCHEDULERS)
def test_schedulers_know_their_last_rate_and_go_on_where_they_were(source):
    def new():
        it = made(source)
        assert it.get_last_lr() == [g["lr"] for g in it.optimizer.param_groups] and it.last_epoch == 0
        return it

    def steps(it, n):
        rates = []
        for _ in range(n):
            it.optimizer.step()
            it.step(*([1.0] if isinstance(it, lr_scheduler.ReduceLROnPlateau) else []))
            assert it.get_last_lr() == [g["lr"] for g in it.optimizer.param_groups]
            rates.append((*it.get_last_lr(), it.optimizer.param_groups[0].get("momentum")))
        return rates

    first = new()
    want = steps(first, 6)
    assert first.last_epoch == 6
    half = new()
    assert steps(half, 3) == want[:3]
    rest = new()
    rest.load_state_dict(half.state_dict())
    rest.optimizer.load_state_dict(half.optimizer.state_dict())
    assert rest.last_epoch == 3 and "optimizer" not in half.state_dict() and rest.get_last_lr() == half.get_last_lr()
    assert steps(rest, 3) == want[3:]


KINDS = ["weight", "spectral"]


@pytest.mark.parametrize("kinds", [*itertools.product(KINDS, KINDS)])
def test_norms_of_two_parameters_do_not_meet(kinds):
    m = nn.LSTMCell(2, 3)
    add = [getattr(U, f"{kind}_norm") for kind in kinds]
    take = [getattr(U, f"remove_{kind}_norm") for kind in kinds]
    left = {"weight": ["_g", "_v"], "spectral": ["_orig"]}
    plain = list(m._parameters)
    x = rt.ones(1, 2)
    before = m(x)[0][0].tolist()
    other = m.register_forward_pre_hook(lambda *_: None)
    assert add[0](m, "weight_ih") is m
    other.remove()
    m.register_forward_pre_hook(lambda *_: None)
    add[1](m, "weight_hh")
    m.eval()
    for name, kind in zip(("weight_ih", "weight_hh"), kinds):
        assert name not in m._parameters and all(name + end in m._parameters for end in left[kind])
        with pytest.raises(RuntimeError, match=f"two {kind}_norm hooks on the same parameter {name}"):
            getattr(U, f"{kind}_norm")(m, name)
        with pytest.raises(ValueError, match="not found"):
            getattr(U, f"remove_{kind}_norm")(m, "bias_ih")
    normed = m(x)[0][0].tolist()
    assert (normed == pytest.approx(before) or "spectral" in kinds) and len(m._forward_pre_hooks) == 3
    assert take[0](m, "weight_ih") is m and "weight_ih" in m._parameters and "weight_hh" not in m._parameters
    assert m(x)[0][0].tolist() == pytest.approx(normed) and len(m._forward_pre_hooks) == 2
    take[1](m, "weight_hh")
    assert sorted(m._parameters) == sorted(plain) and len(m._forward_pre_hooks) == 1
    assert m(x)[0][0].tolist() == pytest.approx(normed) and m.weight_hh.requires_grad


MASK = np.array([[True, False, True], [False, True, True]])
BEFORE = {
    "mask": (rt.tensor(MASK.tolist()), MASK), "bytes": (rt.tensor(MASK.tolist()).to(rt.uint8), MASK),
    "array": (MASK, MASK), "lists": (MASK.tolist(), MASK), "row": (rt.tensor([True, False]), np.array([True, False])),
    "whole": (rt.tensor([[0, 1], [1, 1]]), np.array([[0, 1], [1, 1]])), "list": ([1, 0], [1, 0]), "int": (1, 1),
    "none": (None, None), "slice": (slice(1, None), slice(1, None)), "number": (rt.tensor(1), 1), "true": (True, True),
}  # fmt: skip


@pytest.mark.parametrize("name", BEFORE)
def test_indices_on_both_sides_of_an_ellipsis(name):
    a = np.arange(36.0).reshape(2, 3, 2, 3)
    x, (mine, its) = tensor(a), BEFORE[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bytes are masks of old
        for after in ((), (2,), (slice(1, None),), (slice(None), slice(0, 2)), (None,), (1, None), (0, slice(1, 2))):
            got, want = x[(mine, ..., *after)], a[(its, ..., *after)]
            assert got.tolist() == want.tolist() and got.shape == want.shape, after
        for own, other in ((rt.tensor([2, 0]), np.array([2, 0])), (MASK[0].tolist(), MASK[0])):
            if name in ("whole", "mask", "bytes", "array", "lists", "int", "number"):
                break  # which NumPy would broadcast with it
            got, want = x[mine, ..., own], a[its, ..., other]
            assert got.tolist() == want.tolist() and got.shape == want.shape
        changed, wanted = x.clone(), a.copy()
        changed[mine, ..., 1] = -1.0
        wanted[its, ..., 1] = -1.0
        assert changed.tolist() == wanted.tolist()
        for position in ((slice(None), mine), (mine, slice(None))):
            if name not in ("mask", "bytes", "array", "lists", "row", "whole"):
                got, want = x[(*position, ...)], a[(*(its if p is mine else p for p in position), ...)]
                assert got.tolist() == want.tolist()
