"""Blocks of convolutional networks, and recurrent layers with all that they take, against PyTorch: values and gradients."""

from __future__ import annotations

from typing import Any

import pytest

from tests.training.test_layers import channels_first, channels_last, linear, norm
from tests.training.twins import Case, Group, Weights, compare, group_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

F: Any = torch.nn.functional
Tensor = Any

IMAGE = (2, 6, 5, 4)


def conv(x: Tensor, w: Tensor, size: int, bias: Tensor | None = None, **settings: Any) -> Tensor:
    """`w`: [taps * channels of a group, units], as ours."""
    channels = x.shape[-1] // settings.get("groups", 1)
    kernel = w.reshape(size, size, channels, -1).permute(3, 2, 0, 1)
    return channels_last(F.conv2d(channels_first(x), kernel, bias, **settings))


def conv_block(x: Tensor, w: Weights) -> Tensor:
    return torch.relu(norm("batch")(conv(x, w["conv.w"], 3, padding=1, stride=2), w.under("norm")))


def conv_block_settings(x: Tensor, w: Weights) -> Tensor:
    return F.silu(norm("group", groups=1)(conv(x, w["conv.w"], 3, padding=2, dilation=2, groups=2), w.under("norm.group")))


def separable(x: Tensor, w: Weights) -> Tensor:
    depth = conv(x, w["depth.w"], 3, padding=1, groups=4)
    return conv(depth, w["point.w"], 1, w["point.b"])


def squeeze_excite(x: Tensor, w: Weights) -> Tensor:
    s = torch.sigmoid(linear(torch.relu(linear(x.mean((1, 2)), w, "down")), w, "up"))
    return x * s[:, None, None]


def res_block(stride: int) -> Any:
    def twin(x: Tensor, w: Weights) -> Tensor:
        batch = norm("batch")
        h = torch.relu(batch(conv(x, w["c1.w"], 3, padding=1, stride=stride), w.under("n1")))
        h = batch(conv(h, w["c2.w"], 3, padding=1), w.under("n2"))
        if "skip.w" in w:
            x = batch(conv(x, w["skip.w"], 1, stride=stride), w.under("n3"))
        return torch.relu(x + h)

    return twin


CONVOLUTIONS: dict[str, Case] = {
    "conv_block": Case("{x} |> conv_block(7, 3, stride = 2) as l", {"x": IMAGE}, (2, 3, 3, 7), conv_block),
    "conv_block_settings": Case(
        "{x} |> conv_block(6, 3, dilation = 2, groups = 2, norm = one_group, act = silu) as l",
        {"x": IMAGE},
        (2, 6, 5, 6),
        conv_block_settings,
    ),
    "separable2d": Case("{x} |> separable2d(7, 3) as l", {"x": IMAGE}, (2, 6, 5, 7), separable),
    "squeeze_excite": Case("{x} |> squeeze_excite(ratio = 2) as l", {"x": IMAGE}, IMAGE, squeeze_excite),
    "res_block": Case("{x} |> res_block(4) as l", {"x": IMAGE}, IMAGE, res_block(1)),
    "res_block_wider": Case("{x} |> res_block(6) as l", {"x": IMAGE}, (2, 6, 5, 6), res_block(1)),
    "res_block_down": Case("{x} |> res_block(6, stride = 2) as l", {"x": IMAGE}, (2, 3, 3, 6), res_block(2)),
}
ONE_GROUP = "layer one_group(x: float[B, H, W, C]) -> float[B, H, W, C] { return x |> groupnorm(1) as group }\n"


@pytest.fixture(scope="module", params=["f64", "f32"])
def convolutions(request: pytest.FixtureRequest) -> Group:
    return group_of(CONVOLUTIONS, request.param, ONE_GROUP)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_block_of_convolutions(name: str, convolutions: Group) -> None:
    compare(convolutions, name)


ROWS, STEPS, WIDTH, UNITS = 3, 4, 5, 6
LENGTHS = [4, 1, 3]
LEN = f"len: i32[{ROWS}] = {LENGTHS}\n"
X, H = (ROWS, STEPS, WIDTH), (ROWS, UNITS)
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


def module(kind: str, w: Weights, dtype: Any, both: bool = False, depth: int = 1, act: str = "tanh") -> tuple[Any, dict[str, Any]]:
    """PyTorch's module, and our weights under its names."""
    settings = {"nonlinearity": act} if kind == "RNN" else {}
    made = getattr(torch.nn, kind)(WIDTH, UNITS, depth, batch_first=True, bidirectional=both, dtype=dtype, **settings)
    own: dict[str, Any] = {}
    for level in range(depth):
        for suffix, part in (("", "fwd"), ("_reverse", "bwd")) if both else (("", ""),):
            inner = w.under(f"layer.{level}.cell") if depth > 1 else w
            inner = inner.under(part) if part else inner
            for theirs, ours in (("ih", "ih"), ("hh", "step.hh")):
                own[f"weight_{theirs}_l{level}{suffix}"] = inner[f"{ours}.w"].T
                own[f"bias_{theirs}_l{level}{suffix}"] = inner[f"{ours}.b"]
    return made, own


def run(kind: str, x: Tensor, w: Weights, *start: Tensor, lengths: bool = False, **settings: Any) -> tuple[Tensor, Tensor]:
    """(all, last): past its end a row keeps its last state, as ours does; the last state of both directions side by side."""
    made, own = module(kind, w, x.dtype, **settings)
    given = tuple(s[None] for s in start)
    state = (given if kind == "LSTM" else given[0],) if given else ()
    if not lengths:
        every, last = torch.func.functional_call(made, own, (x, *state))
    else:
        pack = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False)
        packed, last = torch.func.functional_call(made, own, (pack, *state))
        every, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, batch_first=True, total_length=STEPS)
    last = last[0] if kind == "LSTM" else last
    last = torch.cat([last[-2], last[-1]], -1) if settings.get("both") else last[-1]
    if lengths:  # the reverse direction has its first state, 0, past the end, and PyTorch gives 0 there
        beyond = torch.arange(STEPS)[None, :, None] >= torch.tensor(LENGTHS)[:, None, None]
        own_last = last.clone()
        if settings.get("both"):
            own_last = torch.cat([last[:, :UNITS], torch.zeros_like(last[:, UNITS:])], -1)
        every = torch.where(beyond, own_last[:, None], every)
    return every, last


def joined(result: tuple[Tensor, Tensor]) -> Tensor:
    return torch.cat([result[0], result[1][:, None]], 1)


BOTH = "concat(all, unsqueeze(last, 1), axis = 1)"
RECURRENT: dict[str, Case] = {
    "rnn": Case("all, last = {x} |> rnn(6) as l\n" + BOTH, {"x": X}, (3, 5, 6), lambda x, w: joined(run("RNN", x, w))),
    "rnn_relu": Case(
        LEN + "all, last = ({x}, len) |> rnn(6, act = relu) as l\n" + BOTH,
        {"x": X},
        (3, 5, 6),
        lambda x, w: joined(run("RNN", x, w, lengths=True, act="relu")),
    ),
    "gru_start": Case(
        "{l} = gru(6)\nall, last = {l}({x}, start = {h})\n" + BOTH,
        {"x": X, "h": H},
        (3, 5, 6),
        lambda x, h, w: joined(run("GRU", x, w, h)),
    ),
    "lstm_start": Case(
        LEN + "{l} = lstm(6)\nall, last, cell = {l}({x}, len, start = {h}, start_cell = {c})\n" + BOTH,
        {"x": X, "h": H, "c": H},
        (3, 5, 6),
        lambda x, h, c, w: joined(run("LSTM", x, w, h, c, lengths=True)),
    ),
    **{
        f"both_{kind.lower()}": Case(
            LEN + f"all, last = ({{x}}, len) |> bidirectional({kind.lower()}, 6) as l\n" + BOTH,
            {"x": X},
            (3, 5, 12),
            lambda x, w, kind=kind: joined(run(kind, x, w, both=True, lengths=True)),
        )
        for kind in GATES
    },
    "stacked_gru": Case(
        "all, last = {x} |> stacked(gru, 6, depth = 3) as l\n" + BOTH,
        {"x": X},
        (3, 5, 6),
        lambda x, w: joined(run("GRU", x, w, depth=3)),
    ),
    "stacked_lstm_both": Case(
        "all, last = {x} |> stacked(lstm, 6, both = true) as l\n" + BOTH,
        {"x": X},
        (3, 5, 12),
        lambda x, w: joined(run("LSTM", x, w, depth=2, both=True)),
    ),
    "rnn_cell": Case(
        "({x}, {h}) |> rnn_cell(6) as l",
        {"x": H, "h": H},
        H,
        lambda x, h, w: torch.tanh(x + linear(h, w, "hh")),
    ),
    "gru_cell": Case(
        "({x}, {h}) |> gru_cell(6) as l",
        {"x": (ROWS, 18), "h": H},
        H,
        lambda x, h, w: torch.gru_cell(x, h, torch.eye(18, dtype=x.dtype), w["hh.w"].T, torch.zeros(18, dtype=x.dtype), w["hh.b"]),
    ),
    "lstm_cell": Case(
        "h, c = ({x}, {h}, {c}) |> lstm_cell(6) as l\nconcat(h, c)",
        {"x": (ROWS, 24), "h": H, "c": H},
        (ROWS, 12),
        lambda x, h, c, w: torch.cat(
            torch.lstm_cell(x, (h, c), torch.eye(24, dtype=x.dtype), w["hh.w"].T, torch.zeros(24, dtype=x.dtype), w["hh.b"]), -1
        ),
    ),
}


@pytest.fixture(scope="module", params=["f64", "f32"])
def recurrent(request: pytest.FixtureRequest) -> Group:
    return group_of(RECURRENT, request.param)


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_layer(name: str, recurrent: Group) -> None:
    compare(recurrent, name)
