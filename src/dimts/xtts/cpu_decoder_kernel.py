"""The trunk of one decoding step, compiled by Numba for the processor it runs on; `cpu_decoder.py` calls it.

One token of each sentence is multiplied by every weight once, so a step can be no faster than reading the
weights from memory. Five parallel loops a layer, no allocation between them, each weight widened to float32
where it is used. Every row is summed in one order whatever other rows there are.

    x ─norm─▶ h ─qkv─▶ q k v ─attention over the cache─▶ a ─proj─▶ + x ─norm─▶ h ─fc─gelu─▶ f ─proj─▶ + x

Importing this file imports Numba; functions compile at their first call and are kept on disk.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

ROWS = 4
"""Rows that share one reading of the weights in a decoder of several sentences."""
_LOOSE = {"reassoc", "contract", "arcp", "nsz"}
"""Sums may be split over the lanes of a vector; numbers that are not finite stay so."""
_BLOCK = 32
_GELU = 0.7978845608028654  # √(2 / π)
_CUBE = 0.044715

Array = Any


@njit(fastmath=_LOOSE, inline="never")
def _dot(w: Array, x: Array) -> Any:
    total = np.float32(0)
    for j in range(w.shape[0]):
        total += np.float32(w[j]) * x[j]
    return total


@njit(fastmath=_LOOSE, inline="never")
def _dots(w: Array, x: Array, y: Array, z: Array, u: Array) -> Any:
    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for j in range(w.shape[0]):
        wide = np.float32(w[j])
        a += wide * x[j]
        b += wide * y[j]
        c += wide * z[j]
        d += wide * u[j]
    return a, b, c, d


@njit(fastmath=_LOOSE)
def _product(w: Array, x: Array, out: Array, index: int, together: bool) -> None:
    """Row `index` of w [out, in] times all of x [R, in] → column `index` of out [R, out]."""
    if together:
        for r in range(0, x.shape[0], ROWS):
            a, b, c, d = _dots(w[index], x[r], x[r + 1], x[r + 2], x[r + 3])
            out[r, index], out[r + 1, index], out[r + 2, index], out[r + 3, index] = a, b, c, d
    else:
        for r in range(x.shape[0]):
            out[r, index] = _dot(w[index], x[r])


@njit(fastmath=_LOOSE)
def _norm(x: Array, gain: Array, bias: Array, eps: float, out: Array) -> None:
    width = np.float32(x.shape[1])
    for r in range(x.shape[0]):
        mean = np.float32(0)
        for j in range(x.shape[1]):
            mean += x[r, j]
        mean /= width
        spread = np.float32(0)
        for j in range(x.shape[1]):
            away = x[r, j] - mean
            spread += away * away
        scale = np.float32(1) / np.sqrt(spread / width + np.float32(eps))
        for j in range(x.shape[1]):
            out[r, j] = (x[r, j] - mean) * scale * gain[j] + bias[j]


@njit(fastmath=_LOOSE, inline="never")
def _attend(q: Array, keys: Array, values: Array, length: int, shares: Array, out: Array) -> None:
    """q [w] over keys and values [capacity, w], of which `length` count → out [w]; shares [capacity] stay as
    exp."""
    scale = np.float32(1 / math.sqrt(q.shape[0]))
    highest = np.float32(-np.inf)
    for t in range(length):
        shares[t] = _dot(keys[t], q) * scale
        highest = max(highest, shares[t])
    total = np.float32(0)
    for t in range(length):
        shares[t] = np.exp(shares[t] - highest)
        total += shares[t]
    for j in range(q.shape[0]):
        out[j] = np.float32(0)
    for t in range(length):
        share = shares[t]
        for j in range(q.shape[0]):
            out[j] += share * values[t, j]
    for j in range(q.shape[0]):
        out[j] /= total


@njit(fastmath=_LOOSE, inline="never")
def _record(q: Array, keys: Array, first: int, end: int, shares: Array, attention: Array) -> None:
    """Attention of the query q [w] over keys first .. end - 1: [2], mean position 0 .. 1 and largest
    weight."""
    scale = np.float32(1 / math.sqrt(q.shape[0]))
    highest = np.float32(-np.inf)
    for t in range(first, end):
        shares[t] = _dot(keys[t], q) * scale
        highest = max(highest, shares[t])
    total, place = np.float32(0), np.float32(0)
    for t in range(first, end):
        share = np.exp(shares[t] - highest)
        total += share
        place += share * np.float32(t - first)
    attention[0] = place / total / np.float32(end - first - 1) if end - first > 1 else np.float32(1)
    attention[1] = np.float32(1) / total  # the largest is exp(0)


@njit(parallel=True, fastmath=_LOOSE, nogil=True, cache=True)
def trunk(
    x: Array,
    rows: int,
    together: bool,
    eps: float,
    norms: Array,
    biases: Array,
    scales: Array,
    qkv: Array,
    mixed: Array,
    wide: Array,
    narrow: Array,
    keys: Array,
    values: Array,
    lengths: Array,
    spans: Array,
    attention: Array,
) -> None:
    """One token of each sentence through all layers, in place.

    x [R', D] float32, of which `rows` are sentences, the others fill up a multiple of ROWS if `together`.
    norms [layers, 4, D]: gain and bias before attention, and before the feed-forward. biases and scales
    [layers, 9 D], of qkv (3 D), mixed (D), wide (4 D), narrow (D). Weights [layers, out, in] int8 or float32.
    keys and values [layers, slots, H, capacity, w]. lengths [rows]. spans [rows, 2] and attention [rows,
    layers, H, 2], which is not written where a span is empty.
    """
    padded, width = x.shape
    layers, heads, capacity = keys.shape[0], keys.shape[2], keys.shape[3]
    part = width // heads
    h = np.empty((padded, width), np.float32)
    q = np.empty((padded, 3 * width), np.float32)
    a = np.zeros((padded, width), np.float32)
    f = np.empty((padded, 4 * width), np.float32)
    y = np.empty((padded, width), np.float32)
    shares = np.empty((rows * heads, capacity), np.float32)
    for layer in range(layers):
        scale, bias = scales[layer], biases[layer]
        _norm(x, norms[layer, 0], norms[layer, 1], eps, h)
        for block in prange((3 * width + _BLOCK - 1) // _BLOCK):
            for i in range(block * _BLOCK, min(block * _BLOCK + _BLOCK, 3 * width)):
                _product(qkv[layer], h, q, i, together)
                for r in range(rows):
                    q[r, i] = q[r, i] * scale[i] + bias[i]
        for index in prange(rows * heads):
            r, head = index // heads, index % heads
            at, length = head * part, lengths[r]
            own_keys, own_values = keys[layer, r, head], values[layer, r, head]
            for j in range(part):
                own_keys[length, j] = q[r, width + at + j]
                own_values[length, j] = q[r, 2 * width + at + j]
            asked = q[r, at : at + part]
            _attend(asked, own_keys, own_values, length + 1, shares[index], a[r, at : at + part])
            if spans[r, 1] > spans[r, 0]:
                _record(asked, own_keys, spans[r, 0], spans[r, 1], shares[index], attention[r, layer, head])
        for block in prange((width + _BLOCK - 1) // _BLOCK):
            for i in range(block * _BLOCK, min(block * _BLOCK + _BLOCK, width)):
                _product(mixed[layer], a, y, i, together)
                for r in range(rows):
                    x[r, i] += y[r, i] * scale[3 * width + i] + bias[3 * width + i]
        _norm(x, norms[layer, 2], norms[layer, 3], eps, h)
        for block in prange((4 * width + _BLOCK - 1) // _BLOCK):
            for i in range(block * _BLOCK, min(block * _BLOCK + _BLOCK, 4 * width)):
                _product(wide[layer], h, f, i, together)
                for r in range(rows):
                    z = f[r, i] * scale[4 * width + i] + bias[4 * width + i]
                    inner = np.float32(_GELU) * (z + np.float32(_CUBE) * z * z * z)
                    f[r, i] = np.float32(0.5) * z * (np.float32(1) + np.tanh(inner))
        for block in prange((width + _BLOCK - 1) // _BLOCK):
            for i in range(block * _BLOCK, min(block * _BLOCK + _BLOCK, width)):
                _product(narrow[layer], f, y, i, together)
                for r in range(rows):
                    x[r, i] += y[r, i] * scale[8 * width + i] + bias[8 * width + i]


@njit(parallel=True, fastmath=_LOOSE, nogil=True, cache=True)
def head(x: Array, weight: Array, bias: Array, together: bool, out: Array) -> None:
    """x [R', D], weight [V, D], bias [V] → out [R', V]; R' is a multiple of ROWS if `together`."""
    count = weight.shape[0]
    for block in prange((count + _BLOCK - 1) // _BLOCK):
        for i in range(block * _BLOCK, min(block * _BLOCK + _BLOCK, count)):
            _product(weight, x, out, i, together)
            for r in range(x.shape[0]):
                out[r, i] += bias[i]
