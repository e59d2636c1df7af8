/* What the library asks of a program: whether to go on, and which contexts a handle keeps alive. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "rustorch.h"

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, rt_last_error()); \
      exit(1); \
    } \
  } while (0)

static int asked, stop_at;

static int32_t ask(void) { return ++asked >= stop_at; }

static struct rt_tensor *filled(int64_t rows, int64_t columns, double value) {
  const int64_t shape[] = {rows, columns};
  struct rt_scalar v;
  struct rt_tensor *t = NULL;
  v.kind = RT_SCALAR_FLOAT;
  v.value.f = value;
  CHECK(rt_full(shape, 2, v, -1, &t) == RT_OK);
  return t;
}

static double total(const struct rt_tensor *t) {
  struct rt_tensor *sum = NULL;
  struct rt_scalar v;
  CHECK(rt_sum(t, NULL, 0, false, -1, &sum) == RT_OK);
  CHECK(rt_tensor_item(sum, &v) == RT_OK);
  rt_tensor_free(sum);
  return v.value.f;
}

static void interrupts(size_t threads) {
  struct rt_tensor *a = filled(1200, 1200, 1.0), *x = filled(4000, 4000, 1.0), *out = NULL;
  struct rt_scalar one;
  int n, before;
  one.kind = RT_SCALAR_FLOAT;
  one.value.f = 1.0;
  CHECK(rt_set_num_threads(threads) == RT_OK);

  /* Whoever is not asked goes on for ever. */
  rt_set_interrupt_check(NULL);
  CHECK(rt_matmul(a, a, &out) == RT_OK);
  CHECK(fabs(total(out) - 1200.0 * 1200.0 * 1200.0) < 1e6);
  rt_tensor_free(out);
  out = NULL;
  CHECK(asked == 0);

  /* A long call asks; told so at the second time, it ends and does not ask again. */
  rt_set_interrupt_check(ask);
  stop_at = 2;
  for (n = 0; n < 10000 && rt_matmul(a, a, &out) == RT_OK; n++) {
    rt_tensor_free(out);
    out = NULL;
  }
  CHECK(out == NULL && n < 10000 && asked == 2);
  before = asked;
  CHECK(rt_last_error_status() == RT_ERR_INTERRUPTED);

  /* What changes a tensor runs to its end without asking. */
  for (n = 0; n < 20; n++) CHECK(rt_add_scalar_(x, one, one) == RT_OK);
  CHECK(asked == before);
  rt_set_interrupt_check(NULL);
  CHECK(fabs(total(x) - 21.0 * 16e6) < 1.0);

  /* The threads are there for the next call. */
  rt_set_interrupt_check(NULL);
  CHECK(rt_matmul(a, a, &out) == RT_OK);
  asked = 0;
  rt_tensor_free(a);
  rt_tensor_free(x);
  rt_tensor_free(out);
}

static int released;

static rt_status hook(void *ctx, const struct rt_tensor *grad, struct rt_tensor **replacement) {
  (void)ctx, (void)grad, (void)replacement;
  return RT_OK;
}
static void release(void *ctx) { released += *(int *)ctx; }
static void other(void *ctx) { (void)ctx; }
static int32_t visit(void *ctx, void *arg) {
  *(int *)arg += *(int *)ctx;
  return 0;
}
static int32_t visit_one(void *ctx, void *arg) {
  *(int *)arg += *(int *)ctx;
  return 7;
}

static int seen(const struct rt_tensor *t) {
  int sum = 0;
  CHECK(rt_tensor_visit_contexts(t, release, visit, &sum) == 0);
  return sum;
}

static void contexts(void) {
  int one = 1, ten = 10, hundred = 100, sum = 0;
  uint64_t id = 0, second = 0;
  struct rt_tensor *x = filled(2, 2, 1.0), *y = NULL, *z = NULL, *again;
  CHECK(rt_tensor_set_requires_grad(x, true) == RT_OK);
  CHECK(seen(x) == 0 && seen(NULL) == 0);
  CHECK(rt_tensor_register_hook(x, hook, &one, release, &id) == RT_OK);
  CHECK(rt_tensor_register_post_accumulate_grad_hook(x, hook, &ten, release, &second) == RT_OK);
  CHECK(seen(x) == 11);
  CHECK(rt_tensor_visit_contexts(x, other, visit, &sum) == 0 && sum == 0);
  CHECK(rt_tensor_visit_contexts(x, release, visit_one, &sum) == 7 && (sum == 1 || sum == 10));

  /* Two handles: neither keeps them alone. */
  again = rt_tensor_retain(x);
  CHECK(seen(x) == 0 && seen(again) == 0);
  rt_tensor_free(again);
  CHECK(seen(x) == 11);

  /* A graph holds the leaf, and is held by its root. */
  CHECK(rt_exp(x, &y) == RT_OK);
  CHECK(rt_tensor_register_hook(y, hook, &hundred, release, &id) == RT_OK);
  CHECK(seen(x) == 0 && seen(y) == 100);
  CHECK(rt_neg(y, &z) == RT_OK);
  CHECK(seen(y) == 0 && seen(z) == 0);
  rt_tensor_free(y);
  CHECK(seen(z) == 100);
  rt_tensor_free(x);
  CHECK(seen(z) == 111 && released == 0);
  rt_tensor_free(z);
  CHECK(released == 111);
}

int main(void) {
  interrupts(1);
  interrupts(2);
  contexts();
  CHECK(rt_live_tensors() == 0);
  return 0;
}
