"""A net of PyTorch's, by its safetensors: the same outputs here, states included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import bmc

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

PROGRAM = """let PARTS = ["w" = "weight", "b" = "bias", "g" = "weight"]
data D {
  source = npz("d.npz")
  columns { image: f32[6, 5, 3]; label: i32 }
  x = image
  y = label |> category(4)
}
layer Body(x: float[B, H, W, C]) -> float[B, D] {
  h = x |> conv2d(8, 3, pad = 1) as c1 |> batchnorm as n1 |> relu
  return h |> conv2d(8, [3, 2], groups = 2, bias = false) as c2 |> mean(axis = [1, 2])
}
model Net(x: f32[B, H, W, 3]) -> (logits: f32[B, 4]) { return x |> Body as body |> dense(4) as fc }
train Net on D {
  init = [
    "body.c1.*" = load("net.safetensors", prefix = "features.0.", transpose = true, names = PARTS),
    "body.n1.*" = load("net.safetensors", prefix = "features.1.", names = PARTS),
    "body.c2.w" = load("net.safetensors", key = "features.3.weight", transpose = true),
    "fc.*" = load("net.safetensors", transpose = true, names = PARTS),
  ]
  loss = cross_entropy(logits, y)
  optimizer = frozen
  steps = 1
}
"""


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, (3, 2), groups=2, bias=False)
        )
        self.fc = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(x).mean(dim=(2, 3)))


@pytest.mark.parametrize("half", [False, True], ids=["f32", "f16"])
def test_a_net_of_pytorch_gives_what_it_gave_there(tmp_path: Path, half: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    net = Net()
    net(torch.randn(64, 3, 6, 5) * 2 + 1)  # moves the running statistics
    net = net.half().float() if half else net
    net.eval()
    state = net.half().state_dict() if half else net.state_dict()
    save_file({k: v.numpy() for k, v in state.items()}, tmp_path / "net.safetensors")
    x = np.random.default_rng(0).normal(size=(7, 6, 5, 3)).astype(np.float32)
    (tmp_path / "m.bm").write_text(PROGRAM)
    model = bmc.compile(tmp_path / "m.bm").train({"image": x, "label": np.zeros(7, np.int32)})
    with torch.no_grad():
        wanted = net.double()(torch.from_numpy(x).double().permute(0, 3, 1, 2)).numpy()
    # Sums of 27 + 24 + 12 + 8 terms of size about 1, each rounded once: a hundred roundings of 2^-24.
    assert np.abs(model.predict({"image": x})["logits"] - wanted).max() < 100 * 2**-24 * max(np.abs(wanted).max(), 1.0)


RECURRENT = """let NAMES = [
  "ih.w" = "weight_ih_l0",
  "ih.b" = "bias_ih_l0",
  "step.hh.w" = "weight_hh_l0",
  "step.hh.b" = "bias_hh_l0",
]
let ATTENTION = [
  "qkv.w" = "in_proj_weight",
  "qkv.b" = "in_proj_bias",
  "proj.w" = "out_proj.weight",
  "proj.b" = "out_proj.bias",
]
data D {
  source = npz("d.npz")
  columns { series: f32[6, 5] }
  x = series
}
model Net(x: f32[B, T, D]) -> (out: f32[B, T, 8]) {
  all, last, cell = x |> lstm(8) as rnn
  return all |> multi_head_attention(2) as attn
}
train Net on D {
  init = [
    "rnn.*" = load("net.safetensors", transpose = true, names = NAMES),
    "attn.*" = load("net.safetensors", transpose = true, names = ATTENTION),
  ]
  loss = out ** 2
  optimizer = frozen
  steps = 1
}
"""


class Recurrent(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.LSTM(5, 8, batch_first=True)
        self.attn = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.rnn(x)[0]
        return self.attn(h, h, h)[0]


def test_recurrence_and_attention_lie_in_the_order_of_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    net = Recurrent()
    save_file({k: v.numpy() for k, v in net.state_dict().items()}, tmp_path / "net.safetensors")
    x = np.random.default_rng(0).normal(size=(7, 6, 5)).astype(np.float32)
    (tmp_path / "m.bm").write_text(RECURRENT)
    model = bmc.compile(tmp_path / "m.bm").train({"series": x})
    with torch.no_grad():
        wanted = net.double()(torch.from_numpy(x).double()).numpy()
    # Six steps of sums of 13 terms, then 8, 6 and 8 terms, of size at most 1: a hundred roundings of 2^-24.
    assert np.abs(model.predict({"series": x})["out"] - wanted).max() < 100 * 2**-24
