/* Trains a small network in C: which of two interleaved spirals does a point belong to?
 *
 * Forward, backward and Adam all run in the library. Exit status 0 means that the loss fell below LOSS_WANTED. */
#include "rustorch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define POINTS 194
#define HIDDEN 32
#define STEPS 600
#define LOSS_WANTED 0.05

enum { W1, B1, W2, B2, W3, B3, PARAMS };

static void check(rt_status status) {
  if (status != RT_OK) {
    fprintf(stderr, "%s\n", rt_last_error());
    exit(2);
  }
}

static rt_scalar number(double v) {
  rt_scalar s;
  s.kind = RT_SCALAR_FLOAT;
  s.value.f = v;
  return s;
}

/* A parameter of the given shape: normal numbers with standard deviation `scale`. */
static rt_tensor *parameter(const int64_t *shape, size_t ndim, double scale) {
  rt_tensor *p = NULL;
  check(rt_randn(shape, ndim, NULL, -1, &p));
  check(rt_mul_scalar_(p, number(scale)));
  check(rt_tensor_set_requires_grad(p, true));
  return p;
}

/* tanh(x @ weight^T + bias); takes x. */
static rt_tensor *layer(rt_tensor *x, const rt_tensor *weight, const rt_tensor *bias) {
  rt_tensor *z = NULL, *y = NULL;
  check(rt_linear(x, weight, bias, &z));
  check(rt_tanh(z, &y));
  rt_tensor_free(x);
  rt_tensor_free(z);
  return y;
}

/* Mean of (output - target)^2, where output is in (-1, 1) and target -1 or 1. */
static rt_tensor *loss_of(rt_tensor *const *p, const rt_tensor *x, const rt_tensor *target) {
  rt_tensor *y = rt_tensor_retain(x), *error = NULL, *squared = NULL, *loss = NULL;
  y = layer(y, p[W1], p[B1]);
  y = layer(y, p[W2], p[B2]);
  y = layer(y, p[W3], p[B3]);
  check(rt_sub(y, target, number(1), &error));
  check(rt_mul(error, error, &squared));
  check(rt_mean(squared, NULL, 0, false, -1, &loss));
  rt_tensor_free(y);
  rt_tensor_free(error);
  rt_tensor_free(squared);
  return loss;
}

int main(void) {
  static const int64_t shapes[PARAMS][2] = {{HIDDEN, 2}, {HIDDEN, 0}, {HIDDEN, HIDDEN}, {HIDDEN, 0}, {1, HIDDEN}, {1, 0}};
  static const int64_t x_shape[2] = {POINTS, 2}, target_shape[2] = {POINTS, 1};
  float points[POINTS][2], side[POINTS];
  rt_tensor *p[PARAMS], *mean[PARAMS], *square[PARAMS], *x = NULL, *target = NULL;
  double loss_value = 0;
  int i, step;

  if (rt_abi_version() != RT_ABI_VERSION) {
    fprintf(stderr, "header and library do not belong together\n");
    return 2;
  }
  for (i = 0; i < POINTS; i++) {
    const double turn = (i / 2) / 16.0 * 3.14159265358979, radius = 1 - (i / 2) / 104.0;
    side[i] = i % 2 ? 1.0f : -1.0f;
    points[i][0] = (float)(side[i] * radius * sin(turn));
    points[i][1] = (float)(side[i] * radius * cos(turn));
  }
  check(rt_tensor_from_data(points, x_shape, 2, RT_FLOAT32, &x));
  check(rt_tensor_from_data(side, target_shape, 2, RT_FLOAT32, &target));

  rt_manual_seed(NULL, 0);
  for (i = 0; i < PARAMS; i++) {
    const size_t ndim = i % 2 ? 1 : 2; /* weights are matrices, biases vectors */
    p[i] = parameter(shapes[i], ndim, i == W1 ? 3.0 : i == B1 ? 1.0 : 0.3);
    check(rt_zeros(shapes[i], ndim, -1, &mean[i]));
    check(rt_zeros(shapes[i], ndim, -1, &square[i]));
  }

  for (step = 1; step <= STEPS; step++) {
    rt_tensor *loss = loss_of(p, x, target);
    const rt_tensor *root = loss;
    rt_scalar value;
    check(rt_tensor_item(loss, &value));
    loss_value = value.value.f;
    if (step % 100 == 0) printf("step %3d: loss %.4f\n", step, loss_value);

    check(rt_backward(&root, NULL, 1, NULL, 0, false, false));
    rt_set_grad_enabled(false);
    /* Without gradients of its own a step takes those that backward has collected. */
    check(rt_adam_step(p, PARAMS, NULL, 0, mean, PARAMS, square, PARAMS, NULL, 0, /* lr */ 0.02, 0.9, 0.999, 1e-8,
                       /* weight_decay */ 0, step, false, false, false));
    rt_set_grad_enabled(true);
    for (i = 0; i < PARAMS; i++) check(rt_tensor_set_grad(p[i], NULL));
    rt_tensor_free(loss);
  }

  for (i = 0; i < PARAMS; i++) {
    rt_tensor_free(p[i]);
    rt_tensor_free(mean[i]);
    rt_tensor_free(square[i]);
  }
  rt_tensor_free(x);
  rt_tensor_free(target);
  printf("final loss %.4f (wanted: below %.2f), %ld handles left\n", loss_value, LOSS_WANTED, (long)rt_live_tensors());
  return loss_value < LOSS_WANTED && rt_live_tensors() == 0 ? 0 : 1;
}
