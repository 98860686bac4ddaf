"""The tutorial's training run as others write it: each a function of no arguments that returns the losses (epochs,).

A peer that is not here (no compiler, no torch, no scikit-learn) raises `AbsentError`, which names it. torch computes
where JAX does: on a GPU, if that is JAX's default device.
"""

import ctypes
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from common import AbsentError, imported, is_avx2_only

Peer = Callable[[], np.ndarray]
Weights = Sequence[np.ndarray]  # w1, b1, w2, b2


def c_loop(weights: Weights, x: np.ndarray, y: np.ndarray, learning_rate: float, epochs: int) -> Peer:
    """`limit.c`, compiled with the machine's own compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise AbsentError("a C compiler")
    source = pathlib.Path(__file__).with_name("limit.c")
    with tempfile.TemporaryDirectory() as directory:
        library_path = pathlib.Path(directory) / "limit.so"
        flags = ["-O3", f"-march={'haswell' if is_avx2_only() else 'native'}", "-ffast-math", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, str(source), "-o", str(library_path)], check=True)
        function = ctypes.CDLL(str(library_path)).train
    rows = 112
    pad = ((0, 0), (0, rows - len(x)))
    features = np.ascontiguousarray(np.pad(x.T, pad), np.float32)
    targets = np.ascontiguousarray(np.pad(y.T, pad)[0], np.float32)
    mask = (np.arange(rows) < len(x)).astype(np.float32)
    losses = np.empty(epochs, np.float32)
    start = [np.ascontiguousarray(w, np.float32) for w in weights]
    state = [w.copy() for w in start]
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (features, targets, mask, *state)]
    tail = (ctypes.c_int(epochs), ctypes.c_float(learning_rate), losses.ctypes.data_as(ctypes.c_void_p))

    def train() -> np.ndarray:
        for now, first in zip(state, start, strict=True):
            now[:] = first
        function(*pointers, *tail)
        return losses

    return train


def torch_here() -> Any:
    """torch, with JAX's default device as its own."""
    torch = imported("torch")
    platform = jax.default_backend()
    if platform == "gpu" and not torch.cuda.is_available():
        raise AbsentError("torch for a GPU")
    if platform not in ("cpu", "gpu"):
        raise AbsentError("torch for this device")
    torch.set_default_device("cuda" if platform == "gpu" else "cpu")
    return torch


def numpy_loop(weights: Weights, x: np.ndarray, y: np.ndarray, learning_rate: float, epochs: int) -> Peer:
    """The tutorial's lines with NumPy."""

    def train() -> np.ndarray:
        w1, b1, w2, b2 = weights
        losses = []
        for _ in range(epochs):
            h = x @ w1 + b1
            h_relu = np.where(h < 0, np.float32(0), h)
            y_pred = h_relu @ w2 + b2
            losses.append(((y_pred - y) ** 2).sum())
            grad_y_pred = 2 * (y_pred - y)
            grad_w2 = h_relu.T @ grad_y_pred
            grad_h = grad_y_pred @ w2.T
            grad_h[h < 0] = 0
            w1 = w1 - learning_rate * (x.T @ grad_h)
            b1 = b1 - learning_rate * grad_h.sum(0, keepdims=True)
            w2 = w2 - learning_rate * grad_w2
            b2 = b2 - learning_rate * grad_y_pred.sum(0, keepdims=True)
        return np.array(losses)

    return train


def torch_tutorial(weights: Weights, x: np.ndarray, y: np.ndarray, learning_rate: float, epochs: int) -> Peer:
    """The tutorial's program: torch tensors, gradients by hand, in place."""
    torch = torch_here()
    tx, ty = torch.tensor(x), torch.tensor(y)

    def train() -> np.ndarray:
        w1, b1, w2, b2 = (torch.tensor(w) for w in weights)
        losses = []
        for _ in range(epochs):
            h = tx.mm(w1) + b1
            h_relu = h.clamp(min=0)
            y_pred = h_relu.mm(w2) + b2
            losses.append((y_pred - ty).pow(2).sum().item())
            grad_y_pred = 2.0 * (y_pred - ty)
            grad_w2 = h_relu.t().mm(grad_y_pred)
            grad_h = grad_y_pred.mm(w2.t())
            grad_h[h < 0] = 0
            grad_b2 = grad_y_pred.sum(dim=0, keepdim=True)
            w1 -= learning_rate * tx.t().mm(grad_h)
            b1 -= learning_rate * grad_h.sum(dim=0, keepdim=True)
            w2 -= learning_rate * grad_w2
            b2 -= learning_rate * grad_b2
        return np.array(losses)

    return train


def torch_batched(weights: Weights, x: np.ndarray, y: np.ndarray, learning_rate: float, epochs: int) -> Peer:
    """The tutorial's lines for many networks at once, with batched products; weights have a leading member axis."""
    torch = torch_here()
    tx, ty = torch.tensor(x), torch.tensor(y)

    def train() -> np.ndarray:
        w1, b1, w2, b2 = (torch.tensor(w) for w in weights)
        losses = []
        for _ in range(epochs):
            h = tx @ w1 + b1
            h_relu = h.clamp(min=0)
            grad_y_pred = 2.0 * (h_relu @ w2 + b2 - ty)
            losses.append((grad_y_pred / 2).pow(2).sum(dim=(1, 2)))
            grad_w2 = h_relu.mT @ grad_y_pred
            grad_h = grad_y_pred @ w2.mT
            grad_h[h < 0] = 0
            w1 -= learning_rate * (tx.mT @ grad_h)
            b1 -= learning_rate * grad_h.sum(dim=1, keepdim=True)
            w2 -= learning_rate * grad_w2
            b2 -= learning_rate * grad_y_pred.sum(dim=1, keepdim=True)
        return torch.stack(losses, dim=1).cpu().numpy()

    return train


def torch_nn(weights: Weights, x: np.ndarray, y: np.ndarray, learning_rate: float, epochs: int) -> Peer:
    """torch.nn modules, autograd and torch.optim.SGD."""
    torch = torch_here()
    tx, ty = torch.tensor(x), torch.tensor(y)
    w1, b1, w2, b2 = weights

    def train() -> np.ndarray:
        model = torch.nn.Sequential(torch.nn.Linear(3, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), (w1.T, b1[0], w2.T, b2[0]), strict=True):
                parameter.copy_(torch.tensor(value))
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        criterion = torch.nn.MSELoss(reduction="sum")
        losses = []
        for _ in range(epochs):
            loss = criterion(model(tx), ty)
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return np.array(losses)

    return train


def torch_gradients(weights: Weights, x: np.ndarray, y: np.ndarray, precision: str = "highest") -> Peer:
    """The loss of a ReLU network of any depth (w, b, w, b, …) and its gradients by torch's autograd.

    At JAX's default precision, products on a GPU round their inputs to TF32, here too.
    """
    torch = torch_here()
    tx, ty = torch.tensor(x), torch.tensor(y)
    parameters = [torch.tensor(w, requires_grad=True) for w in weights]

    def value_and_grads() -> Any:
        torch.set_float32_matmul_precision("highest" if precision == "highest" else "high")
        *hidden, w, b = parameters
        a = tx
        for v, c in zip(hidden[::2], hidden[1::2], strict=True):
            a = torch.addmm(c, a, v).relu()
        grads = torch.autograd.grad((torch.addmm(b, a, w) - ty).pow(2).sum(), parameters)
        if tx.is_cuda:
            torch.cuda.synchronize()
        return grads

    return value_and_grads


def torch_minibatches(
    params: Sequence[Any], x: np.ndarray, y: np.ndarray, rate: float, epochs: int, batch: int
) -> Peer:
    """Mini-batches in a new order each epoch, autograd and fused Adam; returns the mean loss of each epoch."""
    torch = torch_here()
    tx, ty = torch.tensor(x), torch.tensor(y)

    def train() -> np.ndarray:
        layers = [torch.nn.Linear(*w.shape) for w, _ in params]
        with torch.no_grad():
            for layer, (w, b) in zip(layers, params, strict=True):
                layer.weight.copy_(torch.tensor(np.array(w.T)))
                layer.bias.copy_(torch.tensor(np.array(b[0])))
        model = torch.nn.Sequential(*(part for layer in layers for part in (layer, torch.nn.ReLU())))[:-1]
        optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
        losses = []
        for _ in range(epochs):
            order = torch.randperm(len(tx))
            total = torch.zeros(())
            for rows in order.split(batch):
                optimizer.zero_grad()
                loss = (model(tx[rows]) - ty[rows]).pow(2).sum()
                (loss / len(rows)).backward()
                optimizer.step()
                total += loss.detach()
            losses.append(total)
        return torch.stack(losses).cpu().numpy() / len(tx)

    return train


def scikit_learn(weights: Weights, x: np.ndarray, y: np.ndarray, learning_rate: float, epochs: int) -> Peer:
    """MLPRegressor, plain gradient descent over all rows; its loss is half the mean, so the rate is 2n times ours."""
    neural_network = imported("sklearn.neural_network")
    w1, b1, w2, b2 = weights
    n = len(x)
    options: dict[str, Any] = {"hidden_layer_sizes": (w1.shape[1],), "solver": "sgd", "momentum": 0.0, "alpha": 0.0}
    options |= {"batch_size": n, "shuffle": False, "learning_rate_init": 2 * n * learning_rate, "max_iter": 1}
    options |= {"n_iter_no_change": 10 * epochs, "tol": 0.0, "warm_start": True, "random_state": 0}
    model = neural_network.MLPRegressor(**options)
    targets = y[:, 0]
    _quiet(lambda: model.fit(x, targets))
    model.max_iter = epochs

    def train() -> np.ndarray:
        model.coefs_, model.intercepts_ = [w1.copy(), w2.copy()], [b1[0].copy(), b2[0].copy()]
        model.loss_curve_ = []
        _quiet(lambda: model.fit(x, targets))
        return 2 * n * np.array(model.loss_curve_[-epochs:])

    return train


ALL = {
    "C loop": c_loop,
    "NumPy": numpy_loop,
    "torch, as the tutorial writes it": torch_tutorial,
    "torch nn, autograd, SGD": torch_nn,
    "scikit-learn MLPRegressor": scikit_learn,
}


def _quiet(call: Callable[[], Any]) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's ConvergenceWarning: the epochs are the ones asked for
        call()
