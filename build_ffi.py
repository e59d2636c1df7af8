"""Builds rustorch._ffi, the cffi module, from the checked-in header.

Besides the C functions as they are, the module holds a static shim for every fallible one: `py_name` instead of
`rt_name`. A shim whose last arguments are outputs returns those, so that a call needs no output slot: a Tensor, or
several as a tuple (None on failure), which own their handles as soon as they are there: an interrupt loses none;
another handle as it is (NULL on failure). It spells `rt_scalar` arguments as three plain numbers (kind, whole number,
float), and takes a list of tensors and its length as one argument, behind the others: a list or tuple of Tensors and
None. The four arithmetic operators have shims with two arguments each, as a conversion of an argument costs about as
much as a small addition. What is written by hand stands in build_ffi.c.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent
HEADER = ROOT / "rust-core" / "include" / "rustorch.h"


def cdef_source(header: str) -> str:
    """The header without directives, guards and comments, as cffi's parser wants it."""
    text = re.sub(r"#ifdef __cplusplus\n.*?#endif[^\n]*\n", "", header, flags=re.S)
    keep = re.compile(r"#define\s+RT_\w+\s+-?(0x[0-9a-fA-F]+|\d+)\s*$")
    lines = (line for line in text.splitlines() if not line.startswith("#") or keep.match(line))
    return "\n".join(line for line in lines if not line.lstrip().startswith("//"))


def shims(source: str) -> tuple[str, str]:
    """Declarations and definitions of the shims."""
    declarations, definitions = [], []
    for name, params in re.findall(r"^rt_status rt_(\w+)\(([^;]*)\);", source, flags=re.M):
        parts = [" ".join(p.split()) for p in params.split(",")]
        if any("(" in p for p in parts):
            continue  # function pointers: those are called as they are
        out = re.fullmatch(r"struct (rt_\w+) \*\*(out)", parts[-1])
        several = 0
        while several < len(parts) and re.fullmatch(r"struct rt_tensor \*\*\w+", parts[-1 - several]):
            several += 1
        if out:
            parts.pop()
        elif several > 1:
            del parts[-several:]
        outer, inner, lists = [], [], []
        for i, p in enumerate(parts):
            scalar = re.fullmatch(r"struct rt_scalar (\w+)", p)
            tensors = re.fullmatch(r"((?:const )?struct rt_tensor \*const \*)(\w+)", p)
            if tensors and parts[i + 1 : i + 2] == [f"size_t {tensors[2]}_len"]:
                lists.append(f"const struct py_list *{tensors[2]}")
                inner.append(f"({tensors[1]}){tensors[2]}->at, {tensors[2]}->len")
            elif lists and p == f"size_t {lists[-1].split('*')[-1]}_len":
                pass  # told with the list
            elif scalar:
                s = scalar[1]
                outer += [f"int32_t {s}_kind", f"int64_t {s}_i", f"double {s}_f"]
                inner.append(f"number({s}_kind, {s}_i, {s}_f)")
            elif p != "void":
                outer.append(p)
                inner.append(re.split(r"[\s*]", p)[-1])
        outer += lists  # last: what is refused before them needs no clearing up
        call = f"rt_{name}({', '.join(inner)}{', ' if inner else ''}"
        if out and out[1] == "rt_tensor":
            result = "struct py_tensor *"
            body = f"struct rt_tensor *out = NULL; {call}&out); return (struct py_tensor *)out;"
        elif out and out[1] == "rt_tensor_list":
            result = "struct py_tensors *"
            body = f"struct rt_tensor_list *out = NULL; return {call}&out) ? NULL : tensors_in(out);"
        elif out:
            result, body = f"struct {out[1]} *", f"struct {out[1]} *out = NULL; {call}&out); return out;"
        elif several > 1:
            places = ", ".join(f"out + {k}" for k in range(several))
            result = "struct py_tensors *"
            body = f"struct rt_tensor *out[{several}]; return {call}{places}) ? NULL : tensors_at(out, {several});"
        else:
            result, body = "rt_status ", f"return rt_{name}({', '.join(inner)});"
        signature = f"{result}py_{name}({', '.join(outer) or 'void'})"
        declarations.append(f"{signature};")
        definitions.append(f"static {signature} {{ {body} }}")
    return "\n".join(declarations), "\n".join(definitions)


# The arguments that the operators leave at their defaults.
OPERATORS = {"add": "number(RT_SCALAR_INT, 1, 0), ", "sub": "number(RT_SCALAR_INT, 1, 0), ", "mul": "", "div": '"", '}


def operator_shims() -> tuple[str, str]:
    """Declarations and definitions of `tensor op tensor` and `tensor op float`."""
    declarations, definitions = [], []
    for name, rest in OPERATORS.items():
        for kind, other, suffix, value in (
            ("const struct rt_tensor *", "", "", "other"),
            ("double ", "_float", "_scalar", "number(RT_SCALAR_FLOAT, 0, other)"),
        ):
            signature = f"struct py_tensor *op_{name}{other}(const struct rt_tensor *input, {kind}other)"
            call = f"rt_{name}{suffix}(input, {value}, {rest}&out)"
            declarations.append(f"{signature};")
            body = f"struct rt_tensor *out = NULL; {call}; return (struct py_tensor *)out;"
            definitions.append(f"static {signature} {{ {body} }}")
    return "\n".join(declarations), "\n".join(definitions)


# What build_ffi.c defines, and the Python functions that it calls.
GLUE = (ROOT / "build_ffi.c").read_text(encoding="utf-8")
GLUE_CDEF = """
struct py_tensor *py_from_object(uintptr_t object, void *data, const int64_t *shape, const int64_t *strides,
                                 size_t ndim, int32_t dtype);
struct py_tensor *py_retain(const struct rt_tensor *tensor);
void py_hand(const struct rt_tensor *tensor, struct rt_tensor **to);
void py_swap(uintptr_t one, uintptr_t other);
void py_tensor_class(uintptr_t class_);
extern "Python" rt_status py_on_hook(void *ctx, const struct rt_tensor *grad, struct rt_tensor **replacement);
extern "Python" rt_status py_on_backward(void *ctx, const struct rt_tensor *const *grads, size_t grads_len,
    const struct rt_tensor *const *saved, size_t saved_len, struct rt_tensor **out, size_t out_len);
extern "Python" rt_status py_on_node(void *ctx, const struct rt_tensor *const *ins, size_t ins_len,
    const struct rt_tensor *const *outs, size_t outs_len, bool *replaced, struct rt_tensor **replacements);
extern "Python" rt_status py_on_pack(void *ctx, const struct rt_tensor *tensor, void **packed);
extern "Python" rt_status py_on_unpack(void *packed, struct rt_tensor **out);
extern "Python" void py_on_call(void *ctx, const struct rt_event *event);
extern "Python" rt_status py_on_write(void *ctx, const uint8_t *data, size_t len);
extern "Python" rt_status py_on_read(void *ctx, uint8_t *data, size_t len);
rt_status py_register(struct rt_tensor *tensor, uintptr_t hook, bool after, uint64_t *id);
rt_status py_register_node(struct rt_node *node, uintptr_t hook, bool before, uint64_t *id);
rt_status py_push_saved_hooks(uintptr_t hooks);
uintptr_t py_keep(uintptr_t object);
rt_status py_record(const char *name, uintptr_t frame, const struct py_list *inputs, const struct py_list *outputs,
    const struct py_list *saved);
bool py_start(uintptr_t classes, uintptr_t null, uintptr_t tensor, uintptr_t node, uintptr_t generator, uintptr_t one,
    uintptr_t several, uintptr_t list);
void py_raised(uintptr_t into);
uintptr_t py_capsule_destructor(void);
"""
# The C API of Python that `build_ffi.c` wants: cffi would ask for the oldest.
LIMITED = [] if hasattr(sys, "gettotalrefcount") or sysconfig.get_config_var("Py_GIL_DISABLED") else ["0x030a0000"]


def make() -> FFI:
    """The builder that setup.py hands to cffi."""
    source = cdef_source(HEADER.read_text(encoding="utf-8"))
    declarations, definitions = ("\n".join(both) for both in zip(shims(source), operator_shims()))
    ffi = FFI()
    ffi.cdef(source + "\nstruct py_tensor; struct py_tensors; struct py_list;\n" + declarations + GLUE_CDEF)
    ffi.set_source(
        "rustorch._ffi",
        '#include "rustorch.h"\n' + GLUE + definitions,
        define_macros=[("Py_LIMITED_API", version) for version in LIMITED],
        include_dirs=[str(HEADER.parent.relative_to(ROOT))],
        libraries=["rustorch"],
        # Wrappers only: debug information would be most of the file.
        extra_compile_args=[] if sys.platform == "win32" else ["-g0", "-O1"],
        extra_link_args={"linux": ["-Wl,-rpath,$ORIGIN/lib"], "darwin": ["-Wl,-rpath,@loader_path/lib"]}.get(
            sys.platform, []
        ),
    )
    return ffi


ffibuilder = make()
