"""The sources of the live figures, run in some V8: numbers in and numbers out."""

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bookbuild.extensions.live import bundle

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "book/live"
MODULES = [
    "couplings",
    "diffusion",
    "exact",
    "forward-process",
    "mixtures",
    "pad",
    "parabola",
    "plane",
    "playground",
    "random",
    "reverse-step",
    "samplers",
    "schedules",
    "solver-error",
    "solvers",
    "straightening",
    "tensors",
    "toy-network",
    "ways-back",
]
# What a browser has, and V8 alone has not; and arrays as text, since JSON of millions is slow.
PRELUDE = """
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const VALUES = Uint8Array.from({length: 128}, (_, code) =>
  Math.max(0, LETTERS.indexOf(String.fromCharCode(code))));
globalThis.TextDecoder ??= class {
  decode(bytes) { return Array.from(bytes, (code) => String.fromCharCode(code)).join(""); }
};
function bytesIn(text) {
  const length = text.length / 4 * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0);
  const bytes = new Uint8Array(length);
  for (let i = 0, j = 0; i < text.length; i += 4) {
    const word = [0, 1, 2, 3].reduce((w, k) => w << 6 | VALUES[text.charCodeAt(i + k)], 0);
    for (const shift of [16, 8, 0]) if (j < length) bytes[j++] = word >> shift & 255;
  }
  return bytes;
}
const floats = (text) => new Float32Array(bytesIn(text).buffer);
function text(array) {
  const bytes = new Uint8Array(Float32Array.from(array).buffer);
  const parts = [];
  for (let i = 0; i < bytes.length; i += 3) {
    const word = bytes[i] << 16 | bytes[i + 1] << 8 | bytes[i + 2];
    for (const [k, shift] of [18, 12, 6, 0].entries())
      parts.push(i + k > bytes.length ? "=" : LETTERS[word >> shift & 63]);
  }
  return parts.join("");
}
"""


class Engine:
    """V8 with the figures' own modules, ``$name`` each."""

    def __init__(self, define: Callable[[str], Any], evaluate: Callable[[str], Any]) -> None:
        self._evaluate = evaluate
        define(PRELUDE + bundle(SOURCES, *MODULES) + "\n0")

    def __call__(self, expression: str, **values: Any) -> Any:
        """Return the value of an expression in which names stand for plain JSON or tensors."""
        names = ", ".join(values)
        given = ", ".join(_written(value) for value in values.values())
        return json.loads(self._evaluate(f"JSON.stringify((({names}) => {expression})({given}))"))

    def tensor(self, expression: str, shape: Sequence[int] = (-1,), **values: Any) -> Tensor:
        """Return an array of JavaScript in float32."""
        return tensor_of(self(f"text({expression})", **values)).reshape(*shape)


def _written(value: Any) -> str:
    if isinstance(value, Tensor):
        content = np.ascontiguousarray(value.detach().numpy(), dtype="<f4").tobytes()
        return f'floats("{base64.b64encode(content).decode()}")'
    if isinstance(value, bytes):
        return f'bytesIn("{base64.b64encode(value).decode()}")'
    return json.dumps(value)


def tensor_of(text: str) -> Tensor:
    """Return the numbers that JavaScript's ``text`` wrote."""
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype="<f4").copy())
