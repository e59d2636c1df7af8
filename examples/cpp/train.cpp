// Trains a small network in C++: which of two interleaved spirals does a point belong to?
//
// Saves the weights, loads them again and checks that they predict the same. Exit status 0 means that all went well and
// the loss fell below `loss_wanted`.
#include "rustorch.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace rt = rustorch;

namespace {

constexpr double loss_wanted = 0.05;

struct Network {
  rt::Named<rt::Tensor> parameters;

  explicit Network(int64_t hidden) {
    const auto add = [this](const std::string &name, int64_t out, int64_t in, double scale) {
      parameters[name + ".weight"] = rt::randn({out, in}) * scale;
      parameters[name + ".bias"] = rt::randn({out}) * (scale / 3);
    };
    add("0", hidden, 2, 3.0);
    add("1", hidden, hidden, 0.3);
    add("2", 1, hidden, 0.3);
    for (auto &[name, p] : parameters) p.requires_grad_();
  }

  rt::Tensor operator()(rt::Tensor x) const {
    for (const char *name : {"0", "1", "2"}) {
      const std::string layer = name;
      x = rt::tanh(rt::linear(x, parameters.at(layer + ".weight"), &parameters.at(layer + ".bias")));
    }
    return x;
  }
};

struct Adam {
  std::vector<rt::Tensor> parameters, means, squares;
  double lr;
  double steps = 0;

  Adam(const Network &network, double learning_rate) : lr(learning_rate) {
    for (const auto &[name, p] : network.parameters) {
      parameters.push_back(p);
      means.push_back(rt::zeros_like(p));
      squares.push_back(rt::zeros_like(p));
    }
  }

  void step() {
    const rt::NoGrad no_grad;
    // Without gradients of its own a step takes those that backward has collected.
    rt::adam_step(parameters, {}, means, squares, {}, lr, 0.9, 0.999, 1e-8, 0.0, ++steps);
    for (rt::Tensor &p : parameters) p.set_grad();
  }
};

int train(const std::string &file) {
  constexpr int64_t n = 194;
  std::vector<float> points, side;
  for (int64_t i = 0; i < n; ++i) {
    const double k = static_cast<double>(i / 2), turn = k / 16 * 3.14159265358979, radius = 1 - k / 104;
    side.push_back(i % 2 ? 1.0f : -1.0f);
    points.push_back(static_cast<float>(side.back() * radius * std::sin(turn)));
    points.push_back(static_cast<float>(side.back() * radius * std::cos(turn)));
  }
  const rt::Tensor x = rt::tensor(points, {n, 2}), target = rt::tensor(side, {n, 1});

  rt::manual_seed(0);
  Network network(32);
  Adam adam(network, 0.02);
  double value = 0;
  for (int step = 1; step <= 600; ++step) {
    const rt::Tensor error = network(x) - target, loss = rt::mean(error * error);
    value = loss.item<double>();
    if (step % 100 == 0) std::printf("step %3d: loss %.4f\n", step, value);
    loss.backward();
    adam.step();
  }
  std::printf("final loss %.4f (wanted: below %.2f)\n", value, loss_wanted);

  const rt::NoGrad no_grad;
  const std::vector<float> before = network(x).to_vector<float>();
  rt::save(file, network.parameters, {{"example", "spirals"}});
  network.parameters = rt::load(file);
  const bool same = network(x).to_vector<float>() == before;
  std::printf("reloaded from %s: %s predictions\n", file.c_str(), same ? "the same" : "other");
  return value < loss_wanted && same ? 0 : 1;
}

}  // namespace

int main(int argc, char **argv) {
  try {
    rt::check_abi();
    return train(argc > 1 ? argv[1] : "spirals.safetensors");
  } catch (const std::exception &e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 2;
  }
}
