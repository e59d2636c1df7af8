/* Replays a recorded trace (see test_replay.py) through the door by name and compares every result bit for bit. */
#include "rustorch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ARGS 256

static const unsigned char *at, *end;
static rt_tensor **tensors; /* by id; id 0 is NULL */
static size_t ids;

static void fail(const char *what, const char *name) {
  fprintf(stderr, "replay: %s (%s): %s\n", what, name, rt_last_error());
  exit(1);
}

static const void *bytes(size_t n) {
  const unsigned char *p = at;
  if ((size_t)(end - at) < n) fail("the trace ends early", "");
  at += n;
  return p;
}

static int64_t whole(void) {
  int64_t v;
  memcpy(&v, bytes(sizeof v), sizeof v);
  return v;
}

static double real(void) {
  double v;
  memcpy(&v, bytes(sizeof v), sizeof v);
  return v;
}

static size_t id(void) {
  const int64_t i = whole();
  if (i < 0 || (size_t)i >= ids) fail("bad id", "");
  return (size_t)i;
}

static size_t count(size_t most) {
  const int64_t n = whole();
  if (n < 0 || (size_t)n > most) fail("bad count", "");
  return (size_t)n;
}

static const char *text(void) {
  const size_t n = count(65536);
  const char *s = bytes(n + 1); /* with its NUL */
  if (s[n] != 0) fail("bad text", "");
  return s;
}

/* Whole numbers need not lie aligned in the file: they are copied. The caller frees them. */
static int64_t *numbers(size_t *n) {
  int64_t *out;
  *n = count(65536);
  out = malloc((*n + 1) * sizeof *out);
  if (!out) fail("no memory", "");
  memcpy(out, bytes(*n * sizeof *out), *n * sizeof *out);
  return out;
}

/* id, dtype, sizes, strides, bytes from the first element to the last */
static void constant(void) {
  const size_t i = id();
  const int32_t dtype = (int32_t)whole();
  size_t ndim, nstrides;
  int64_t *sizes = numbers(&ndim), *strides = numbers(&nstrides), zero = 0, span;
  const size_t nbytes = count((size_t)(end - at));
  const void *data = bytes(nbytes);
  rt_dtype_info info;
  rt_tensor *flat = NULL;
  info.size = sizeof info;
  if (rt_dtype_get(dtype, &info) != RT_OK) fail("dtype", "");
  span = (int64_t)(nbytes / info.itemsize);
  if (rt_tensor_from_data(data, &span, 1, dtype, &flat) != RT_OK) fail("constant", "");
  if (rt_as_strided(flat, sizes, ndim, strides, nstrides, &zero, &tensors[i]) != RT_OK) fail("strides", "");
  rt_tensor_free(flat);
  free(sizes);
  free(strides);
}

/* id, kind, value: a plain number that yields in type promotion */
static void number(void) {
  const size_t i = id();
  rt_scalar s;
  s.kind = (int32_t)whole();
  if (s.kind == RT_SCALAR_FLOAT) s.value.f = real(); else s.value.i = whole();
  if (rt_tensor_from_number(s, -1, &tensors[i]) != RT_OK) fail("number", "");
}

/* id, row-major bytes */
static void compare(const char *name) {
  const rt_tensor *t = tensors[id()];
  const size_t nbytes = count((size_t)(end - at));
  const void *wanted = bytes(nbytes);
  void *got = malloc(nbytes + 1);
  rt_dtype_info info;
  info.size = sizeof info;
  if (!got || rt_dtype_get(rt_tensor_dtype(t), &info) != RT_OK) fail("compare", name);
  if ((size_t)rt_tensor_numel(t) * info.itemsize != nbytes) fail("a result has another size", name);
  if (rt_tensor_copy_to(t, rt_tensor_dtype(t), got, nbytes) != RT_OK) fail("compare", name);
  if (memcmp(got, wanted, nbytes) != 0) fail("a result differs", name);
  free(got);
}

/* name, inputs, attributes, outputs, comparisons */
static void call(void) {
  const char *name = text();
  const rt_tensor *in[MAX_ARGS];
  rt_tensor *out[MAX_ARGS];
  rt_attr attrs[MAX_ARGS];
  int64_t *lists[MAX_ARGS];
  size_t i, n, nattrs, nouts, got = 0;
  n = count(MAX_ARGS);
  for (i = 0; i < n; i++) {
    const size_t k = id();
    if (k != 0 && !tensors[k]) fail("an input is missing", name);
    in[i] = tensors[k];
  }
  nattrs = count(MAX_ARGS);
  for (i = 0; i < nattrs; i++) {
    memset(&attrs[i], 0, sizeof attrs[i]);
    attrs[i].size = sizeof attrs[i];
    attrs[i].kind = (int32_t)whole();
    attrs[i].i = whole();
    attrs[i].f = real();
    attrs[i].ints = lists[i] = numbers(&attrs[i].len);
    attrs[i].str = text();
  }
  if (rt_op_call(name, in, n, attrs, nattrs, out, MAX_ARGS, &got) != RT_OK) fail("a call fails", name);
  for (i = 0; i < nattrs; i++) free(lists[i]);
  nouts = count(MAX_ARGS);
  if (nouts != got) fail("another number of results", name);
  for (i = 0; i < nouts; i++) {
    const size_t k = id();
    if (tensors[k]) rt_tensor_free(out[i]); else tensors[k] = out[i];
  }
  n = count(MAX_ARGS);
  for (i = 0; i < n; i++) compare(name);
}

int main(int argc, char **argv) {
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  unsigned char *all;
  long size;
  size_t i, calls = 0;
  if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0) return 2;
  rewind(file);
  all = malloc((size_t)size + 1);
  if (!all || fread(all, 1, (size_t)size, file) != (size_t)size) return 2;
  fclose(file);
  at = all;
  end = all + size;
  if (memcmp(bytes(8), "rttrace1", 8) != 0) fail("not a trace", "");
  ids = count(1u << 24);
  rt_manual_seed(NULL, (uint64_t)whole());
  tensors = calloc(ids + 1, sizeof *tensors);
  if (!tensors) return 2;
  while (at < end) {
    const char tag = *(const char *)bytes(1);
    switch (tag) {
      case 'C': constant(); break;
      case 'N': number(); break;
      case 'O': call(); calls++; break;
      case 'F': compare("final value"); break;
      default: fail("bad tag", "");
    }
  }
  for (i = 0; i < ids; i++) rt_tensor_free(tensors[i]);
  free(tensors);
  free(all);
  if (rt_live_tensors() != 0) fail("handles are left", "");
  printf("%lu calls, every result equal\n", (unsigned long)calls);
  return 0;
}
