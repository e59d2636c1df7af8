// Callbacks that are left by pthread_exit or by an exception: the call ends, nothing stays locked or lives on, and the thread or
// the exception goes on in the caller.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <initializer_list>

#include "rustorch.h"

#define CHECK(condition)                                                                  \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, rt_last_error()); \
      exit(1);                                                                            \
    }                                                                                     \
  } while (0)

enum Way { RETURN, THROW, EXIT };
static thread_local Way way;
static int released, ended;

struct Ends {
  ~Ends() { ended++; }
};

static rt_status leave() {
  Ends here;
  if (way == THROW) throw 42;
  if (way == EXIT) pthread_exit((void *)42);
  return RT_OK;
}

// ---- callbacks of every kind ----

static rt_status hook(void *, const rt_tensor *, rt_tensor **) { return leave(); }
static rt_status node_hook(void *, const rt_tensor *const *, size_t, const rt_tensor *const *, size_t, bool *, rt_tensor **) {
  return leave();
}
static rt_status backward(void *, const rt_tensor *const *grads, size_t, const rt_tensor *const *, size_t, rt_tensor **out, size_t) {
  out[0] = rt_tensor_retain(grads[0]);  // given back if we do not return
  return leave();
}
static rt_status pack(void *, const rt_tensor *t, void **packed) {
  *packed = rt_tensor_retain(t);
  return leave();
}
static rt_status unpack(void *packed, rt_tensor **out) {
  *out = rt_tensor_retain((rt_tensor *)packed);
  return leave();
}
static void unpacked(void *packed) { rt_tensor_free((rt_tensor *)packed); }
static void listen(void *, const rt_event *) {
  leave();
}
static void release(void *) {
  released++;
  leave();
}
static void count(void *) { released++; }
static rt_status write_some(void *, const uint8_t *, size_t) { return leave(); }
static rt_status read_some(void *, uint8_t *, size_t) { return leave(); }
static int32_t ask() { return leave() != RT_OK; }

static rt_tensor *filled(int64_t rows, int64_t columns, double value) {
  const int64_t shape[] = {rows, columns};
  rt_scalar v;
  v.kind = RT_SCALAR_FLOAT;
  v.value.f = value;
  rt_tensor *t = nullptr;
  CHECK(rt_full(shape, 2, v, -1, &t) == RT_OK);
  return t;
}

// ---- programs: each has one callback that leaves its own way ----

struct Tensor {  // unwinding frees it
  rt_tensor *h = nullptr;
  explicit Tensor(rt_tensor *h) : h(h) {}
  Tensor(const Tensor &) = delete;
  ~Tensor() { rt_tensor_free(h); }
};

static void walk(const Tensor &y) {
  const rt_tensor *roots[] = {y.h};
  rt_backward(roots, nullptr, 1, nullptr, 0, true, false);
}

static rt_tensor *leaf() {
  rt_tensor *x = filled(1, 1, 2.0);
  CHECK(rt_tensor_set_requires_grad(x, true) == RT_OK);
  return x;
}

static rt_tensor *squared(const Tensor &x) {
  rt_tensor *y = nullptr;
  rt_mul(x.h, x.h, &y);
  return y;
}

static void in_a_hook() {
  Tensor x(leaf()), y(squared(x));
  uint64_t id;
  CHECK(rt_tensor_register_hook(x.h, hook, nullptr, count, &id) == RT_OK);
  walk(y);
}
static void in_a_hook_after() {
  Tensor x(leaf()), y(squared(x));
  uint64_t id;
  CHECK(rt_tensor_register_post_accumulate_grad_hook(x.h, hook, nullptr, count, &id) == RT_OK);
  walk(y);
}
static void in_a_node() {
  Tensor x(leaf()), y(squared(x));
  rt_node *node = nullptr;
  uint64_t id;
  CHECK(rt_tensor_grad_fn(y.h, &node) == RT_OK);
  CHECK(rt_node_register_hook(node, false, node_hook, nullptr, count, &id) == RT_OK);
  rt_node_free(node);
  walk(y);
}
static void in_a_function() {
  Tensor x(leaf()), y(filled(1, 1, 1.0));
  const rt_tensor *ins[] = {x.h}, *outs[] = {y.h};
  CHECK(rt_custom_function("F", backward, nullptr, count, ins, 1, outs, 1, nullptr, 0) == RT_OK);
  walk(y);
}
struct Packing {  // hooks of this thread
  Packing() { CHECK(rt_saved_hooks_push(pack, unpack, unpacked, nullptr, count) == RT_OK); }
  ~Packing() { rt_saved_hooks_pop(); }
};
static void in_packing() {
  Packing hooks;
  Tensor x(leaf()), y(squared(x));
}
static void in_unpacking() {
  Way later = way;
  way = RETURN;
  Packing hooks;
  Tensor x(leaf()), y(squared(x));
  way = later;
  walk(y);
}
struct Listening {
  Listening() { CHECK(rt_listener_push(listen, nullptr) == RT_OK); }
  ~Listening() { rt_listener_pop(); }
};
static void in_a_listener() {
  Listening on;
  Tensor x(leaf()), y(squared(x));
}
static void in_a_release() {
  Tensor x(leaf());
  uint64_t id;
  CHECK(rt_tensor_register_hook(x.h, hook, nullptr, release, &id) == RT_OK);
  rt_tensor_free(rt_tensor_retain(x.h));
  rt_tensor *last = x.h;
  x.h = nullptr;
  rt_tensor_free(last);
}
static void in_the_release_of_memory() {
  static float place[4];
  const int64_t shape[] = {4};
  rt_tensor *t = nullptr;
  CHECK(rt_tensor_from_blob(place, shape, nullptr, 1, 0, release, nullptr, &t) == RT_OK);
  rt_tensor_free(t);
}
static void in_the_deleter_of_what_was_exported() {
  static float place[4];
  const int64_t shape[] = {4};
  rt_tensor *t = nullptr;
  void *exported = nullptr;
  CHECK(rt_tensor_from_blob(place, shape, nullptr, 1, 0, release, nullptr, &t) == RT_OK);
  CHECK(rt_tensor_to_dlpack(t, true, &exported) == RT_OK);
  rt_tensor_free(t);
  rt_dlpack_free(exported, true);
}
static void in_the_release_of_an_archive() {
  rt_archive *archive = nullptr;
  {
    Tensor x(filled(1, 1, 2.0)), loaded(nullptr);
    const char *names[] = {"x"};
    const rt_tensor *all[] = {x.h};
    rt_bytes *bytes = nullptr;
    CHECK(rt_save_bytes(names, all, 1, nullptr, nullptr, 0, &bytes) == RT_OK);
    CHECK(rt_load_bytes(rt_bytes_data(bytes), rt_bytes_len(bytes), &archive) == RT_OK);
    rt_bytes_free(bytes);
    uint64_t id;
    CHECK(rt_archive_tensor(archive, 0, &loaded.h) == RT_OK);
    CHECK(rt_tensor_set_requires_grad(loaded.h, true) == RT_OK);
    CHECK(rt_tensor_register_hook(loaded.h, hook, nullptr, release, &id) == RT_OK);
  }
  rt_archive_free(archive);
}
static void in_a_writer() {
  Tensor x(filled(2, 2, 1.0));
  const char *names[] = {"x"};
  const rt_tensor *all[] = {x.h};
  rt_save_to(write_some, nullptr, names, all, 1, nullptr, nullptr, 0);
}
static void in_a_reader() {
  rt_archive *a = nullptr;
  rt_load_from(read_some, nullptr, &a);
}
struct Asking {
  Asking() { rt_set_interrupt_check(ask); }
  ~Asking() { rt_set_interrupt_check(nullptr); }
};
static void in_a_long_call() {
  Tensor a(filled(1500, 1500, 1.0));
  Asking on;
  for (;;) {
    rt_tensor *out = nullptr;
    if (rt_matmul(a.h, a.h, &out) != RT_OK) return;
    rt_tensor_free(out);
  }
}
// A hook that is in the middle of a walk of its own when that one's hook leaves.
struct Recording {  // backward has switched it off
  bool before = rt_set_grad_enabled(true);
  ~Recording() { rt_set_grad_enabled(before); }
};
static bool came_back = false;
static rt_status inner_walk(void *, const rt_tensor *, rt_tensor **) {
  Ends here;
  Recording on;
  in_a_hook();
  came_back = true;  // what left the inner hook leaves this one too, out of the door that it has opened
  return RT_OK;
}
static void in_a_hook_of_a_hook() {
  Tensor x(leaf()), y(squared(x));
  uint64_t id;
  CHECK(rt_tensor_register_hook(x.h, inner_walk, nullptr, count, &id) == RT_OK);
  walk(y);
}

typedef void (*Program)();

static void *run(void *program) {
  way = EXIT;
  ((Program)program)();
  return (void *)1;
}

static void check_all_works() {
  way = RETURN;
  rt_set_interrupt_check(nullptr);
  Tensor x(leaf()), y(squared(x)), a(filled(300, 300, 1.0));
  walk(y);
  rt_tensor *g = nullptr, *b = nullptr;
  rt_scalar v;
  CHECK(rt_tensor_grad(x.h, &g) == RT_OK && g && rt_tensor_item(g, &v) == RT_OK && v.value.f == 4.0);
  CHECK(rt_matmul(a.h, a.h, &b) == RT_OK);
  rt_tensor_free(g);
  rt_tensor_free(b);
}

int main() {
  const Program programs[] = {in_a_hook,    in_a_hook_after, in_a_node,    in_a_function,
                              in_packing,   in_unpacking,    in_a_listener, in_a_release,
                              in_the_release_of_memory, in_the_deleter_of_what_was_exported,
                              in_the_release_of_an_archive, in_a_writer, in_a_reader, in_a_long_call, in_a_hook_of_a_hook};
  int n = 0;
  rt_set_lock_timeout(100);
  for (size_t threads : {1, 2}) {
    CHECK(rt_set_num_threads(threads) == RT_OK);
    for (Program p : programs) {
      const int64_t live = rt_live_tensors();
      int before = ended;
      way = THROW;
      int caught = 0;
      try {
        p();
      } catch (int e) {
        caught = e;
      }
      if (caught != 42 || ended == before) fprintf(stderr, "program %d: %d\n", n, caught);
      CHECK(caught == 42 && ended > before);
      check_all_works();
      CHECK(rt_live_tensors() == live);

      before = ended;
      pthread_t thread;
      void *result = nullptr;
      CHECK(pthread_create(&thread, nullptr, run, (void *)p) == 0);
      CHECK(pthread_join(thread, &result) == 0);
      if (result != (void *)42) fprintf(stderr, "program %d: exit\n", n);
      CHECK(result == (void *)42 && ended > before && !came_back);
      check_all_works();
      CHECK(rt_live_tensors() == live);
      n++;
    }
  }
  printf("%d\n", released);
  return 0;
}
