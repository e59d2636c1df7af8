"""Trains a small convolutional network on real handwritten digits and, if PyTorch is installed, its twin beside it.

The data are scikit-learn's bundled digits: 1797 grey pictures of 8x8 pixels. The script

1. trains on 80 % of them and prints the accuracy on the other 20 %,
2. draws the loss curve (`loss.png`) and some predictions (`predictions.png`),
3. saves the weights (`digits.safetensors`), reloads them and checks that the reloaded model predicts the same,
4. runs the same code with PyTorch in rustorch's place and draws both loss curves (`twin.png`): one seed gives both
   libraries the same weights, batches and dropout masks, so the curves must lie on each other.

Exit status 1 means that the accuracy is below 98 %, that the reloaded model predicts something else, or that the curves
differ.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import rustorch as rt

matplotlib.use("Agg")
import matplotlib.pyplot as plt

WANTED_ACCURACY = 0.98
WANTED_DIFFERENCE = 1e-4  # relative, of each of the first 50 losses


class Digits(NamedTuple):
    """Pictures as float32 of shape (n, 1, 8, 8) from 0 to 1, labels as int64 of shape (n,)."""

    train_x: np.ndarray
    test_x: np.ndarray
    train_y: np.ndarray
    test_y: np.ndarray


class Run(NamedTuple):
    """What a training run leaves."""

    model: Any
    losses: list[float]
    seconds_per_epoch: float


def load() -> Digits:
    """The digits, split 80 to 20 with equal shares of each class."""
    pixels, labels = load_digits(return_X_y=True)
    x = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    return Digits(*train_test_split(x, labels.astype(np.int64), test_size=0.2, random_state=0, stratify=labels))


def build(library: Any) -> Any:
    """The network, from the layers of `library`: rustorch or torch.

    Its layers are smooth. Where ReLU or max-pooling switch between branches, a difference in the last bit of a sum (the
    two libraries add in different orders) can change a gradient visibly, and with it every later loss.
    """
    nn = library.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.GELU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.GELU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(32 * 4 * 4, 10),
    )


def train(library: Any, digits: Digits, epochs: int, batch_size: int, seed: int) -> Run:
    """Trains with Adam and a cosine schedule; the same lines serve both libraries."""
    data = importlib.import_module(f"{library.__name__}.utils.data")
    library.set_num_threads(1)
    library.manual_seed(seed)
    model = build(library)
    optimizer = library.optim.Adam(model.parameters(), lr=3e-3)
    schedule = library.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    criterion = library.nn.CrossEntropyLoss()
    dataset = data.TensorDataset(library.from_numpy(digits.train_x), library.from_numpy(digits.train_y))
    loader = data.DataLoader(dataset, batch_size=batch_size, shuffle=True)
    losses = []
    start = time.perf_counter()
    with tqdm(total=epochs * len(loader), desc=f"{library.__name__:8}", unit="step") as bar:
        for _ in range(epochs):
            for x, y in loader:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                bar.update()
            schedule.step()
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
    return Run(model.eval(), losses, (time.perf_counter() - start) / epochs)


def predict(library: Any, model: Any, x: np.ndarray) -> np.ndarray:
    """The most likely class of each picture."""
    with library.no_grad():
        return model(library.from_numpy(x)).argmax(dim=1).numpy()


def draw_curves(path: Path, title: str, **curves: list[float]) -> None:
    """Losses over training steps, on a logarithmic scale."""
    figure, axes = plt.subplots(figsize=(7, 4))
    for i, (label, losses) in enumerate(curves.items()):
        axes.plot(losses, label=label, linestyle=("-", ":")[i], linewidth=(1.2, 2.4)[i])
    axes.set(xlabel="training step", ylabel="cross-entropy loss", title=title, yscale="log")
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def draw_predictions(path: Path, x: np.ndarray, predicted: np.ndarray, labels: np.ndarray) -> None:
    """All wrong predictions first (red), then right ones, 24 in all."""
    order = np.argsort(predicted == labels, kind="stable")[:24]
    figure, grid = plt.subplots(3, 8, figsize=(9, 4))
    for axes, i in zip(grid.flat, order):
        axes.imshow(x[i, 0], cmap="gray_r")
        right = predicted[i] == labels[i]
        axes.set_title(f"{predicted[i]}" if right else f"{predicted[i]}, is {labels[i]}", color="k" if right else "r")
        axes.axis("off")
    figure.suptitle("What the network says of test digits (its mistakes first)")
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)


def largest_difference(a: list[float], b: list[float]) -> float:
    """The largest relative difference of the first 50 losses."""
    return max(abs(x - y) / abs(y) for x, y in zip(a[:50], b[:50]))


def main() -> int:
    """Runs everything and gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the pictures and weights")
    parser.add_argument("--no-twin", action="store_true", help="do not run PyTorch's twin")
    parser.add_argument("--no-goal", action="store_true", help="accept any accuracy (for quick runs)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    settings = (options.epochs, options.batch_size, options.seed)
    failures = []

    digits = load()
    run = train(rt, digits, *settings)
    predicted = predict(rt, run.model, digits.test_x)
    accuracy = float((predicted == digits.test_y).mean())
    print(f"test accuracy: {accuracy:.2%} of {len(predicted)} digits")
    print(f"{run.seconds_per_epoch:.3f} s per epoch, 1 thread")
    if accuracy < WANTED_ACCURACY and not options.no_goal:
        failures.append(f"wanted an accuracy of at least {WANTED_ACCURACY:.0%}")
    draw_curves(options.out / "loss.png", "Handwritten digits", rustorch=run.losses)
    draw_predictions(options.out / "predictions.png", digits.test_x, predicted, digits.test_y)

    weights = options.out / "digits.safetensors"
    rt.save(run.model.state_dict(), weights)
    reloaded = build(rt).eval()
    reloaded.load_state_dict(rt.load(weights))
    same = np.array_equal(predict(rt, reloaded, digits.test_x), predicted)
    print(f"reloaded from {weights}: {'predicts the same' if same else 'PREDICTS SOMETHING ELSE'}")
    if not same:
        failures.append("the reloaded model predicts something else")

    if not options.no_twin and importlib.util.find_spec("torch"):
        twin = train(importlib.import_module("torch"), digits, *settings)
        draw_curves(options.out / "twin.png", "One seed, two libraries", rustorch=run.losses, torch=twin.losses)
        difference = largest_difference(run.losses, twin.losses)
        ratio = run.seconds_per_epoch / twin.seconds_per_epoch
        print(f"PyTorch's twin: {twin.seconds_per_epoch:.3f} s per epoch, 1 thread (ours / torch's: {ratio:.2f})")
        print(f"largest relative difference of the first 50 losses: {difference:.1e} (wanted: {WANTED_DIFFERENCE:.0e})")
        if not difference <= WANTED_DIFFERENCE:
            failures.append("the loss curves differ")

    print(f"pictures and weights are in {options.out}/")
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
