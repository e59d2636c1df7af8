"""Calls ops through the door by name with arguments that mostly do not fit; see test_fuzz.py.

Prints each call before it is made. Arguments: seed, rounds, names of the ops (none: all). A panic is a failure, and so
is an op that was refused every time.
"""

import random
import resource
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
from abi_tools import attributes, elements, ffi, lib, sized  # noqa: E402

SHAPES = [
    (),
    (0,),
    (1,),
    (3,),
    (5,),
    (2, 3),
    (3, 2),
    (3, 3),
    (0, 3),
    (1, 4, 1),
    (2, 3, 4),
    (1, 2, 6, 6),
    (2, 2, 3, 4, 5),
]
WORDS = [
    "",
    "mean",
    "sum",
    "none",
    "floor",
    "trunc",
    "ij",
    "xy",
    "reflect",
    "constant",
    "nearest",
    "ij,jk->ik",
    "...",
    "é",
]
INTS = [*range(-3, 8), 2**62, -(2**62), 2**63 - 1, -(2**63)]
FLOATS = [0.0, 1.0, -1.0, 0.5, 2.0, 1e-8, 1e300, float("inf"), float("-inf"), float("nan")]
GIGABYTES = 8 << 30


def kept(text):
    p = ffi.new("char[]", text.encode())
    KEEP.append(p)
    return p


KEEP = []


def tensor(r, friendly):
    """Any tensor, or one of those that many ops accept together: dimensions of 3, small whole numbers as indices."""
    shape = (3,) * r.choice([1, 1, 2, 2, 3, 4, 4, 5]) if friendly else r.choice(SHAPES)
    dtype = r.choice([lib.RT_FLOAT32] * 4 + [lib.RT_INT64])
    if not friendly:
        dtype = r.choice([dtype, r.randrange(lib.rt_dtype_count())])
    n = 1
    for d in shape:
        n *= d
    out = ffi.new("rt_tensor **")
    if dtype in (lib.RT_FLOAT32, lib.RT_INT64):
        kind = "float" if dtype == lib.RT_FLOAT32 else "int64_t"
        odd = kind == "float" and not friendly
        values = [r.choice(FLOATS) if odd and r.random() < 0.1 else r.randint(0, 2) for _ in range(n)]
        if not friendly:
            values = [v if r.random() < 0.9 else r.randint(-4, 7) for v in values]
        assert lib.rt_tensor_from_data(ffi.new(f"{kind}[]", values), shape, len(shape), dtype, out) == lib.RT_OK
    else:
        assert lib.rt_ones(shape, len(shape), dtype, out) == lib.RT_OK
    t = ffi.gc(out[0], lib.rt_tensor_free)
    if len(shape) > 1 and r.random() < 0.3 and lib.rt_transpose(t, 0, -1, out) == lib.RT_OK:
        t = ffi.gc(out[0], lib.rt_tensor_free)
    if dtype == lib.RT_FLOAT32 and r.random() < 0.3:
        lib.rt_tensor_set_requires_grad(t, True)
    return t


def attribute(r, kind, form, default, friendly):
    a = {"kind": lib.RT_ATTR_NONE}
    if default is not None and r.random() < (0.8 if friendly else 0.4):
        return written(kind, default)
    if form == "Optional" and r.random() < 0.5:
        return a
    number = r.randint(0, 2) if friendly else r.choice(INTS) if r.random() < 0.2 else r.randint(-2, 5)
    if kind == "Bool":
        a |= {"kind": lib.RT_ATTR_BOOL, "i": r.randint(0, 1)}
    elif kind == "Int" or (kind == "Scalar" and r.random() < 0.5):
        a |= {"kind": lib.RT_ATTR_INT, "i": number}
    elif kind in ("Float", "Scalar"):
        a |= {"kind": lib.RT_ATTR_FLOAT, "f": r.choice(FLOATS)}
    elif kind == "Ints":
        values = [r.randint(1, 2)] * r.randint(1, 3) if friendly else []
        if not friendly:
            values = [r.choice(INTS) if r.random() < 0.1 else r.randint(-1, 4) for _ in range(r.randint(0, 4))]
        KEEP.append(ffi.new("int64_t[]", values or [0]))
        a |= {"kind": lib.RT_ATTR_INTS, "ints": KEEP[-1], "len": len(values)}
    elif kind == "DType":
        a |= {"kind": lib.RT_ATTR_DTYPE, "i": r.randrange(lib.rt_dtype_count())}
    elif kind == "Str":
        a |= {"kind": lib.RT_ATTR_STR, "str": kept(r.choice(WORDS))}
    elif kind == "Generator":
        a |= {"kind": lib.RT_ATTR_GENERATOR}
    return a


def recipes():
    """The calls of calls.txt by op: tensors and attributes as words."""
    found = {}
    for line in Path(__file__).with_name("calls.txt").read_text().splitlines():
        name, colon, call = line.partition(": ")
        if colon and not line.startswith("#"):
            tensors, _, attrs = call.partition("|")
            found.setdefault(name, []).append((tensors.split(), attrs.split()))
    return found


def recipe_tensor(r, word):
    """A tensor as calls.txt writes it."""
    if word == "-":
        return ffi.NULL
    kind, shape = word[0], [int(d) for d in word[1:].split(",") if d]
    n = 1
    for d in shape:
        n *= d
    columns = shape[-1] if shape else 1
    values = {
        "b": lambda i: r.randint(0, 1),
        "i": lambda i: r.randint(0, 2),
        "p": lambda i: r.uniform(0.1, 0.9),
        "s": lambda i: i,
        "o": lambda i: 1,
        "d": lambda i: r.random() + 5 * (i % columns == i // columns % columns),
    }.get(kind, lambda i: r.gauss(0, 1))
    c_type, dtype = {
        "g": ("double", lib.RT_FLOAT64),
        "c": ("float", lib.RT_COMPLEX64),
        "i": ("int64_t", lib.RT_INT64),
        "b": ("bool", lib.RT_BOOL),
        "o": ("int32_t", lib.RT_INT32),
    }.get(kind, ("float", lib.RT_FLOAT32))
    out, data = ffi.new("rt_tensor **"), ffi.new(f"{c_type}[]", [values(i) for i in range(2 * n if kind == "c" else n)])
    assert lib.rt_tensor_from_data(data, shape, len(shape), dtype, out) == lib.RT_OK
    t = ffi.gc(out[0], lib.rt_tensor_free)
    if c_type in ("float", "double") and r.random() < 0.3:
        lib.rt_tensor_set_requires_grad(t, True)
    return t


def recipe_attribute(kind, word, default):
    if word == "~":
        word = default if default is not None else "None"
    return written(kind, "None" if word == "-" else word)


def written(kind, text):
    """An attribute from the text in the table."""
    if text == "None":
        return {"kind": lib.RT_ATTR_GENERATOR if kind == "Generator" else lib.RT_ATTR_NONE}
    if kind == "Str":
        return {"kind": lib.RT_ATTR_STR, "str": kept(text.strip('"'))}
    if kind == "Ints":
        values = [int(v) for v in text.strip("[]").split(",") if v.strip()]
        KEEP.append(ffi.new("int64_t[]", values or [0]))
        return {"kind": lib.RT_ATTR_INTS, "ints": KEEP[-1], "len": len(values)}
    if text in ("true", "false"):
        return {"kind": lib.RT_ATTR_BOOL, "i": text == "true"}
    if kind == "Int" or (kind == "Scalar" and text.lstrip("-").isdigit()):
        return {"kind": lib.RT_ATTR_INT, "i": int(text)}
    return {"kind": lib.RT_ATTR_FLOAT, "f": float(text)}


def text(p):
    return ffi.string(p).decode() if p else None


def show(inputs, attrs):
    """The call as text."""
    shape = [None if not t else list(lib.rt_tensor_shape(t)[0 : lib.rt_tensor_ndim(t)]) for t in inputs]
    dtypes = [lib.rt_tensor_dtype(t) for t in inputs]

    def value(a):
        if "len" in a:
            return a["ints"][0 : a["len"]] and list(a["ints"][0 : a["len"]])
        return ffi.string(a["str"]).decode() if "str" in a else a.get("i", a.get("f"))

    return f"{shape} {dtypes} {[value(a) for a in attrs]}"


def main(seed, rounds, wanted):
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES, GIGABYTES))
    info, bad = sized("rt_op_info"), 0
    outs, n = ffi.new("rt_tensor *[4096]"), ffi.new("size_t *")
    known = recipes()
    for k in range(lib.rt_op_count()):
        assert lib.rt_op_get(k, info) == lib.RT_OK
        name = ffi.string(info.name).decode()
        if wanted and name not in wanted:
            continue
        args = [(text(a.holds), text(a.form), text(a.default_value)) for a in elements(info.args, info.args_len)]
        r = random.Random(f"{seed} {name}")
        accepted = 0
        for _ in range(rounds):
            KEEP.clear()
            inputs, lists = [], []
            length, friendly = r.randint(0, 3), r.random() < 0.6
            shared = tensor(r, friendly)
            for holds, form, _ in args:
                if holds == "Tensor" and form in ("One", "Optional"):
                    missing = r.random() < (0.3 if form == "Optional" else 0.02)
                    inputs.append(ffi.NULL if missing else shared if r.random() < 0.4 else tensor(r, friendly))
                elif holds == "Tensor":
                    missing = 0.3 if form == "Optionals" else 0.02
                    for _ in range(length):
                        lists.append(
                            ffi.NULL if r.random() < missing else shared if r.random() < 0.6 else tensor(r, friendly)
                        )
            inputs += lists
            attributed = [a for a in args if a[0] != "Tensor"]
            plain = [(holds, default) for holds, _, default in attributed]
            attrs = [attribute(r, holds, form, default, friendly) for holds, form, default in attributed]
            if name in known and r.random() < 0.4:
                # A call that fits, or with one thing changed.
                tensors, words = r.choice(known[name])
                others, changed = inputs, attrs
                inputs = [recipe_tensor(r, w) for w in tensors]
                words = words + ["~"] * (len(plain) - len(words))
                attrs = [recipe_attribute(kind, w, default) for (kind, default), w in zip(plain, words, strict=True)]
                k = r.randrange(2 * (len(inputs) + len(attrs)))
                if k < len(inputs) and others:
                    inputs[k] = r.choice(others)
                elif len(inputs) <= k < len(inputs) + len(attrs):
                    attrs[k - len(inputs)] = changed[k - len(inputs)]
            call = name + ("_" if info.inplace and r.random() < 0.3 else "")
            print(call, show(inputs, attrs), flush=True)
            signal.alarm(60)
            status = lib.rt_op_call(
                call.encode(),
                inputs,
                len(inputs),
                attributes(*attrs),
                len(attrs),
                outs,
                4096,
                n,
            )
            if status == lib.RT_ERR_PANIC:
                bad += 1
                print("PANIC", call, show(inputs, attrs), text(lib.rt_last_error()), file=sys.stderr)
            accepted += status == lib.RT_OK
            if status == lib.RT_OK:
                results = [ffi.gc(outs[i], lib.rt_tensor_free) for i in range(n[0])]
                # Backward through what came out.
                for t in results[:1]:
                    if lib.rt_tensor_requires_grad(t):
                        one = ffi.new("rt_tensor **")
                        if lib.rt_ones_like(t, -1, one) == lib.RT_OK:
                            g = ffi.gc(one[0], lib.rt_tensor_free)
                            status = lib.rt_backward([t], [g], 1, ffi.NULL, 0, False, False)
                            if status == lib.RT_ERR_PANIC:
                                bad += 1
                                why = text(lib.rt_last_error())
                                print("PANIC backward", call, show(inputs, attrs), why, file=sys.stderr)
        if rounds >= 50 and not accepted:
            bad += 1
            print(f"NEVER ACCEPTED: {name}", file=sys.stderr)
    signal.alarm(0)
    return bad


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]) else 0)
