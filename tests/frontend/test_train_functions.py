"""The train block: steps against PyTorch, losses, schedules, clipping, weights, states, and what stays fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

DATA = """
data D {
  source = npz("d.npz")
  columns { a: f32[4]; t: f32[2]; k: i32; c: f32 }
  x = a
  y = t
  label = k |> category(3)
  w = c
}
"""
RNG = np.random.default_rng(1)
ROWS = {"a": RNG.normal(size=(16, 4)), "t": RNG.normal(size=(16, 2)), "k": RNG.integers(0, 3, 16), "c": RNG.uniform(0.5, 2, 16)}


def with_valid(text: str) -> str:
    """With a split that a plateau can watch."""
    return text.replace("  x = a\n", "  split = by_hash(train = 0.8, valid = 0.2)\n  x = a\n")


def program(
    loss: str = "mse(out, y)", settings: str = "", model: str = "return x |> dense(5) as a |> tanh |> dense(2) as b"
) -> str:
    return f"{DATA}\nmodel M(x: f32[B, 4]) -> (out: f32[B, N]) {{ {model} }}\ntrain M on D {{\n  loss = {loss}\n{settings}\n}}\n"


OPTIMIZERS = [
    ("sgd(lr = 0.1)", "SGD", {"lr": 0.1}),
    ("sgd(lr = 0.1, momentum = 0.9)", "SGD", {"lr": 0.1, "momentum": 0.9}),
    (
        "sgd(lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.01)",
        "SGD",
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ),
    ("adagrad(lr = 0.1, lr_decay = 0.1, weight_decay = 0.01)", "Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.01}),
    ("rmsprop(lr = 0.01)", "RMSprop", {"lr": 0.01}),
    ("rmsprop(lr = 0.01, momentum = 0.5, weight_decay = 0.1)", "RMSprop", {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.1}),
    ("adam", "Adam", {"lr": 1e-3}),
    ("adam(lr = 0.01, betas = [0.8, 0.9], weight_decay = 0.1)", "Adam", {"lr": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    ("adamw(lr = 0.01, weight_decay = 0.1)", "AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("adamw", "AdamW", {"lr": 1e-3}),
]


@pytest.mark.torch
@pytest.mark.parametrize("clip", ["", "clip = norm(0.05)", "clip = value(0.01)"])
@pytest.mark.parametrize(("text", "name", "options"), OPTIMIZERS, ids=[o[0] for o in OPTIMIZERS])
def test_trajectories_are_pytorchs(run_of: Callable[..., Any], text: str, name: str, options: dict[str, Any], clip: str) -> None:
    torch = pytest.importorskip("torch")
    run = run_of(program(settings=f"  optimizer = {text}\n  {clip}"), float_type="f64")
    run("init")
    weights = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in run.store.items() if "@" not in k}
    optimizer = getattr(torch.optim, name)(list(weights.values()), **options)
    x, y = torch.tensor(ROWS["a"]), torch.tensor(ROWS["t"])
    for step in range(12):
        loss = run("train", {"x": ROWS["a"], "y": ROWS["t"]}, step=step)["loss"]
        optimizer.zero_grad()
        out = torch.tanh(x @ weights["a.w"] + weights["a.b"]) @ weights["b.w"] + weights["b.b"]
        expected = torch.nn.functional.mse_loss(out, y)
        expected.backward()
        if "norm" in clip:
            torch.nn.utils.clip_grad_norm_(list(weights.values()), 0.05)
        elif clip:
            torch.nn.utils.clip_grad_value_(list(weights.values()), 0.01)
        optimizer.step()
        # A step amplifies rounding (2 ** -53) by less than 10; 12 steps of adagrad or rmsprop, which divide by small roots, by 1e4.
        np.testing.assert_allclose(float(loss), float(expected.detach()), rtol=1e-11)
    for key, weight in weights.items():
        np.testing.assert_allclose(run.store[key], weight.detach().numpy(), rtol=1e-9, atol=1e-12)


LOSSES = [
    ("mse(out, y)", lambda f, o, r: f.mse_loss(o, r["t"])),
    ("mae(out, y)", lambda f, o, r: f.l1_loss(o, r["t"])),
    ("huber(out, y, delta = 0.5)", lambda f, o, r: f.huber_loss(o, r["t"], delta=0.5)),
    ("cross_entropy(out, label)", lambda f, o, r: f.cross_entropy(o, r["k"])),
    ("cross_entropy(out, label, smoothing = 0.1)", lambda f, o, r: f.cross_entropy(o, r["k"], label_smoothing=0.1)),
    ("cross_entropy(out, softmax(out * 0 + 1))", lambda f, o, r: f.cross_entropy(o, o.detach() * 0 + 1 / 3)),
    ("bce(out, sigmoid(y))", lambda f, o, r: f.binary_cross_entropy_with_logits(o, r["t"].sigmoid())),
    ("bce(out, y > 0)", lambda f, o, r: f.binary_cross_entropy_with_logits(o, (r["t"] > 0).double())),
    ("bce(out, 1)", lambda f, o, r: f.binary_cross_entropy_with_logits(o, o.detach() * 0 + 1)),
]


@pytest.mark.torch
@pytest.mark.parametrize(("text", "expected"), LOSSES, ids=[t for t, _ in LOSSES])
def test_losses_are_pytorchs(run_of: Callable[..., Any], text: str, expected: Callable[..., Any]) -> None:
    torch = pytest.importorskip("torch")
    width = 3 if "cross" in text else 2
    run = run_of(program(text, "  optimizer = sgd(lr = 1.0)", f"return x |> dense({width}) as b"), float_type="f64")
    run("init")
    w = torch.tensor(run.store["b.w"], requires_grad=True)
    rows = {k: torch.tensor(v) for k, v in ROWS.items()}
    data = {"x": ROWS["a"], "y": ROWS["t"], "label": ROWS["k"]}
    evaluated = run("eval", data)["loss"]
    before = run.store["b.w"]
    loss = run("train", data)["loss"]
    reference = expected(torch.nn.functional, rows["a"] @ w, rows)
    reference.backward()
    # Sums of at most 48 terms of order 1: 48 x 2 ** -53 x a few.
    np.testing.assert_allclose(float(loss), float(reference.detach()), rtol=1e-13)
    np.testing.assert_allclose(float(evaluated), float(reference.detach()), rtol=1e-13)
    np.testing.assert_allclose(before - run.store["b.w"], w.grad.numpy(), rtol=1e-11, atol=1e-14)


def test_weights_weigh_the_mean(run_of: Callable[..., Any]) -> None:
    run = run_of(program("mse(out, y)", "  weight = w\n  optimizer = sgd(lr = 1.0)", "return x |> dense(2) as b"), float_type="f64")
    run("init")
    w = run.store["b.w"]
    error = ROWS["a"] @ w - ROWS["t"]
    share = ROWS["c"][:, None] / (2 * ROWS["c"].sum())
    data = {"x": ROWS["a"], "y": ROWS["t"], "w": ROWS["c"]}
    np.testing.assert_allclose(run("eval", data)["loss"], (share * error**2).sum(), rtol=1e-13)
    np.testing.assert_allclose(run("train", data)["loss"], (share * error**2).sum(), rtol=1e-13)
    np.testing.assert_allclose(run.store["b.w"], w - ROWS["a"].T @ (2 * share * error), rtol=1e-11, atol=1e-13)


def test_class_weights_weigh_rows(run_of: Callable[..., Any]) -> None:
    text = program("cross_entropy(out, label)", "  class_weight = [1, 2.0, 4]", "return x |> dense(3) as b")
    run = run_of(text, float_type="f64")
    run("init")
    z = ROWS["a"] @ run.store["b.w"]
    row = np.log(np.exp(z).sum(1)) - z[np.arange(16), ROWS["k"]]
    weight = np.array([1, 2, 4])[ROWS["k"]]
    loss = run("train", {"x": ROWS["a"], "label": ROWS["k"]})["loss"]
    np.testing.assert_allclose(loss, (weight * row).sum() / weight.sum(), rtol=1e-13)


def test_class_weights_are_those_of_what_the_loss_reads(run_of: Callable[..., Any]) -> None:
    text = program("cross_entropy(out, label)", "  class_weight = [1, 2.0, 4]", "return x |> dense(3) as b")
    other = text.replace("  label =", "  kind = k |> category(7)\n  label =")
    assert other != text
    rows = {"x": ROWS["a"], "label": ROWS["k"]}
    losses = []
    for source in (text, other):
        run = run_of(source, float_type="f64")
        run("init")
        losses.append(float(run("train", rows)["loss"]))
    assert losses[0] == losses[1]


SCHEDULES = [
    ("constant(2.0)", lambda s, n: 2.0),
    ("step(2.0, every = 3, gamma = 0.5)", lambda s, n: 2 * 0.5 ** (s // 3)),
    ("exponential(2.0, gamma = 0.9)", lambda s, n: 2 * 0.9**s),
    ("cosine(2.0)", lambda s, n: 1 + np.cos(np.pi * s / n)),
    (
        "cosine(2.0, warmup = 4, least = 0.5)",
        lambda s, n: (s + 1) / 2 if s < 4 else 0.5 + 0.75 * (1 + np.cos(np.pi * (s - 4) / (n - 4))),
    ),
    ("warmup(2.0, steps_up = 5)", lambda s, n: 2 * min((s + 1) / 5, 1)),
    ("ramp(2.0, 5)", lambda s, n: 2 * min(s / 5, 1)),
    ("linear(2.0, least = 1.0)", lambda s, n: 2 - s / n),
    ("plateau(2.0)", lambda s, n: 2.0),
]


@pytest.mark.parametrize(("text", "expected"), SCHEDULES, ids=[t for t, _ in SCHEDULES])
def test_schedules(run_of: Callable[..., Any], text: str, expected: Callable[[int, int], float]) -> None:
    """The gradient of -w is -1, so each step of sgd adds the rate."""
    source = program("sum(0 * out, axis = -1) - s", f"  optimizer = sgd(lr = {text})", "param s: f32[] = 0.0\n  return x * s, s")
    run = run_of(with_valid(source.replace("(out: f32[B, N])", "(out: f32[B, N], s: f32[])")), float_type="f64")
    run("init")
    value = 0.0
    for step in range(10):
        run("train", {"x": ROWS["a"]}, step=step, steps=10)
        value += expected(step, 10)
        np.testing.assert_allclose(run.store["s"], value, rtol=1e-14)


def test_plateau_settings_reach_the_unit(unit_of: Callable[..., Any]) -> None:
    text = program(settings="  optimizer = adam(lr = plateau(0.1, factor = 0.5, patience = 2))\n  stop = plateau(valid.loss)")
    unit = unit_of(with_valid(text))
    assert unit.training.plateau.factor == 0.5
    assert unit.training.plateau.patience == 2
    assert (unit.training.stop.split, unit.training.stop.metric, unit.training.stop.mode) == ("valid", "loss", "min")


def test_patterns_choose_optimizers_and_freeze(run_of: Callable[..., Any]) -> None:
    text = program(settings='  optimizer = ["a.*" = frozen, "*.b" = sgd(lr = 0.0), "*" = sgd(lr = 1.0)]')
    run = run_of(text)
    assert [(w.key, w.trainable, w.pattern) for w in run.unit.weights] == [
        ("a.w", False, "a.*"), ("a.b", False, "a.*"), ("b.w", True, "*"), ("b.b", True, "*.b"),
    ]  # fmt: skip
    run("init")
    before = dict(run.store)
    updated = run("train", {"x": ROWS["a"], "y": ROWS["t"]})
    assert set(updated) == {"loss", "b.w", "b.b"}
    assert (updated["b.b"] == before["b.b"]).all()
    assert (updated["b.w"] != before["b.w"]).any()


def test_states_are_carried_in_training_only(run_of: Callable[..., Any]) -> None:
    text = """
layer EMA(decay = 0.75)(x: float[B, D]) -> float[B, D] {
  state avg: float[D] = zeros
  if training { avg = decay * avg + (1 - decay) * stop_gradient(mean(x, axis = 0)) }
  return x - avg
}
""" + program(model="return x |> EMA as ema |> dense(2) as b")
    run = run_of(text, float_type="f64")
    run("init")
    data = {"x": ROWS["a"], "y": ROWS["t"]}
    run("train", data)
    run("train", data, step=1)
    np.testing.assert_allclose(run.store["ema.avg"], ROWS["a"].mean(0) * (1 - 0.75**2), rtol=1e-13)
    assert "ema.avg" not in run("eval", data)
    assert [s.key for s in run.unit.states] == ["ema.avg"]


def test_dropout_scales_what_it_keeps_and_ends_with_training(run_of: Callable[..., Any]) -> None:
    run = run_of(program(loss="out", model="return x |> dropout(0.25)", settings="  predict = out"), float_type="f64")
    ones = {"x": np.ones((4000, 4))}
    # 16,000 cells kept with probability 0.75, scaled by 4 / 3: the mean is 1 +- 5 x (4 / 3) x sqrt(0.25 x 0.75 / 16,000).
    assert abs(run("train", ones)["loss"] - 1) < 5 * 4 / 3 * np.sqrt(0.25 * 0.75 / 16000)
    assert run("train", ones)["loss"] != run("train", ones, step=1)["loss"]
    assert (run("predict", {"a": ones["x"]})["prediction"] == 1).all()


def test_stop_gradient_of_a_layer_stops_at_its_parameters(run_of: Callable[..., Any]) -> None:
    text = (
        DATA
        + """
model G(x: f32[B, 4]) -> (real: f32[B], fake: f32[B]) {
  gen = dense(4)
  disc = dense(1)
  f = gen(x)
  return squeeze(disc(stop_gradient(f))), squeeze(stop_gradient(disc)(f))
}
train G on D { loss = fake; optimizer = sgd(lr = 1.0) }
"""
    )
    run = run_of(text, float_type="f64")
    run("init")
    updated = run("train", {"x": ROWS["a"]})
    w = run.store["disc.w"]
    assert set(updated) - {"loss"} <= {"gen.w", "gen.b", "disc.w", "disc.b"}
    start = run_of(text, float_type="f64")
    start("init")
    np.testing.assert_array_equal(w, start.store["disc.w"])
    np.testing.assert_allclose(updated["gen.b"], -w[:, 0], rtol=1e-13)


def test_overrides_change_the_text(unit_of: Callable[..., Any]) -> None:
    text = "let H = 5\n" + DATA + (
        "model M(x: f32[B, 4], ) -> (out: f32[B, 2]) { return x |> dense(H) as a |> dense(2) as b }\n"
        "model N(n = 3)(x: f32[B, 4]) -> (out: f32[B, 2]) { return x |> dense(n) as a |> dense(2) as b }\n"
        "train M on D as first { loss = mse(out, y); epochs = 3 }\ntrain N on D as second { loss = mse(out, y) }\n"
    )  # fmt: skip
    unit = unit_of(text, "first", overrides={"H": "7", "epochs": "9", "batch": "8"})
    assert unit.weights[0].type.shape == (4, 7)
    assert (unit.training.epochs, unit.training.batch) == (9, 8)
    assert "let H = 7" in unit.sources[0].text
    unit = unit_of(text, "second", overrides={"n": "6", "optimizer": "sgd(lr = 1.0)"})
    assert unit.weights[0].type.shape == (4, 6)
    assert "train N(n = 6) on D" in unit.sources[0].text
    again = unit_of(unit.sources[0].text, "second")
    assert again.weights[0].optimizer == "sgd(lr = 1.0)"


def test_names_of_model_and_data_are_told_apart(run_of: Callable[..., Any]) -> None:
    text = DATA + "model M(x: f32[B, 4]) -> (y: f32[B, 2]) { return x[:, :2] }\ntrain M on D { loss = mse(M.y, D.y) }\n"
    run = run_of(text, float_type="f64")
    loss = run("eval", {"x": ROWS["a"], "y": ROWS["t"]})["loss"]
    np.testing.assert_allclose(loss, ((ROWS["a"][:, :2] - ROWS["t"]) ** 2).mean(), rtol=1e-13)
    assert any(d.code == "W0602" for d in run.unit.warnings)


@pytest.mark.parametrize("header", ["M", "M()", "M(a = 3)"])
@pytest.mark.parametrize("body", ["{}", "{ batch = 4 }", "{\n  batch = 4\n  seed = 1\n}"])
def test_several_things_are_set_at_once(unit_of: Callable[..., Any], header: str, body: str) -> None:
    model = "model M(a = 5, b = 6)(x: f32[B, 4]) -> (c: f32[B, 2]) { return x |> dense(a) as a |> dense(b) as b |> dense(2) }\n"
    text = DATA.replace("  label = k |> category(3)\n  w = c\n", "") + model + f"train {header} on D {body}\n"
    unit = unit_of(text, overrides={"a": "7", "b": "8", "epochs": "9", "accumulate": "2"})
    assert [w.type.shape for w in unit.weights if w.key.endswith("w")] == [(4, 7), (7, 8), (8, 2)]
    assert (unit.training.epochs, unit.training.accumulate) == (9, 2)
    assert unit.training.batch == (32 if body == "{}" else 4)


def test_how_long_is_set_in_place_of_the_file_s_way_to_say_it(unit_of: Callable[..., Any]) -> None:
    text = program(settings="  steps = 20_000  # long\n  batch = 8")
    unit = unit_of(text, overrides={"epochs": "2"})
    assert (unit.training.epochs, unit.training.steps, unit.training.batch) == (2, None, 8)
    unit = unit_of(text, overrides={"steps": "7"})
    assert (unit.training.epochs, unit.training.steps) == (None, 7)
