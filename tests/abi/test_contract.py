"""The contract at the top of the header, point by point."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from abi_tools import attributes, elements, ffi, functions, lib, run_python, sized

# Calls every function with zeros for everything; `sentinel` puts a place to write to behind each output argument.
NULL_CALLS = """
import sys
sys.path.insert(0, sys.argv[1])
from abi_tools import ffi, functions, lib

def zero(t):
    if t.kind in ("pointer", "function"):
        return ffi.NULL
    return ffi.new(ffi.getctype(t, "*"))[0] if t.kind in ("struct", "union") else 0

sentinel = sys.argv[2] == "sentinel"
for f in functions():
    c = getattr(lib, f.name)
    types = ffi.typeof(c).args
    args, places = [zero(t) for t in types], []
    if sentinel:
        for i, p in enumerate(f.params):
            if p.is_output:
                places.append(ffi.new("unsigned char[]", b"\\xab" * 256))
                args[i] = ffi.cast(types[i], places[-1])
    print(f.name, end=" ", flush=True)
    result = c(*args)
    lib.rt_fail_allocation_after(-1)
    untouched = all(bytes(ffi.buffer(p)) == b"\\xab" * 256 + b"\\0" for p in places)
    message = lib.rt_last_error() if f.fallible and result != lib.RT_OK else ffi.NULL
    length = len(ffi.string(message)) if message else 0
    print(int(f.fallible), int(result) if f.fallible else 0, int(untouched), length, flush=True)
"""


def calls(mode: str) -> list[tuple[str, bool, int, bool, int]]:
    lines = run_python(NULL_CALLS, Path(__file__).parent, mode).splitlines()
    rows = [line.split() for line in lines]
    assert [r[0] for r in rows] == [f.name for f in functions()]
    return [(r[0], r[1] == "1", int(r[2]), r[3] == "1", int(r[4])) for r in rows]


def test_null_and_zero_give_errors():
    for name, fallible, status, _, message in calls("null"):
        if fallible:
            assert status in range(1, 12), f"{name} gives {status}"
            assert message > 0, name


def test_null_inputs_leave_outputs_alone():
    for name, fallible, status, untouched, _ in calls("sentinel"):
        if fallible and status != lib.RT_OK:
            assert untouched, name
            assert status != lib.RT_ERR_PANIC, name


def out():
    return ffi.new("rt_tensor **")


def tensor(values, shape=None, dtype="float"):
    values = list(values)
    code = {
        "float": lib.RT_FLOAT32, "double": lib.RT_FLOAT64, "int64_t": lib.RT_INT64, "int32_t": lib.RT_INT32,
    }[dtype]  # fmt: skip
    p = out()
    shape = [len(values)] if shape is None else shape
    assert lib.rt_tensor_from_data(ffi.new(f"{dtype}[]", values), shape, len(shape), code, p) == lib.RT_OK
    return ffi.gc(p[0], lib.rt_tensor_free)


def message() -> str:
    return ffi.string(lib.rt_last_error()).decode()


def last_shapes():
    found = []
    for which in (0, 1):
        p = ffi.new("const int64_t **")
        n = lib.rt_last_error_shape(which, p)
        found.append(None if n < 0 else list(p[0][0:n]))
    return found


def test_an_error_tells_op_text_and_shapes():
    a, b, p = tensor(range(6), [2, 3]), tensor(range(8), [4, 2]), out()
    p[0] = ffi.cast("rt_tensor *", 1)
    assert lib.rt_matmul(a, b, p) == lib.RT_ERR_SHAPE == lib.rt_last_error_status()
    assert ffi.string(lib.rt_last_error_op()) == b"matmul"
    assert message().startswith("matmul: ") and "2" in message() and "4" in message()
    assert last_shapes() == [[2, 3], [4, 2]]
    assert p[0] == ffi.cast("rt_tensor *", 1)


def test_getters_and_frees_leave_the_error_alone():
    a, b, p = tensor(range(6), [2, 3]), tensor(range(4), [4]), out()
    scalar = ffi.new("rt_scalar *", {"kind": lib.RT_SCALAR_INT, "value": {"i": 1}})[0]
    assert lib.rt_add(a, b, scalar, p) == lib.RT_ERR_SHAPE
    before = message()
    assert lib.rt_tensor_ndim(a) == 2 and lib.rt_tensor_numel(ffi.NULL) == 0
    lib.rt_tensor_free(lib.rt_tensor_retain(a))
    for f in functions():
        if f.name.endswith("_free"):
            getattr(lib, f.name)(*[ffi.NULL, False][: len(f.params)])
    assert lib.rt_neg(a, p) == lib.RT_OK
    lib.rt_tensor_free(p[0])
    assert message() == before and last_shapes() == [[2, 3], [4]]


def test_other_errors_have_no_shapes():
    assert lib.rt_neg(ffi.NULL, out()) == lib.RT_ERR_NULL
    assert "input" in message() and last_shapes() == [None, None]


def test_errors_belong_to_their_thread():
    assert lib.rt_neg(ffi.NULL, out()) == lib.RT_ERR_NULL
    seen = []
    thread = threading.Thread(target=lambda: seen.append((lib.rt_last_error_status(), message())))
    thread.start()
    thread.join()
    assert seen == [(lib.RT_OK, "")]


def test_getters_accept_null():
    null = ffi.NULL
    assert lib.rt_tensor_retain(null) == null
    assert lib.rt_tensor_ndim(null) == lib.rt_tensor_numel(null) == lib.rt_tensor_version(null) == 0
    assert lib.rt_tensor_shape(null) == lib.rt_tensor_strides(null) == lib.rt_tensor_data(null) == null
    assert lib.rt_tensor_dtype(null) == -1
    assert lib.rt_tensor_list_len(null) == lib.rt_archive_len(null) == lib.rt_node_next_count(null) == 0
    assert lib.rt_node_name(null) == lib.rt_archive_name(null, 0) == null


@pytest.mark.parametrize("code", [-2, -1, 15, 99, 2**31 - 1, -(2**31)])
def test_unknown_dtype_codes(code):
    assert lib.rt_dtype_get(code, sized("rt_dtype_info")) == lib.RT_ERR_DTYPE
    assert lib.rt_tensor_from_data(ffi.new("char[8]"), [1], 1, code, out()) == lib.RT_ERR_DTYPE


def test_bad_arguments_of_the_makers():
    data = ffi.new("float[4]")
    assert lib.rt_tensor_from_data(data, [-1], 1, lib.RT_FLOAT32, out()) == lib.RT_ERR_SHAPE
    assert lib.rt_tensor_from_data(data, ffi.NULL, 3, lib.RT_FLOAT32, out()) == lib.RT_ERR_NULL
    assert lib.rt_tensor_from_data(ffi.NULL, [4], 1, lib.RT_FLOAT32, out()) == lib.RT_ERR_NULL
    assert lib.rt_tensor_from_data(data, [4], 1 << 40, lib.RT_FLOAT32, out()) == lib.RT_ERR_VALUE
    blob = [ffi.NULL, ffi.NULL, out()]
    assert lib.rt_tensor_from_blob(data, [2], [-1], 1, lib.RT_FLOAT32, *blob) == lib.RT_ERR_VALUE
    huge = [2**62, 2**62]
    assert lib.rt_tensor_from_blob(data, [2, 3], huge, 2, lib.RT_FLOAT32, *blob) == lib.RT_ERR_VALUE
    assert lib.rt_tensor_from_blob(data, [2**62, 2**62], ffi.NULL, 2, lib.RT_FLOAT32, *blob) in (
        lib.RT_ERR_VALUE,
        lib.RT_ERR_MEMORY,
    )


def test_absurd_sizes_are_memory_errors():
    for sizes in [[2**40], [2**31, 2**31], [2**62], [2**33, 2**33, 2**33]]:
        assert lib.rt_zeros(sizes, len(sizes), lib.RT_FLOAT64, out()) == lib.RT_ERR_MEMORY, sizes


def test_copy_to_minds_the_room():
    t, place = tensor(range(4)), ffi.new("double[4]")
    assert lib.rt_tensor_copy_to(t, lib.RT_FLOAT64, place, 31) == lib.RT_ERR_VALUE
    assert list(place) == [0.0] * 4
    assert lib.rt_tensor_copy_to(t, lib.RT_FLOAT64, place, 32) == lib.RT_OK
    assert list(place) == [0.0, 1.0, 2.0, 3.0]


def test_the_door_by_name():
    a, p, n = tensor([1.0, -2.0]), ffi.new("rt_tensor *[2]"), ffi.new("size_t *")
    call = lib.rt_op_call
    assert call(b"relu", [a], 1, ffi.NULL, 0, p, 2, n) == lib.RT_OK and n[0] == 1
    values = ffi.new("float[2]")
    assert lib.rt_tensor_copy_to(p[0], lib.RT_FLOAT32, values, 8) == lib.RT_OK and list(values) == [1.0, 0.0]
    lib.rt_tensor_free(p[0])
    n[0] = 77
    assert call(b"no_such_op", [a], 1, ffi.NULL, 0, p, 2, n) == lib.RT_ERR_UNSUPPORTED
    assert call(b"relu", [a, a], 2, ffi.NULL, 0, p, 2, n) == lib.RT_ERR_VALUE
    assert call(b"relu", [a], 1, ffi.NULL, 0, p, 0, n) == lib.RT_ERR_VALUE
    assert call(b"relu", [ffi.NULL], 1, ffi.NULL, 0, p, 2, n) == lib.RT_ERR_NULL
    assert call(b"relu", ffi.NULL, 1, ffi.NULL, 0, p, 2, n) == lib.RT_ERR_NULL
    assert call(b"relu", [a], 1, ffi.NULL, 1, p, 2, n) == lib.RT_ERR_NULL
    assert call(b"add", [a, a], 2, ffi.NULL, 0, p, 2, n) == lib.RT_ERR_VALUE
    assert call(b"add", [a, a], 2, attributes({"kind": 99}), 1, p, 2, n) == lib.RT_ERR_VALUE
    assert call(b"\xff\xfe", [a], 1, ffi.NULL, 0, p, 2, n) == lib.RT_ERR_VALUE
    assert n[0] == 77


def by_name(name, inputs, *attrs):
    """What the op gives: the dtype's code, the sizes, and the elements as doubles."""
    place, n = ffi.new("rt_tensor *[4]"), ffi.new("size_t *")
    numbers = attributes(*attrs)
    assert lib.rt_op_call(name, inputs, len(inputs), numbers, len(attrs), place, 4, n) == lib.RT_OK, message()
    found = []
    for h in place[0 : n[0]]:
        count = lib.rt_tensor_numel(h)
        values = ffi.new("double[]", count)
        assert lib.rt_tensor_copy_to(h, lib.RT_FLOAT64, values, 8 * count) == lib.RT_OK
        sizes = list(lib.rt_tensor_shape(h)[0 : lib.rt_tensor_ndim(h)])
        found.append((lib.rt_tensor_dtype(h), sizes, list(values)))
        lib.rt_tensor_free(h)
    return found


def whole(i):
    return {"kind": lib.RT_ATTR_INT, "i": i}


def truth(i):
    return {"kind": lib.RT_ATTR_BOOL, "i": i}


NOTHING = {"kind": lib.RT_ATTR_NONE}


def test_attributes_by_name_are_what_they_say():
    a, place, n = tensor([1.0, 2.0]), ffi.new("rt_tensor *[1]"), ffi.new("size_t *")

    def call(name, *attrs):
        numbers = attributes(*attrs)
        status = lib.rt_op_call(name, [a], 1, numbers, len(attrs), place, 1, n)
        if status == lib.RT_OK:
            lib.rt_tensor_free(place[0])
        return status

    # Codes of dtypes are no larger than 32 bits, not cut to them.
    for code in (-1, -2, 15, 99, 2**32, 2**32 + lib.RT_FLOAT32, -(2**32) + lib.RT_FLOAT32, 2**63 - 1, -(2**63)):
        dtype = {"kind": lib.RT_ATTR_DTYPE, "i": code}
        assert call(b"zeros_like", dtype) == lib.RT_ERR_DTYPE, code
        assert call(b"sum", NOTHING, truth(0), dtype) == lib.RT_ERR_DTYPE, code
    assert call(b"sum", NOTHING, truth(0), {"kind": lib.RT_ATTR_DTYPE, "i": lib.RT_FLOAT64}) == lib.RT_OK
    for attr in (NOTHING, whole(1), {"kind": lib.RT_ATTR_FLOAT, "f": 1.0}):
        assert call(b"sum", NOTHING, attr, NOTHING) == lib.RT_ERR_VALUE
    for attr in (NOTHING, truth(1), {"kind": lib.RT_ATTR_FLOAT, "f": 0.0}, {"kind": lib.RT_ATTR_INTS}):
        assert call(b"softmax", attr, NOTHING) == lib.RT_ERR_VALUE
    for attr in (whole(0), truth(0), {"kind": lib.RT_ATTR_FLOAT, "f": 0.0}):
        assert call(b"sum", attr, truth(0), NOTHING) == lib.RT_ERR_VALUE
    # Lists: of nothing, missing, and too long.
    ints = ffi.new("int64_t[]", [0])
    for attr, status in [
        ({"kind": lib.RT_ATTR_INTS, "ints": ints, "len": 1}, lib.RT_OK),
        ({"kind": lib.RT_ATTR_INTS, "len": 0}, lib.RT_OK),
        ({"kind": lib.RT_ATTR_INTS, "len": 1}, lib.RT_ERR_NULL),
        ({"kind": lib.RT_ATTR_INTS, "ints": ints, "len": 2**21}, lib.RT_ERR_VALUE),
    ]:
        assert call(b"sum", attr, truth(0), NOTHING) == status
    # A word.
    words = [ffi.new("char[]", w) for w in (b"floor", b"trunc", b"", b"ceil", b"\xff", b"x" * 5000)]
    statuses = []
    for w in (*words, ffi.NULL):
        numbers = attributes({"kind": lib.RT_ATTR_STR, "str": w})
        statuses.append(lib.rt_op_call(b"div", [a, a], 2, numbers, 1, place, 1, n))
        if statuses[-1] == lib.RT_OK:
            lib.rt_tensor_free(place[0])
    assert statuses == [lib.RT_OK] * 3 + [lib.RT_ERR_VALUE] * 3 + [lib.RT_ERR_NULL]


def test_tensors_of_int32_by_name():
    a, b = [7, -3, 2**31 - 1, 5], [2, 2, 1, -3]
    x, y = tensor(a, dtype="int32_t"), tensor(b, dtype="int32_t")
    same = [lib.RT_INT32, [4]]
    wrap = [9, -1, -(2**31), 2]
    assert by_name(b"add", [x, y], whole(1)) == [(*same, wrap)]
    assert by_name(b"add_", [tensor(a, dtype="int32_t"), y], whole(1)) == [(*same, wrap)]
    assert by_name(b"mul", [x, y]) == [(*same, [14, -6, 2**31 - 1, -15])]
    assert by_name(b"remainder", [x, y]) == [(*same, [1, 1, 0, -1])]
    assert by_name(b"neg", [x]) == [(*same, [-7, 3, -(2**31) + 1, -5])]
    assert by_name(b"maximum", [x, y]) == [(*same, [7, 2, 2**31 - 1, 5])]
    assert by_name(b"sum", [x], NOTHING, truth(0), NOTHING) == [(lib.RT_INT64, [], [2**31 + 8])]
    assert by_name(b"exp", [tensor([0], dtype="int32_t")]) == [(lib.RT_FLOAT32, [1], [1])]
    assert by_name(b"eq", [x, x]) == [(lib.RT_BOOL, [4], [1] * 4)]
    values, order = by_name(b"sort", [x], whole(-1), truth(0), truth(0))
    assert values == (*same, [-3, 5, 7, 2**31 - 1]) and order == (lib.RT_INT64, [4], [1, 3, 0, 2])
    m = tensor([1, 2, 3, 2**30], [2, 2], "int32_t")
    assert by_name(b"matmul", [m, m]) == [(lib.RT_INT32, [2, 2], [7, 2 - 2**31, 3 + 3 * 2**30 - 2**32, 6])]
    # As indices they count as int64 does.
    table = tensor(range(6), [3, 2])
    at, long = (tensor([2, 0], dtype=d) for d in ("int32_t", "int64_t"))
    for name, inputs, attrs in [
        (b"embedding", lambda i: [i, table], [NOTHING]),
        (b"embedding_backward", lambda i: [tensor(range(4), [2, 2]), i], [whole(3), NOTHING]),
        (b"index_select", lambda i: [table, i], [whole(0)]),
        (b"index", lambda i: [table, i], []),
        (b"bincount", lambda i: [i, ffi.NULL], [whole(0)]),
        (b"gather", lambda i: [tensor([1.0, 2.0, 4.0]), i], [whole(0), truth(0)]),
        (b"scatter_add", lambda i: [tensor([1.0, 2.0, 4.0]), i, tensor([8.0, 16.0])], [whole(0)]),
        (b"repeat_interleave_tensor", lambda i: [tensor([5, 6]), i], [NOTHING, NOTHING]),
    ]:
        assert by_name(name, inputs(at), *attrs) == by_name(name, inputs(long), *attrs), name


def test_what_fails_has_changed_nothing():
    """Room for results and codes are looked at before anything runs."""
    a, p, n = tensor([1.0, -2.0]), ffi.new("rt_tensor *[2]"), ffi.new("size_t *")
    values = ffi.new("float[2]")
    for name, capacity in [(b"relu_", 0), (b"neg_", 0), (b"exp", 0), (b"max_dim", 1), (b"sort", 1)]:
        attrs = attributes({}, {})
        assert lib.rt_op_call(name, [a], 1, attrs, 0, p, capacity, n) != lib.RT_OK
        assert lib.rt_tensor_copy_to(a, lib.RT_FLOAT32, values, 8) == lib.RT_OK and list(values) == [1.0, -2.0]
    assert lib.rt_tensor_version(a) == 0
    for code in [-2, -(2**31), 99, 2**31 - 1]:
        assert lib.rt_sum(a, ffi.NULL, 0, False, code, p) == lib.RT_ERR_DTYPE, code
        assert lib.rt_zeros_like(a, code, p) == lib.RT_ERR_DTYPE, code
        assert lib.rt_tensor_from_number({"kind": lib.RT_SCALAR_INT, "value": {"i": 1}}, code, p) == lib.RT_ERR_DTYPE
    assert lib.rt_sum(a, ffi.NULL, 0, False, -1, p) == lib.RT_OK
    lib.rt_tensor_free(p[0])


def test_room_of_a_view_that_is_larger_than_all_memory():
    a, p, place = tensor([1.0]), ffi.new("rt_tensor *[1]"), ffi.new("double[4]")
    assert lib.rt_expand(a, [2**61], 1, p) == lib.RT_OK
    assert lib.rt_tensor_numel(p[0]) == 2**61
    assert lib.rt_tensor_copy_to(p[0], lib.RT_FLOAT64, place, 32) != lib.RT_OK and list(place) == [0.0] * 4
    assert lib.rt_tensor_copy_to(p[0], lib.RT_UINT8, place, 32) == lib.RT_ERR_VALUE and list(place) == [0.0] * 4
    lib.rt_tensor_free(p[0])
    assert lib.rt_expand(a, [2**62, 8], 2, p) == lib.RT_ERR_MEMORY
    for sizes in [[2**62, 2**62], [0, 2**63 - 1, 2**63 - 1]]:
        assert lib.rt_tensor_from_data(place, sizes, len(sizes), lib.RT_FLOAT32, p) == lib.RT_ERR_MEMORY


def test_memory_of_the_caller_is_looked_at():
    block, p = ffi.new("float[8]", list(range(8))), ffi.new("rt_tensor *[1]")

    def blob(data, sizes, strides=ffi.NULL, dtype=lib.RT_FLOAT32):
        return lib.rt_tensor_from_blob(data, sizes, strides, len(sizes), dtype, ffi.NULL, ffi.NULL, p)

    for status, arguments in [
        (lib.RT_ERR_NULL, (ffi.NULL, [2])),
        (lib.RT_ERR_SHAPE, (block, [-1])),
        (lib.RT_ERR_MEMORY, (block, [2**62, 8])),
        (lib.RT_ERR_VALUE, (block, [2], [-1])),
        (lib.RT_ERR_VALUE, (block, [2], [2**62])),
        (lib.RT_ERR_VALUE, (block, [2, 2], [2**62, 2**62])),
        (lib.RT_ERR_VALUE, (ffi.cast("char *", block) + 1, [2])),
        (lib.RT_ERR_DTYPE, (block, [2], ffi.NULL, -1)),
    ]:
        assert blob(*arguments) == status, arguments
    for arguments in [(ffi.NULL, [0]), (block, [1, 2], [-(2**63), 1]), (block, [1, 2], [2**63 - 1, 1])]:
        assert blob(*arguments) == lib.RT_OK
        lib.rt_tensor_free(p[0])


def test_bools_of_other_bytes():
    p, n = ffi.new("rt_tensor *[1]"), ffi.new("unsigned char[4]", [0, 2, 255, 1])
    back, sum = ffi.new("unsigned char[4]"), ffi.new("rt_tensor *[1]")
    for made in [
        lib.rt_tensor_from_data(n, [4], 1, lib.RT_BOOL, p),
        lib.rt_tensor_from_blob(n, [4], ffi.NULL, 1, lib.RT_BOOL, ffi.NULL, ffi.NULL, p),
    ]:
        assert made == lib.RT_OK
        assert lib.rt_tensor_copy_to(p[0], lib.RT_BOOL, back, 4) == lib.RT_OK and list(back) == [0, 1, 1, 1]
        assert lib.rt_sum(p[0], ffi.NULL, 0, False, -1, sum) == lib.RT_OK
        number = ffi.new("rt_scalar *")
        assert lib.rt_tensor_item(sum[0], number) == lib.RT_OK and number.value.i == 3
        lib.rt_tensor_free(sum[0])


def test_every_op_is_described():
    info = sized("rt_op_info")
    for i in range(lib.rt_op_count()):
        assert lib.rt_op_get(i, info) == lib.RT_OK
        assert ffi.string(info.name) and ffi.string(info.doc), i
        for a in elements(info.args, info.args_len):
            assert ffi.string(a.name) and ffi.string(a.kind)
    assert lib.rt_op_get(lib.rt_op_count(), info) == lib.RT_ERR_INDEX


# ---- structs of other sizes than ours: callers from the past and from the future ----


def room(struct: str, size: int):
    """Memory of a caller whose struct has `size` bytes, with 64 more behind it."""
    memory = ffi.new("unsigned char[]", b"\xab" * (ffi.sizeof(struct) + 256))
    ffi.cast("size_t *", memory)[0] = size
    return memory, ffi.cast(f"{struct} *", memory)


GETTERS = {
    "rt_op_info": (lambda out: lib.rt_op_get(0, out), ["name", "samples_len"]),
    "rt_dtype_info": (lambda out: lib.rt_dtype_get(lib.RT_FLOAT32, out), ["name", "itemsize", "eps"]),
}
# The first field that was added after the first version.
ADDED = {"rt_op_info": "relayout"}


@pytest.mark.parametrize("struct", GETTERS)
def test_structs_to_fill(struct):
    get, fields = GETTERS[struct]
    ours = sized(struct)
    assert get(ours) == lib.RT_OK and ours.size == ffi.sizeof(struct)
    first = ffi.sizeof(struct)
    # What was added since the first version need not be there.
    oldest = ffi.offsetof(struct, ADDED[struct]) if struct in ADDED else first
    memory, out = room(struct, oldest)
    assert get(out) == lib.RT_OK and out.size == oldest
    assert bytes(memory[oldest : oldest + 256]) == b"\xab" * 256
    for larger in (first, first + 8, first + 64):
        memory, out = room(struct, larger)
        assert get(out) == lib.RT_OK
        # It says how much is filled: no more than there is room for, so that it can be filled again.
        assert out.size == first
        assert [getattr(out, f) for f in fields] == [getattr(ours, f) for f in fields]
        assert bytes(memory[first : first + 256]) == b"\xab" * 256
        assert get(out) == lib.RT_OK
    for bad in (0, 8, oldest - 8, first + 1, 2**63, 2**64 - 8, 0xABABABABABABABAB):
        memory, out = room(struct, bad)
        before = bytes(memory)
        assert get(out) == lib.RT_ERR_VALUE, bad
        assert "size" in message() and struct in message()
        assert bytes(memory) == before


def stretched(size: int, *attrs: dict, own: list[int] | None = None):
    """An array of `rt_attr` as somebody has it for whom one takes `size` bytes."""
    block = ffi.new("unsigned char[]", b"\xab" * (max(size, 64) * len(attrs) + 256))
    for i, a in enumerate(attrs):
        place = ffi.new("rt_attr *", {"size": own[i] if own else size} | a)
        ffi.memmove(block + i * size, place, min(max(size, 8), ffi.sizeof("rt_attr")))
    return block, ffi.cast("rt_attr *", block)


def test_attributes_of_other_sizes():
    a, p, n = tensor(range(6), [2, 3]), ffi.new("rt_tensor *[1]"), ffi.new("size_t *")
    ours = ffi.sizeof("rt_attr")
    kept = ffi.new("int64_t[]", [1])
    wanted = [
        {"kind": lib.RT_ATTR_INTS, "ints": kept, "len": 1},
        truth(1),
        {"kind": lib.RT_ATTR_DTYPE, "i": lib.RT_FLOAT64},
    ]

    def call(size, own=None):
        _kept, attrs = stretched(size, *wanted, own=own)
        status = lib.rt_op_call(b"sum", [a], 1, attrs, len(wanted), p, 1, n)
        if status == lib.RT_OK:
            values = ffi.new("double[2]")
            assert lib.rt_tensor_dtype(p[0]) == lib.RT_FLOAT64
            assert lib.rt_tensor_copy_to(p[0], lib.RT_FLOAT64, values, 16) == lib.RT_OK
            lib.rt_tensor_free(p[0])
            assert list(values) == [3.0, 12.0]
        return status

    for size in (ours - 8, ours, ours + 8, ours + 64):
        assert call(size) == lib.RT_OK, size
    # The imaginary part came later: who does not know it may do without.
    for size in (0, 8, ours - 16, ours + 4, ours + 1):
        assert call(size) == lib.RT_ERR_VALUE, size
        assert "rt_attr" in message() and "size" in message()
    assert call(ours, [2**40] * 3) == lib.RT_ERR_VALUE
    for mixed in ([ours, ours, ours + 8], [ours, 0, ours], [ours, ours, ours - 8]):
        assert call(ours, mixed) == lib.RT_ERR_VALUE
        assert "place" in message()
    # Inference goes by the same door.
    _kept, attrs = stretched(ours + 16, whole(2))
    assert lib.rt_op_infer(b"add", [a, a], 2, attrs, 1, p, 1, n) == lib.RT_OK
    lib.rt_tensor_free(p[0])


def test_descriptions_of_arguments_know_their_size():
    info = sized("rt_op_info")
    for i in range(lib.rt_op_count()):
        assert lib.rt_op_get(i, info) == lib.RT_OK
        assert all(a.size == ffi.sizeof("rt_arg_info") for a in elements(info.args, info.args_len))


def test_complex_numbers():
    one = ffi.new("rt_scalar *", {"kind": lib.RT_SCALAR_COMPLEX, "value": {"c": {"re": 1.0, "im": 2.0}}})[0]
    assert (one.value.c.re, one.value.c.im) == (1.0, 2.0)
    assert ffi.sizeof("rt_number") == 16 and lib.RT_SCALAR_COMPLEX == 4
    a, p = tensor([1.0, 2.0]), out()
    for call in (
        lambda: lib.rt_mul_scalar(a, one, p),
        lambda: lib.rt_full([2], 1, one, -1, p),
        lambda: lib.rt_tensor_from_number(one, -1, p),
    ):
        assert call() == lib.RT_OK and lib.rt_tensor_dtype(p[0]) in (lib.RT_COMPLEX64, lib.RT_COMPLEX128)
    value = ffi.new("rt_scalar *")
    assert lib.rt_tensor_item(p[0], value) == lib.RT_OK and value.kind == lib.RT_SCALAR_COMPLEX
    assert (value.value.c.re, value.value.c.im) == (1.0, 2.0)
    assert lib.rt_add(a, a, one, p) == lib.RT_ERR_VALUE and "complex" in message()
    assert lib.rt_clamp(a, one, {"kind": lib.RT_SCALAR_NONE}, p) == lib.RT_ERR_DTYPE
