// rustorch for C++17: header-only, over rustorch.h.
//
//   namespace rt = rustorch;
//   rt::Tensor x = rt::tensor<float>({1, 2, 3}, {3});
//   x.requires_grad_();
//   rt::sum(x * x + 1.0).backward();
//   std::vector<float> g = x.grad().to_vector<float>();  // 2, 4, 6
//
// Every op of the table is a function here (rustorch_ops.hpp); `name_` changes its first argument in place. Errors are
// thrown as rustorch::Error. A Tensor is a handle: copies share the elements. Sizes and strides are counted in elements.
#ifndef RUSTORCH_HPP
#define RUSTORCH_HPP

#include "rustorch.h"

#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace rustorch {

/// Sizes, dimensions, indices.
using Ints = std::vector<int64_t>;
/// Tensors by name, as files hold them.
template <class T> using Named = std::map<std::string, T>;

/// This thread's last error, as an exception.
class Error : public std::runtime_error {
 public:
  Error() : std::runtime_error(rt_last_error()), status_(rt_last_error_status()), op_(rt_last_error_op()) {
    const int64_t *sizes = nullptr;
    for (int32_t which = 0; which < 2; ++which) {
      const int32_t n = rt_last_error_shape(which, &sizes);
      if (n >= 0) shapes_.emplace_back(sizes, sizes + n);
    }
  }
  /// One of the RT_ERR_ codes.
  rt_status status() const noexcept { return status_; }
  /// Name of the op, or "".
  const std::string &op() const noexcept { return op_; }
  /// The two shapes that do not fit; empty if the error is not about shapes.
  const std::vector<Ints> &shapes() const noexcept { return shapes_; }

 private:
  rt_status status_;
  std::string op_;
  std::vector<Ints> shapes_;
};

/// Throws if a call failed.
inline void check(rt_status status) {
  if (status != RT_OK) throw Error();
}

/// Throws if the library is not the one that this header belongs to.
inline void check_abi() {
  if (rt_abi_version() != RT_ABI_VERSION) throw std::runtime_error("rustorch.hpp and librustorch have different ABI versions");
}

/// A plain number (or none) as an argument.
struct Scalar {
  rt_scalar value;

  Scalar() : value() { value.kind = RT_SCALAR_NONE; }
  template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0> Scalar(T v) : value() {
    if constexpr (std::is_floating_point_v<T>) {
      value.kind = RT_SCALAR_FLOAT;
      value.value.f = static_cast<double>(v);
    } else {
      value.kind = std::is_same_v<T, bool> ? RT_SCALAR_BOOL : RT_SCALAR_INT;
      value.value.i = static_cast<int64_t>(v);
    }
  }
  template <class T> Scalar(std::complex<T> v) : value() {
    value.kind = RT_SCALAR_COMPLEX;
    value.value.c = {static_cast<double>(v.real()), static_cast<double>(v.imag())};
  }
  /// The number as a `T`.
  template <class T> T to() const {
    if (value.kind == RT_SCALAR_COMPLEX) {
      if constexpr (std::is_constructible_v<T, double, double> && !std::is_arithmetic_v<T>) {
        return T(value.value.c.re, value.value.c.im);
      } else {
        return static_cast<T>(value.value.c.re);
      }
    }
    return value.kind == RT_SCALAR_FLOAT ? static_cast<T>(value.value.f) : static_cast<T>(value.value.i);
  }
};

enum class DType : int32_t;

namespace detail {
/// Dtype of a C++ type; defined below for those that have one.
template <class T> struct dtype_of;
}  // namespace detail

/// A random generator of its own. Ops without one draw from the process's default generator.
class Generator {
 public:
  explicit Generator(uint64_t seed) {
    rt_generator *g = nullptr;
    check(rt_generator_new(seed, &g));
    handle_.reset(g);
  }
  rt_generator *get() const noexcept { return handle_.get(); }
  void manual_seed(uint64_t seed) { rt_manual_seed(get(), seed); }
  uint64_t initial_seed() const { return rt_initial_seed(get()); }
  std::vector<uint8_t> state() const {
    std::vector<uint8_t> s(RT_GENERATOR_STATE_BYTES);
    check(rt_generator_get_state(get(), s.data(), s.size()));
    return s;
  }
  void set_state(const std::vector<uint8_t> &s) { check(rt_generator_set_state(get(), s.data(), s.size())); }

 private:
  struct Free {
    void operator()(rt_generator *g) const noexcept { rt_generator_free(g); }
  };
  std::unique_ptr<rt_generator, Free> handle_;
};

/// Starts the stream of `seed` in the process's default generator.
inline void manual_seed(uint64_t seed) { rt_manual_seed(nullptr, seed); }

/// An n-dimensional array with automatic differentiation. Copies are further handles of one tensor.
class Tensor {
 public:
  /// No tensor; `defined()` is false.
  Tensor() noexcept : handle_(nullptr) {}
  /// Takes the handle.
  explicit Tensor(rt_tensor *handle) noexcept : handle_(handle) {}
  Tensor(const Tensor &other) noexcept : handle_(rt_tensor_retain(other.handle_)) {}
  Tensor(Tensor &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Tensor &operator=(Tensor other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Tensor() { rt_tensor_free(handle_); }

  /// A tensor with a copy of the row-major elements at `data`.
  template <class T> static Tensor from_data(const T *data, const Ints &shape) {
    rt_tensor *out = nullptr;
    check(rt_tensor_from_data(data, shape.data(), shape.size(), code<T>(), &out));
    return Tensor(out);
  }
  /// A tensor over row-major memory of the caller, which must outlive it (or is given back by `release(ctx)`).
  template <class T>
  static Tensor from_blob(T *data, const Ints &shape, void (*release)(void *) = nullptr, void *ctx = nullptr) {
    rt_tensor *out = nullptr;
    check(rt_tensor_from_blob(data, shape.data(), nullptr, shape.size(), code<T>(), release, ctx, &out));
    return Tensor(out);
  }

  /// The handle, still owned by this object; NULL if there is no tensor.
  rt_tensor *get() const noexcept { return handle_; }
  /// Gives the handle away.
  rt_tensor *release() noexcept { return std::exchange(handle_, nullptr); }
  bool defined() const noexcept { return handle_ != nullptr; }

  size_t ndim() const noexcept { return rt_tensor_ndim(handle_); }
  Ints shape() const { return ints(rt_tensor_shape(handle_)); }
  Ints strides() const { return ints(rt_tensor_strides(handle_)); }
  /// Size of a dimension; negative numbers count from the end.
  int64_t size(int64_t dim) const {
    const int64_t n = static_cast<int64_t>(ndim());
    return shape().at(static_cast<size_t>(dim < 0 ? dim + n : dim));
  }
  int64_t numel() const noexcept { return rt_tensor_numel(handle_); }
  DType dtype() const noexcept { return static_cast<DType>(rt_tensor_dtype(handle_)); }
  bool is_contiguous() const noexcept { return rt_tensor_is_contiguous(handle_); }

  /// The first element in place; `T` must be the tensor's element type.
  template <class T> T *data() const {
    if (rt_tensor_dtype(handle_) != code<T>()) throw std::invalid_argument("data: the tensor has another dtype");
    return static_cast<T *>(rt_tensor_data(handle_));
  }
  /// The only element as a `T`.
  template <class T> T item() const {
    Scalar s;
    check(rt_tensor_item(handle_, &s.value));
    return s.to<T>();
  }
  /// The elements in row-major order, converted to `T`.
  template <class T> std::vector<T> to_vector() const {
    static_assert(!std::is_same_v<T, bool>, "std::vector<bool> has no elements to write to: use uint8_t");
    std::vector<T> out(static_cast<size_t>(numel()));
    check(rt_tensor_copy_to(handle_, code<T>(), out.data(), out.size() * sizeof(T)));
    return out;
  }

  bool requires_grad() const noexcept { return rt_tensor_requires_grad(handle_); }
  bool is_leaf() const noexcept { return rt_tensor_is_leaf(handle_); }
  Tensor &requires_grad_(bool on = true) {
    check(rt_tensor_set_requires_grad(handle_, on));
    return *this;
  }
  /// The gradient collected by backward; not `defined()` if there is none.
  Tensor grad() const {
    rt_tensor *out = nullptr;
    check(rt_tensor_grad(handle_, &out));
    return Tensor(out);
  }
  /// Sets the gradient; without an argument, removes it.
  void set_grad(const Tensor &grad = Tensor()) { check(rt_tensor_set_grad(handle_, grad.get())); }
  /// The same elements without history.
  Tensor detach() const {
    rt_tensor *out = nullptr;
    check(rt_tensor_detach(handle_, &out));
    return Tensor(out);
  }
  /// Adds the gradients of this tensor to the leaves it was made from. `grad` may be left out for one element.
  void backward(const Tensor &grad = Tensor(), bool retain_graph = false, bool create_graph = false) const {
    const rt_tensor *root = handle_, *g = grad.get();
    check(rt_backward(&root, &g, 1, nullptr, 0, retain_graph, create_graph));
  }

 private:
  template <class T> static int32_t code() {
    return static_cast<int32_t>(detail::dtype_of<std::remove_const_t<T>>::value);
  }
  Ints ints(const int64_t *p) const { return p ? Ints(p, p + ndim()) : Ints(); }

  rt_tensor *handle_;
};

namespace detail {

inline std::vector<const rt_tensor *> handles(const std::vector<Tensor> &tensors) {
  std::vector<const rt_tensor *> out;
  out.reserve(tensors.size());
  for (const Tensor &t : tensors) out.push_back(t.get());
  return out;
}

inline std::vector<const rt_tensor *> handles(const std::vector<const Tensor *> &tensors) {
  std::vector<const rt_tensor *> out;
  out.reserve(tensors.size());
  for (const Tensor *t : tensors) out.push_back(t ? t->get() : nullptr);
  return out;
}

/// Of tensors that are written.
inline std::vector<rt_tensor *> handles(std::vector<Tensor> &tensors) {
  std::vector<rt_tensor *> out;
  out.reserve(tensors.size());
  for (const Tensor &t : tensors) out.push_back(t.get());
  return out;
}

inline std::vector<rt_tensor *> handles(const std::vector<Tensor *> &tensors) {
  std::vector<rt_tensor *> out;
  out.reserve(tensors.size());
  for (const Tensor *t : tensors) out.push_back(t ? t->get() : nullptr);
  return out;
}

/// The elements of a list that is given: not NULL, even if there are none.
template <class T> const T *data(const std::vector<T> &v) {
  static const T nothing{};
  return v.empty() ? &nothing : v.data();
}

/// The tensors of a list, which is released.
inline std::vector<Tensor> take(rt_tensor_list *list) {
  const std::unique_ptr<rt_tensor_list, void (*)(rt_tensor_list *)> owner(list, rt_tensor_list_free);
  std::vector<Tensor> out;
  for (size_t i = 0, n = rt_tensor_list_len(list); i < n; ++i) {
    rt_tensor *t = nullptr;
    check(rt_tensor_list_get(list, i, &t));
    out.emplace_back(t);
  }
  return out;
}

/// A plain number as a tensor that yields in type promotion.
inline Tensor number(Scalar value) {
  rt_tensor *out = nullptr;
  check(rt_tensor_from_number(value.value, -1, &out));
  return Tensor(out);
}

}  // namespace detail

#include "rustorch_ops.hpp"

namespace detail {
template <> struct dtype_of<bool> : std::integral_constant<DType, DType::Bool> {};
template <> struct dtype_of<uint8_t> : std::integral_constant<DType, DType::U8> {};
template <> struct dtype_of<int8_t> : std::integral_constant<DType, DType::I8> {};
template <> struct dtype_of<int16_t> : std::integral_constant<DType, DType::I16> {};
template <> struct dtype_of<int32_t> : std::integral_constant<DType, DType::I32> {};
template <> struct dtype_of<int64_t> : std::integral_constant<DType, DType::I64> {};
template <> struct dtype_of<uint16_t> : std::integral_constant<DType, DType::U16> {};
template <> struct dtype_of<uint32_t> : std::integral_constant<DType, DType::U32> {};
template <> struct dtype_of<uint64_t> : std::integral_constant<DType, DType::U64> {};
template <> struct dtype_of<float> : std::integral_constant<DType, DType::F32> {};
template <> struct dtype_of<double> : std::integral_constant<DType, DType::F64> {};
template <> struct dtype_of<std::complex<float>> : std::integral_constant<DType, DType::C64> {};
template <> struct dtype_of<std::complex<double>> : std::integral_constant<DType, DType::C128> {};
}  // namespace detail

/// A tensor of `shape` with the row-major elements `data`. Throws std::invalid_argument if their number does not fit.
template <class T> Tensor tensor(const std::vector<T> &data, const Ints &shape) {
  static_assert(!std::is_same_v<T, bool>, "std::vector<bool> has no elements to read: use uint8_t");
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  if (n != static_cast<int64_t>(data.size())) throw std::invalid_argument("tensor: the shape does not fit the number of elements");
  return Tensor::from_data(data.data(), shape);
}

inline Tensor operator-(const Tensor &a) { return neg(a); }
inline Tensor operator+(const Tensor &a, const Tensor &b) { return add(a, b); }
inline Tensor operator+(const Tensor &a, Scalar b) { return add(a, b); }
inline Tensor operator+(Scalar a, const Tensor &b) { return add(b, a); }
inline Tensor operator-(const Tensor &a, const Tensor &b) { return sub(a, b); }
inline Tensor operator-(const Tensor &a, Scalar b) { return sub(a, b); }
inline Tensor operator-(Scalar a, const Tensor &b) { return rsub(b, a); }
inline Tensor operator*(const Tensor &a, const Tensor &b) { return mul(a, b); }
inline Tensor operator*(const Tensor &a, Scalar b) { return mul(a, b); }
inline Tensor operator*(Scalar a, const Tensor &b) { return mul(b, a); }
inline Tensor operator/(const Tensor &a, const Tensor &b) { return div(a, b); }
inline Tensor operator/(const Tensor &a, Scalar b) { return div(a, b); }
inline Tensor operator/(Scalar a, const Tensor &b) { return div(detail::number(a), b); }
inline Tensor &operator+=(Tensor &a, const Tensor &b) { return add_(a, b); }
inline Tensor &operator+=(Tensor &a, Scalar b) { return add_(a, b); }
inline Tensor &operator-=(Tensor &a, const Tensor &b) { return sub_(a, b); }
inline Tensor &operator-=(Tensor &a, Scalar b) { return sub_(a, b); }
inline Tensor &operator*=(Tensor &a, const Tensor &b) { return mul_(a, b); }
inline Tensor &operator*=(Tensor &a, Scalar b) { return mul_(a, b); }
inline Tensor &operator/=(Tensor &a, const Tensor &b) { return div_(a, b); }
inline Tensor &operator/=(Tensor &a, Scalar b) { return div_(a, b); }

/// Gradients of `roots` with respect to `inputs`; not `defined()` where the roots do not depend on an input. The leaves
/// collect nothing. `grads` holds one gradient per root, or is empty (1 for roots with one element).
inline std::vector<Tensor> grad(const std::vector<Tensor> &roots, const std::vector<Tensor> &inputs,
                                const std::vector<Tensor> &grads = {}, bool retain_graph = false, bool create_graph = false) {
  if (!grads.empty() && grads.size() != roots.size()) throw std::invalid_argument("grad: wanted one gradient per root");
  const auto r = detail::handles(roots), g = detail::handles(grads), in = detail::handles(inputs);
  std::vector<rt_tensor *> found(inputs.size());
  check(rt_grad(r.data(), g.empty() ? nullptr : g.data(), r.size(), in.data(), in.size(), retain_graph, create_graph,
                found.data()));
  std::vector<Tensor> out;
  out.reserve(found.size());
  for (rt_tensor *t : found) out.emplace_back(t);
  return out;
}

/// While it lives, this thread records nothing for backward.
class NoGrad {
 public:
  NoGrad() : before_(rt_set_grad_enabled(false)) {}
  ~NoGrad() { rt_set_grad_enabled(before_); }
  NoGrad(const NoGrad &) = delete;
  NoGrad &operator=(const NoGrad &) = delete;

 private:
  bool before_;
};

namespace detail {
/// Text for C, which would stop at a NUL.
inline const char *c_text(const std::string &s) {
  if (s.find('\0') != std::string::npos) throw std::invalid_argument("a path, name or metadata text with a NUL in it");
  return s.c_str();
}
}  // namespace detail

/// Saves tensors under their names, with text metadata, as a safetensors file. It appears whole or not at all.
inline void save(const std::string &path, const Named<Tensor> &tensors, const Named<std::string> &metadata = {}) {
  std::vector<const char *> names, keys, values;
  std::vector<const rt_tensor *> handles;
  for (const auto &[name, t] : tensors) {
    names.push_back(detail::c_text(name));
    handles.push_back(t.get());
  }
  for (const auto &[key, value] : metadata) {
    keys.push_back(detail::c_text(key));
    values.push_back(detail::c_text(value));
  }
  check(rt_save(detail::c_text(path), names.data(), handles.data(), names.size(), keys.data(), values.data(), keys.size()));
}

/// The tensors of a safetensors file.
inline Named<Tensor> load(const std::string &path) {
  rt_archive *archive = nullptr;
  check(rt_load(detail::c_text(path), &archive));
  const std::unique_ptr<rt_archive, void (*)(rt_archive *)> owner(archive, rt_archive_free);
  Named<Tensor> out;
  for (size_t i = 0, n = rt_archive_len(archive); i < n; ++i) {
    rt_tensor *t = nullptr;
    check(rt_archive_tensor(archive, i, &t));
    out.emplace(rt_archive_name(archive, i), Tensor(t));
  }
  return out;
}

}  // namespace rustorch

#endif  // RUSTORCH_HPP
