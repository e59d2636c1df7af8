// What rustorch.hpp promises, checked from C++. Prints the failed lines; exit status 0 if there are none.
#include "rustorch.hpp"

#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace rt = rustorch;
using rt::DType;
using rt::Ints;
using rt::Tensor;

static int failures = 0;

#define CHECK(condition)                                        \
  do {                                                          \
    if (!(condition)) {                                         \
      std::printf("line %d: %s\n", __LINE__, #condition);       \
      ++failures;                                               \
    }                                                           \
  } while (0)

template <class F> static rt_status status_of(F f) {
  try {
    f();
    return RT_OK;
  } catch (const rt::Error &e) {
    return e.status();
  }
}

template <class T> static bool is_dtype(const char *name) {
  rt_dtype_info info{};
  info.size = sizeof info;
  const DType dtype = rt::tensor<T>({1}, {1}).dtype();
  return rt_dtype_get(static_cast<int32_t>(dtype), &info) == RT_OK && std::strcmp(info.name, name) == 0 &&
         info.itemsize == sizeof(T);
}

static void dtypes() {
  CHECK(is_dtype<uint8_t>("uint8"));
  CHECK(is_dtype<int8_t>("int8"));
  CHECK(is_dtype<int16_t>("int16"));
  CHECK(is_dtype<int32_t>("int32"));
  CHECK(is_dtype<int64_t>("int64"));
  CHECK(is_dtype<float>("float32"));
  CHECK(is_dtype<double>("float64"));
  CHECK(rt::ones({1}, DType::Bool).item<bool>());
  CHECK(rt::ones({1}, DType::BF16).item<float>() == 1.0f);
  CHECK(rt::full({1}, 3).dtype() == DType::I64);
  CHECK(rt::full({1}, true).dtype() == DType::Bool);
  CHECK(rt::full({1}, 0.5f).dtype() == DType::F32);
}

static void handles() {
  const int64_t before = rt_live_tensors();
  {
    Tensor a = rt::ones({2, 3}), b = a, c, d = std::move(a);
    CHECK(!a.defined() && d.defined() && !c.defined());
    CHECK(b.get() == d.get() && rt_live_tensors() == before + 2);
    c = b;
    const Tensor &same = c;
    c = same;
    CHECK(c.get() == b.get() && rt_live_tensors() == before + 3);
    rt::fill_(c, 5);
    CHECK(d.to_vector<int>() == std::vector<int>(6, 5));
    rt_tensor *raw = c.release();
    CHECK(!c.defined());
    rt_tensor_free(raw);
    b = Tensor();
    CHECK(b.shape().empty() && b.numel() == 0);
  }
  CHECK(rt_live_tensors() == before);
}

static void shapes_and_elements() {
  const Tensor t = rt::tensor<int32_t>({1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(t.ndim() == 2 && t.shape() == (Ints{2, 3}) && t.strides() == (Ints{3, 1}) && t.numel() == 6);
  CHECK(t.size(-1) == 3 && t.size(0) == 2);
  CHECK(rt::transpose(t, 0, 1).to_vector<double>() == (std::vector<double>{1, 4, 2, 5, 3, 6}));
  CHECK(!rt::transpose(t, 0, 1).is_contiguous());
  t.data<int32_t>()[1] = 20;
  CHECK(t.to_vector<int32_t>()[1] == 20);
  bool refused = false;
  try {
    t.data<float>();
  } catch (const std::invalid_argument &) {
    refused = true;
  }
  try {
    rt::tensor<float>({1, 2}, {3});
    refused = false;
  } catch (const std::invalid_argument &) {
  }
  CHECK(refused);
  float own[4] = {1, 2, 3, 4};
  {
    Tensor blob = Tensor::from_blob(own, {4});
    blob *= 2;
  }
  CHECK(own[3] == 8);
}

static void operators() {
  const Tensor x = rt::tensor<double>({1, 2, 4}, {3}), y = rt::tensor<double>({2, 2, 2}, {3});
  using V = std::vector<double>;
  CHECK((x + y).to_vector<double>() == (V{3, 4, 6}));
  CHECK((x - y * 2).to_vector<double>() == (V{-3, -2, 0}));
  CHECK((8 / x).to_vector<double>() == (V{8, 4, 2}));
  CHECK((x / 2.0 - 1).to_vector<double>() == (V{-0.5, 0, 1}));
  CHECK((10 - x).to_vector<double>() == (V{9, 8, 6}));
  CHECK((-x).to_vector<double>() == (V{-1, -2, -4}));
  Tensor z = rt::clone(x);
  z += 1;
  z -= y;
  z *= y;
  z /= 2.0;
  CHECK(z.to_vector<double>() == (V{0, 1, 3}));
  CHECK(rt::pow(x, 2).to_vector<double>() == (V{1, 4, 16}));
  CHECK(rt::matmul(x, y).item<double>() == 14);
  // A plain number does not decide the dtype.
  CHECK((rt::ones({1}, DType::F16) * 2.5).dtype() == DType::F16 && (1.5 / rt::ones({}, DType::F16)).dtype() == DType::F16);
}

static void arguments() {
  const Tensor x = rt::tensor<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  using V = std::vector<float>;
  CHECK(rt::sum(x).item<float>() == 21);
  CHECK(rt::sum(x, Ints{0}).to_vector<float>() == (V{5, 7, 9}));
  CHECK(rt::sum(x, Ints{1}, true).shape() == (Ints{2, 1}));
  CHECK(rt::sum(x, std::nullopt, false, DType::F64).dtype() == DType::F64);
  CHECK(rt::clamp(x, rt::Scalar(), 2).to_vector<float>() == (V{1, 2, 2, 2, 2, 2}));
  CHECK(rt::cat({x, x}, 1).shape() == (Ints{2, 6}));
  CHECK(rt::linear(x, rt::ones({4, 3})).shape() == (Ints{2, 4}));
  const Tensor bias = rt::ones({4});
  CHECK(rt::linear(x, rt::ones({4, 3}), &bias).to_vector<float>()[0] == 7);
  const std::vector<Tensor> parts = rt::split(x, 1);
  CHECK(parts.size() == 2 && parts[1].to_vector<float>() == (V{4, 5, 6}));
  const auto [values, indices] = rt::sort(x, 1, true);
  CHECK(values.to_vector<float>() == (V{3, 2, 1, 6, 5, 4}) && indices.to_vector<int64_t>()[0] == 2);
  CHECK(rt::div(x, 2, "floor").to_vector<float>() == (V{0, 1, 1, 2, 2, 3}));
  CHECK(rt::index(x, {nullptr, &indices}).shape() == (Ints{2, 2, 3}));
}

static void errors() {
  try {
    rt::matmul(rt::ones({2, 3}), rt::ones({4, 5}));
    CHECK(false);
  } catch (const rt::Error &e) {
    CHECK(e.status() == RT_ERR_SHAPE && e.op() == "matmul");
    CHECK(e.shapes() == (std::vector<Ints>{{2, 3}, {4, 5}}));
    CHECK(std::string(e.what()).rfind("matmul: ", 0) == 0);
  }
  CHECK(status_of([] { rt::neg(Tensor()); }) == RT_ERR_NULL);
  CHECK(status_of([] { Tensor().backward(); }) == RT_ERR_NULL);
  CHECK(status_of([] { rt::ones({-1}); }) == RT_ERR_SHAPE);
  CHECK(status_of([] { rt::ones({1} , static_cast<DType>(77)); }) == RT_ERR_DTYPE);
  CHECK(status_of([] { rt::ones({int64_t{1} << 45}); }) == RT_ERR_MEMORY);
  CHECK(status_of([] { rt::load("/no/such/file"); }) == RT_ERR_IO);
  CHECK(status_of([] { rt::ones({2}).item<int>(); }) == RT_ERR_VALUE);
  CHECK(status_of([] { rt::cat({}); }) != RT_OK);
}

static void gradients() {
  Tensor x = rt::tensor<double>({1, 2, 3}, {3});
  x.requires_grad_();
  CHECK(x.requires_grad() && x.is_leaf() && !x.grad().defined());
  const Tensor y = rt::sum(x * x * x);
  y.backward(Tensor(), true);
  CHECK(x.grad().to_vector<double>() == (std::vector<double>{3, 12, 27}));
  x.set_grad();
  CHECK(!x.grad().defined());
  const Tensor first = rt::grad({y}, {x}, {}, true, true)[0];
  const Tensor second = rt::grad({rt::sum(first)}, {x})[0];
  CHECK(second.to_vector<double>() == (std::vector<double>{6, 12, 18}));
  CHECK(!x.grad().defined() && !rt::grad({rt::sum(x * 2)}, {x}, {}, false)[0].requires_grad());
  {
    const rt::NoGrad off;
    CHECK(!(x * 2).requires_grad());
  }
  CHECK((x * 2).requires_grad() && !x.detach().requires_grad());
}

static void generators() {
  rt::manual_seed(3);
  const std::vector<float> a = rt::randn({20}).to_vector<float>();
  rt::Generator g(3);
  CHECK(rt::randn({20}, &g).to_vector<float>() == a && g.initial_seed() == 3);
  const std::vector<uint8_t> state = g.state();
  const std::vector<float> b = rt::rand({5}, &g).to_vector<float>();
  g.set_state(state);
  CHECK(rt::rand({5}, &g).to_vector<float>() == b);
  rt::Generator moved = std::move(g);
  moved.manual_seed(3);
  CHECK(rt::randn({20}, &moved).to_vector<float>() == a);
}

static void files(const std::string &path) {
  rt::save(path, {{"a", rt::ones({2})}, {"b.c", rt::zeros({0, 3}, DType::I16)}}, {{"who", "me"}});
  const rt::Named<Tensor> back = rt::load(path);
  CHECK(back.size() == 2 && back.at("b.c").shape() == (Ints{0, 3}) && back.at("b.c").dtype() == DType::I16);
  CHECK(back.at("a").to_vector<int>() == (std::vector<int>{1, 1}));
}

static void threads() {
  Tensor shared = rt::zeros({100});
  std::vector<std::thread> all;
  for (int i = 0; i < 4; ++i) {
    all.emplace_back([shared]() mutable {
      for (int k = 0; k < 200; ++k) shared += 1;
    });
  }
  for (std::thread &t : all) t.join();
  CHECK(shared.to_vector<int>() == std::vector<int>(100, 800));
}

int main(int argc, char **argv) {
  rt::check_abi();
  dtypes();
  handles();
  shapes_and_elements();
  operators();
  arguments();
  errors();
  gradients();
  generators();
  if (argc > 1) files(argv[1]);
  threads();
  if (rt_live_tensors() != 0) {
    std::printf("%ld handles are left\n", static_cast<long>(rt_live_tensors()));
    ++failures;
  }
  return failures == 0 ? 0 : 1;
}
