/* Memory that is not there. Every call of a recorded trace (see test_out_of_memory.py), its gradients, and the functions
   that are no ops are made to meet a failing allocation: the first, the second ... until they succeed; once with only that
   one failing and once with all later ones too. The answer must be RT_OK or RT_ERR_MEMORY, inputs must stay as they were,
   results must be the recorded bits, and no block may be left over. The program's malloc stands in for the library's. */
#define _GNU_SOURCE
#include "rustorch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static volatile long fail_at, asked, live;
static volatile int onward, hit;

/* True if this allocation has to fail. */
static int refused(void) {
  long k, at = fail_at;
  if (at == 0) return 0;
  k = __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED);
  if (k != at && !(onward && k > at)) return 0;
  hit = 1;
  return 1;
}

static void *counted(void *p) {
  if (p) __atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
  else errno = ENOMEM;
  return p;
}

void *malloc(size_t n) { return counted(refused() ? NULL : __libc_malloc(n)); }
void *calloc(size_t n, size_t size) { return counted(refused() ? NULL : __libc_calloc(n, size)); }
void *memalign(size_t align, size_t n) { return counted(refused() ? NULL : __libc_memalign(align, n)); }
void *aligned_alloc(size_t align, size_t n) { return memalign(align, n); }
int posix_memalign(void **out, size_t align, size_t n) {
  void *p = memalign(align, n);
  if (!p) return ENOMEM;
  *out = p;
  return 0;
}
void free(void *p) {
  if (p) __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
  __libc_free(p);
}
void *realloc(void *p, size_t n) {
  void *new;
  if (!p) return malloc(n);
  if (refused()) {
    errno = ENOMEM;
    return NULL;
  }
  new = __libc_realloc(p, n);
  if (!new && n == 0) __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
  return new;
}

/* ---- trying ---- */

static int thorough;
static long tries, refusals, subjects, failures;
static const char *subject = "";

static void die(const char *what, long k) {
  fail_at = 0;
  fprintf(stderr, "%s: %s (allocation %ld%s): %s\n", subject, what, k, onward ? " and later" : "", rt_last_error());
  exit(1);
}

static void must(rt_status status) {
  if (status != RT_OK) die("fails without a reason", 0);
}

/* What is tried: gives a status and keeps its results, which `undo` drops. `intact` says if nothing has changed. */
typedef struct {
  rt_status (*call)(void *);
  void (*undo)(void *);
  int (*intact)(void *);
  void *it;
} Trial;

/* Blocks that live when nothing is kept for later. The last error is the same each time. */
static long blocks(void) {
  size_t n;
  rt_op_call("no such op", NULL, 0, NULL, 0, NULL, 0, &n);
  rt_empty_cache();
  return live;
}

static rt_status attempt(const Trial *t, long k) {
  rt_status status;
  hit = 0;
  asked = 0;
  fail_at = k;
  status = t->call(t->it);
  fail_at = 0;
  tries++;
  return status;
}

static void try_here(const Trial *t) {
  long k, before, after;
  rt_status plain;
  for (k = 0; k < 2; k++) { /* the second one finds what is made once already made */
    plain = attempt(t, 0);
    if (plain == RT_OK) t->undo(t->it);
  }
  before = blocks();
  for (onward = 0; onward < 2; onward++) {
    for (k = 1; k < 1000000; k += thorough || k < 24 ? 1 : 1 + k / 12) {
      const rt_status status = attempt(t, k);
      if (status == RT_OK) {
        t->undo(t->it);
      } else if (status != RT_ERR_MEMORY && status != plain) {
        die("another status than RT_ERR_MEMORY", k);
      } else {
        if (status == RT_ERR_MEMORY) refusals++;
        if (t->intact && !t->intact(t->it)) die("an input has changed", k);
      }
      if (!hit) break;
    }
  }
  onward = 0;
  rt_empty_cache();
  if (attempt(t, 0) != plain) die("another status after all", 0);
  if (plain == RT_OK) t->undo(t->it);
  after = blocks();
  if (after != before) {
    fprintf(stderr, "%s: %ld blocks are left over\n", subject, after - before);
    exit(1);
  }
}

/* In a process of its own, so that one failure does not hide the next. */
static void try_all(const char *name, const Trial *t) {
  int status;
  pid_t child;
  struct {
    long tries, refusals;
  } told;
  int ends[2];
  subject = name;
  subjects++;
  if (pipe(ends) != 0 || (child = fork()) < 0) exit(2);
  if (child == 0) {
    try_here(t);
    told.tries = tries;
    told.refusals = refusals;
    _exit(write(ends[1], &told, sizeof told) != sizeof told);
  }
  close(ends[1]);
  if (read(ends[0], &told, sizeof told) == sizeof told) {
    tries = told.tries;
    refusals = told.refusals;
  }
  close(ends[0]);
  if (waitpid(child, &status, 0) != child) exit(2);
  if (status == 0) return;
  failures++;
  if (WIFSIGNALED(status)) fprintf(stderr, "%s: signal %d\n", name, WTERMSIG(status));
}

/* ---- calls by name ---- */

#define MOST 256
static uint8_t random_state[5056];

typedef struct {
  const char *name;
  const rt_tensor *const *in;
  size_t n;
  const rt_attr *attrs;
  size_t nattrs;
  rt_tensor *out[MOST];
  size_t got;
  rt_tensor *before[MOST]; /* copies of the inputs */
} Call;

static size_t bytes_of(const rt_tensor *t) {
  rt_dtype_info info;
  info.size = sizeof info;
  must(rt_dtype_get(rt_tensor_dtype(t), &info));
  return (size_t)rt_tensor_numel(t) * info.itemsize;
}

static int same(const rt_tensor *a, const rt_tensor *b) {
  const size_t n = bytes_of(a);
  char *x = malloc(2 * n + 1);
  int equal;
  must(rt_tensor_copy_to(a, rt_tensor_dtype(a), x, n));
  must(rt_tensor_copy_to(b, rt_tensor_dtype(b), x + n, n));
  equal = memcmp(x, x + n, n) == 0;
  free(x);
  return equal;
}

static rt_status call_it(void *it) {
  Call *c = it;
  const long at = fail_at;
  fail_at = 0;
  must(rt_generator_set_state(NULL, random_state, sizeof random_state));
  fail_at = at;
  c->got = 0;
  return rt_op_call(c->name, c->in, c->n, c->attrs, c->nattrs, c->out, MOST, &c->got);
}

static int inputs_intact(void *it) {
  Call *c = it;
  uint8_t now[sizeof random_state];
  size_t i;
  must(rt_generator_get_state(NULL, now, sizeof now));
  if (memcmp(now, random_state, sizeof now) != 0) return 0;
  for (i = 0; i < c->n; i++)
    if (c->in[i] && !same(c->in[i], c->before[i])) return 0;
  return c->got == 0;
}

/* What the call has changed becomes what it was; leaves that want gradients may only be changed by way of another handle. */
static void restore(const Call *c) {
  size_t i;
  for (i = 0; i < c->n; i++) {
    rt_tensor *same_memory;
    if (!c->in[i] || same(c->in[i], c->before[i])) continue;
    must(rt_tensor_detach(c->in[i], &same_memory));
    must(rt_copy_(same_memory, c->before[i]));
    rt_tensor_free(same_memory);
  }
}

static void undo_call(void *it) {
  Call *c = it;
  size_t i;
  for (i = 0; i < c->got; i++) rt_tensor_free(c->out[i]);
  restore(c);
}

typedef struct {
  const rt_tensor *roots[MOST], *seeds[MOST], *leaves[MOST];
  size_t nroots, nleaves;
  bool create_graph;
  rt_tensor *out[MOST];
} Grad;

static rt_status grad_it(void *it) {
  Grad *g = it;
  return rt_grad(g->roots, g->seeds, g->nroots, g->leaves, g->nleaves, true, g->create_graph, g->out);
}

static void undo_grad(void *it) {
  Grad *g = it;
  size_t i;
  for (i = 0; i < g->nleaves; i++) rt_tensor_free(g->out[i]);
}

static rt_status backward_it(void *it) {
  Grad *g = it;
  size_t i;
  const long at = fail_at;
  fail_at = 0;
  for (i = 0; i < g->nleaves; i++) must(rt_tensor_set_grad((rt_tensor *)g->leaves[i], NULL));
  fail_at = at;
  return rt_backward(g->roots, g->seeds, g->nroots, NULL, 0, true, g->create_graph);
}

static void undo_backward(void *it) {
  Grad *g = it;
  size_t i;
  for (i = 0; i < g->nleaves; i++) must(rt_tensor_set_grad((rt_tensor *)g->leaves[i], NULL));
}

/* The same call with inputs that want gradients, and the way back. */
static void try_gradients(const Call *plain) {
  Call c = *plain;
  Grad g;
  const rt_tensor *in[MOST];
  char name[128];
  size_t i;
  const Trial forward = {call_it, undo_call, inputs_intact, &c}, grad = {grad_it, undo_grad, NULL, &g};
  const Trial backward = {backward_it, undo_backward, NULL, &g};
  memset(&g, 0, sizeof g);
  for (i = 0; i < c.n; i++) {
    rt_tensor *leaf;
    rt_dtype_info info;
    in[i] = NULL;
    if (!c.in[i]) continue;
    info.size = sizeof info;
    must(rt_dtype_get(rt_tensor_dtype(c.in[i]), &info));
    must(rt_tensor_detach(c.in[i], &leaf));
    in[i] = leaf;
    if (info.category != 2) continue;
    must(rt_tensor_set_requires_grad(leaf, true));
    g.leaves[g.nleaves++] = leaf;
  }
  c.in = in;
  if (g.nleaves > 0 && call_it(&c) == RT_OK) {
    restore(&c);
    for (i = 0; i < c.got; i++) {
      rt_tensor *seed;
      if (!rt_tensor_requires_grad(c.out[i])) continue;
      must(rt_ones_like(c.out[i], -1, &seed));
      g.roots[g.nroots] = c.out[i];
      g.seeds[g.nroots++] = seed;
    }
    if (g.nroots > 0) {
      Call kept = c;
      snprintf(name, sizeof name, "grad of %s", c.name);
      if (grad_it(&g) == RT_OK) {
        undo_grad(&g);
        try_all(name, &grad);
        snprintf(name, sizeof name, "backward of %s", c.name);
        try_all(name, &backward);
        g.create_graph = true;
        snprintf(name, sizeof name, "grad of %s with its graph", c.name);
        if (grad_it(&g) == RT_OK) {
          undo_grad(&g);
          try_all(name, &grad);
        }
      }
      snprintf(name, sizeof name, "%s, recorded", c.name);
      try_all(name, &forward);
      c = kept;
    }
    for (i = 0; i < g.nroots; i++) rt_tensor_free((rt_tensor *)g.seeds[i]);
    for (i = 0; i < c.got; i++) rt_tensor_free(c.out[i]);
  }
  for (i = 0; i < c.n; i++) rt_tensor_free((rt_tensor *)in[i]);
}

static rt_status tried_call(const char *name, const rt_tensor *const *in, size_t n, const rt_attr *attrs, size_t nattrs,
                            rt_tensor **out, size_t capacity, size_t *got) {
  Call c;
  size_t i;
  rt_status status;
  const Trial trial = {call_it, undo_call, inputs_intact, &c};
  memset(&c, 0, sizeof c);
  must(rt_generator_get_state(NULL, random_state, sizeof random_state));
  c.name = name;
  c.in = in;
  c.n = n;
  c.attrs = attrs;
  c.nattrs = nattrs;
  for (i = 0; i < n; i++)
    if (in[i]) must(rt_clone(in[i], &c.before[i]));
  try_all(name, &trial);
  if (name[strlen(name) - 1] != '_') try_gradients(&c);
  for (i = 0; i < n; i++) rt_tensor_free(c.before[i]);
  must(rt_generator_set_state(NULL, random_state, sizeof random_state));
  status = rt_op_call(name, in, n, attrs, nattrs, out, capacity, got);
  return status;
}

/* ---- functions that are no ops ---- */

static char file[4096], other_file[4096];
static rt_tensor *leaf, *values;
static const char *const names[] = {"a", "another"}, *const keys[] = {"key"}, *const texts[] = {"text"};

static void nothing(void *it) { (void)it; }
static void free_result(void *it) { rt_tensor_free(*(rt_tensor **)it); }

static rt_status from_data(void *it) {
  static const float data[40];
  static const int64_t shape[] = {1, 2, 1, 2, 1, 10, 1, 1};
  return rt_tensor_from_data(data, shape, 8, RT_FLOAT32, it);
}
static int released;
static void release(void *ctx) { (void)ctx, released++; }
static rt_status from_blob(void *it) {
  static float data[40];
  static const int64_t shape[] = {4, 10};
  released = 0;
  return rt_tensor_from_blob(data, shape, NULL, 2, RT_FLOAT32, release, NULL, it);
}
static int not_released(void *it) { return (void)it, released == 0; }
static rt_status from_number(void *it) {
  rt_scalar s;
  s.kind = RT_SCALAR_FLOAT;
  s.value.f = 1;
  return rt_tensor_from_number(s, RT_FLOAT32, it);
}
static rt_status detach(void *it) { return rt_tensor_detach(leaf, it); }
static rt_status with_data(void *it) { return rt_tensor_with_data(leaf, values, it); }
static rt_status to_dlpack(void *it) { return rt_tensor_to_dlpack(values, true, it); }
static void free_dlpack(void *it) { rt_dlpack_free(*(void **)it, true); }
static void *managed;
static rt_status from_dlpack(void *it) {
  const long at = fail_at;
  rt_status status;
  fail_at = 0;
  must(rt_tensor_to_dlpack(values, false, &managed));
  fail_at = at;
  status = rt_tensor_from_dlpack(managed, false, it);
  if (status != RT_OK) rt_dlpack_free(managed, false); /* still ours */
  return status;
}
static rt_status save(void *it) {
  const rt_tensor *tensors[] = {leaf, values};
  (void)it;
  return rt_save(file, names, tensors, 2, keys, texts, 1);
}
static rt_status save_over(void *it) {
  const rt_tensor *tensors[] = {leaf, values};
  (void)it;
  return rt_save(other_file, names, tensors, 2, keys, texts, 1);
}
/* A file that could not be written is the old one. */
static int file_intact(void *it) {
  rt_archive *a;
  (void)it;
  must(rt_load(other_file, &a));
  if (rt_archive_len(a) != 2) return 0;
  rt_archive_free(a);
  return 1;
}
static rt_status load(void *it) { return rt_load(file, it); }
static void free_archive(void *it) { rt_archive_free(*(rt_archive **)it); }
static rt_status load_bytes(void *it) {
  static uint8_t all[4096];
  static size_t n;
  if (n == 0) {
    FILE *f = fopen(file, "rb");
    n = fread(all, 1, sizeof all, f);
    fclose(f);
  }
  return rt_load_bytes(all, n, it);
}
static rt_status generator(void *it) { return rt_generator_new(1, it); }
static void free_generator(void *it) { rt_generator_free(*(rt_generator **)it); }
static rt_status hook(void *ctx, const rt_tensor *g, rt_tensor **out) {
  const long at = fail_at;
  (void)ctx;
  fail_at = 0;
  must(rt_neg(g, out));
  fail_at = at;
  return RT_OK;
}
static uint64_t hook_id;
static rt_status add_hook(void *it) {
  (void)it;
  return rt_tensor_register_hook(leaf, hook, NULL, NULL, &hook_id);
}
static void drop_hook(void *it) { (void)it, must(rt_tensor_remove_hook(leaf, hook_id)); }
static rt_status set_grad(void *it) { return (void)it, rt_tensor_set_grad(leaf, values); }
static void drop_grad(void *it) { (void)it, must(rt_tensor_set_grad(leaf, NULL)); }
static rt_status grad_fn(void *it) {
  rt_tensor *y;
  rt_node *node;
  const long at = fail_at;
  rt_status status;
  fail_at = 0;
  must(rt_exp(leaf, &y));
  fail_at = at;
  status = rt_tensor_grad_fn(y, &node);
  if (status == RT_OK) {
    rt_node *next = NULL;
    bool is_leaf;
    status = rt_node_next(node, 0, &is_leaf, &next);
    rt_node_free(next);
    rt_node_free(node);
  }
  rt_tensor_free(y);
  return (void)it, status;
}
static rt_status custom_backward(void *ctx, const rt_tensor *const *g, size_t n, const rt_tensor *const *saved, size_t m,
                                 rt_tensor **out, size_t inputs) {
  (void)ctx, (void)n, (void)saved, (void)m, (void)inputs;
  out[0] = rt_tensor_retain(g[0]);
  return RT_OK;
}
static rt_status custom(void *it) {
  rt_tensor *y;
  const rt_tensor *in[] = {leaf}, *out[1];
  const long at = fail_at;
  rt_status status;
  fail_at = 0;
  must(rt_tensor_detach(values, &y));
  fail_at = at;
  out[0] = y;
  status = rt_custom_function("doubled", custom_backward, NULL, NULL, in, 1, out, 1, in, 1);
  if (status == RT_OK) status = rt_grad(out, in, 1, in, 1, true, true, it);
  rt_tensor_free(y);
  return status;
}
/* A chain with hooks, a kept gradient and a leaf that collects. */
static rt_status chain(void *it) {
  rt_tensor *y[4] = {NULL};
  uint64_t id;
  int i;
  rt_status status = rt_exp(leaf, &y[0]);
  (void)it;
  if (status == RT_OK) status = rt_tensor_retain_grad(y[0]);
  if (status == RT_OK) status = rt_tensor_register_hook(y[0], hook, NULL, NULL, &id);
  if (status == RT_OK) status = rt_mul(y[0], leaf, &y[1]);
  if (status == RT_OK) status = rt_cat((const rt_tensor *const *)y, 2, 0, &y[2]);
  if (status == RT_OK) status = rt_sum(y[2], NULL, 0, false, -1, &y[3]);
  if (status == RT_OK) status = rt_backward((const rt_tensor *const *)&y[3], NULL, 1, NULL, 0, false, false);
  for (i = 0; i < 4; i++) rt_tensor_free(y[i]);
  if (status != RT_OK) {
    const long at = fail_at;
    fail_at = 0;
    drop_grad(it);
    fail_at = at;
  }
  return status;
}
/* In place on results and views whose gradients are kept: either all is done, or nothing. */
static rt_tensor *kept[2], *kept_before;
static int through_a_view;
static rt_status in_place(void *it) {
  const long at = fail_at;
  rt_scalar two;
  (void)it;
  two.kind = RT_SCALAR_FLOAT;
  two.value.f = 2;
  fail_at = 0;
  must(rt_mul_scalar(leaf, two, &kept[0]));
  must(rt_tensor_retain_grad(kept[0]));
  must(rt_narrow(kept[0], 0, 3, 9, &kept[1]));
  must(rt_tensor_retain_grad(kept[1]));
  must(rt_clone(kept[0], &kept_before));
  fail_at = at;
  return rt_mul_scalar_(kept[through_a_view], two);
}
static void drop_kept(void *it) {
  rt_tensor *all, *g;
  const rt_tensor *root[1];
  const long at = fail_at;
  int i;
  fail_at = 0;
  if (it) { /* it has been done: the notes are where they must be */
    must(rt_sum(kept[0], NULL, 0, false, -1, &all));
    root[0] = all;
    must(rt_backward(root, NULL, 1, NULL, 0, false, false));
    rt_tensor_free(all);
    must(rt_tensor_grad(kept[0], &g));
    if (!g) die("a gradient is not kept", at);
    rt_tensor_free(g);
    drop_grad(it);
  }
  for (i = 0; i < 2; i++) rt_tensor_free(kept[i]);
  rt_tensor_free(kept_before);
  fail_at = at;
}
static int kept_intact(void *it) {
  const int equal = same(kept[0], kept_before);
  (void)it;
  drop_kept(NULL);
  return equal;
}
/* The listener is told of each call, or that there was one; of what is made of others, of its begin and its end. */
static int told, unended;
static void listen(void *ctx, const rt_event *e) {
  (void)ctx;
  told += e->depth == 0 && e->phase == RT_EVENT_CALL;
  unended += e->phase == RT_EVENT_BEGIN ? 1 : e->phase == RT_EVENT_CALL ? 0 : -1;
  if (!e->name && e->inputs_len + e->outputs_len > 0) die("nothing is told with tensors", 0);
}
static rt_status watched(void *it) {
  static const rt_tensor *list[3000];
  const long at = fail_at;
  rt_status status;
  size_t i;
  fail_at = 0;
  for (i = 0; i < 3000; i++) list[i] = values;
  told = 0;
  must(rt_listener_push(listen, NULL));
  fail_at = at;
  status = rt_cat(list, 3000, 0, it);
  fail_at = 0;
  must(rt_listener_pop());
  if (told != (status == RT_OK)) die("the listener was told a wrong number of calls", at);
  return status;
}
static rt_status watched_parts(void *it) {
  static const int64_t dims[1] = {0};
  const long at = fail_at;
  rt_status status;
  fail_at = 0;
  unended = 0;
  must(rt_listener_push(listen, NULL));
  fail_at = at;
  status = rt_tensordot(values, values, dims, 1, dims, 1, it);
  fail_at = 0;
  must(rt_listener_pop());
  if (unended) die("an op that is made of others has no end", at);
  return status;
}
static rt_status listener(void *it) { return (void)it, rt_listener_push(listen, NULL); }
static void no_listener(void *it) { (void)it, must(rt_listener_pop()); }
static rt_status op_info(void *it) {
  rt_op_info info;
  info.size = sizeof info;
  return (void)it, rt_op_get(0, &info);
}
static rt_status shape_error(void *it) {
  rt_tensor *y;
  (void)it;
  return rt_cat(NULL, 0, 0, &y) == RT_ERR_MEMORY ? RT_ERR_MEMORY : RT_OK;
}
/* Many small results: the list, and each of them. */
static rt_status many(void *it) {
  rt_tensor_list *list;
  rt_status status = rt_unbind(values, 0, &list);
  if (status == RT_OK) {
    status = rt_tensor_list_get(list, 0, it);
    rt_tensor_list_free(list);
  }
  return status;
}

static void specials(const char *folder) {
  static void *it;
  static const int64_t shape[] = {40};
  uint64_t id;
  const struct {
    const char *name;
    Trial trial;
  } all[] = {
      {"from_data", {from_data, free_result, NULL, &it}},
      {"from_blob", {from_blob, free_result, not_released, &it}},
      {"from_number", {from_number, free_result, NULL, &it}},
      {"detach", {detach, free_result, NULL, &it}},
      {"with_data", {with_data, free_result, NULL, &it}},
      {"to_dlpack", {to_dlpack, free_dlpack, NULL, &it}},
      {"from_dlpack", {from_dlpack, free_result, NULL, &it}},
      {"save", {save, nothing, NULL, &it}},
      {"save over another file", {save_over, nothing, file_intact, &it}},
      {"load", {load, free_archive, NULL, &it}},
      {"load_bytes", {load_bytes, free_archive, NULL, &it}},
      {"generator", {generator, free_generator, NULL, &it}},
      {"register_hook", {add_hook, drop_hook, NULL, &it}},
      {"set_grad", {set_grad, drop_grad, NULL, &it}},
      {"grad_fn", {grad_fn, nothing, NULL, &it}},
      {"a custom function", {custom, free_result, NULL, &it}},
      {"a chain with hooks", {chain, drop_grad, NULL, &it}},
      {"op_info", {op_info, nothing, NULL, &it}},
      {"an error", {shape_error, nothing, NULL, &it}},
      {"unbind", {many, free_result, NULL, &it}},
      {"in place on a kept result", {in_place, drop_kept, kept_intact, &it}},
      {"a call that is listened to", {watched, free_result, NULL, &it}},
      {"parts that are listened to", {watched_parts, free_result, NULL, &it}},
      {"listener", {listener, no_listener, NULL, &it}},
  };
  size_t i;
  snprintf(file, sizeof file, "%s/new.safetensors", folder);
  snprintf(other_file, sizeof other_file, "%s/old.safetensors", folder);
  must(rt_ones(shape, 1, RT_FLOAT32, &leaf));
  must(rt_ones(shape, 1, RT_FLOAT32, &values));
  must(rt_tensor_set_requires_grad(leaf, true));
  must(save(NULL));
  must(save_over(NULL));
  for (i = 0; i < sizeof all / sizeof *all; i++) try_all(all[i].name, &all[i].trial);
  must(rt_tensor_register_hook(leaf, hook, NULL, NULL, &id));
  try_all("a chain with a leaf's hook", &all[16].trial);
  must(rt_tensor_remove_hook(leaf, id));
  through_a_view = 1;
  try_all("in place on a view of a kept result", &all[20].trial);
  rt_tensor_free(leaf);
  rt_tensor_free(values);
}

/* The very first calls of a process, each time in a new one: what is made once must be able to fail too. */
static void first_calls(void) {
  long k;
  int mode;
  subject = "first calls";
  for (mode = 0; mode < 2; mode++) {
    for (k = 1; k < 400; k += thorough || k < 30 ? 1 : 1 + k / 10) {
      int status;
      const pid_t child = fork();
      if (child == 0) {
        static const int64_t shape[] = {300, 300};
        rt_tensor *a = NULL, *b = NULL, *c = NULL;
        rt_op_info info;
        size_t got;
        rt_status s[5];
        int i, bad = 0;
        info.size = sizeof info;
        onward = mode;
        fail_at = k;
        s[0] = rt_randn(shape, 2, NULL, RT_FLOAT32, &a);
        s[1] = a ? rt_matmul(a, a, &b) : RT_OK;
        s[2] = a ? rt_op_call("exp", (const rt_tensor *const *)&a, 1, NULL, 0, &c, 1, &got) : RT_OK;
        s[3] = rt_op_get(0, &info);
        s[4] = rt_tensor_set_requires_grad(a, true);
        fail_at = 0;
        for (i = 0; i < 5; i++) bad |= s[i] != RT_OK && s[i] != RT_ERR_MEMORY && !(i == 4 && !a);
        _exit(bad ? 1 : hit ? 2 : 0);
      }
      if (waitpid(child, &status, 0) != child) exit(2);
      tries++;
      if (!WIFEXITED(status) || WEXITSTATUS(status) == 1) {
        failures++;
        fprintf(stderr, "first calls, allocation %ld%s: status %d\n", k, mode ? " and later" : "", status);
      }
      if (WEXITSTATUS(status) == 0) break;
    }
  }
}

#define rt_op_call tried_call
#define main replay_main
#include "replay.c"
#undef main
#undef rt_op_call

int main(int argc, char **argv) {
  int done;
  if (argc < 4) return 2;
  thorough = strcmp(argv[3], "all") == 0;
  first_calls();
  must(rt_set_num_threads(1));
  specials(argv[2]);
  argv[2] = NULL;
  done = replay_main(2, argv);
  if (done != 0) return done;
  if (rt_memory_in_use() != 0) {
    fprintf(stderr, "%lu bytes of tensors are left\n", (unsigned long)rt_memory_in_use());
    return 1;
  }
  if (failures != 0) return 1;
  printf("%ld subjects, %ld tries, %ld refused\n", subjects, tries, refusals);
  return 0;
}
