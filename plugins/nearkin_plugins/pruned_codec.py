"""Pruning: of each row only the largest coordinates are kept, as a bitmap and one signed byte each."""

from __future__ import annotations

import numpy as np

from nearkin.codecs import Codec
from nearkin.kernels import numba_is_installed
from nearkin.vectors import block_rows

STEPS = 127
"""Largest whole number that a kept coordinate is stored as."""


class Pruned(Codec):
    """Magnitude pruning: a share of each row's coordinates, the smallest, become 0; the rest are rounded to 255 steps.

    A code is the row's scale (the largest magnitude / 127, float32), a bitmap of the columns kept, and their values as
    int8 in order of column: ``4 + ⌈dim / 8⌉ + kept`` bytes. Nothing is trained.

    Sources: Y. LeCun, J. Denker and S. Solla, "Optimal brain damage" (1989) for pruning; S. Han, J. Pool, J. Tran and
    W. Dally, "Learning both weights and connections for efficient neural networks" (2015) for pruning by magnitude.

    Parameters
    ----------
    percent
        Coordinates of each row that are dropped, 1 to 99 in a hundred; at least one is kept.

    Examples
    --------
    Half of four columns are kept:

    >>> codec = Pruned(dim=4, percent=50)
    >>> codec.code_size, codec.decode(codec.encode(np.float32([[0.1, -12.7, 3.2, 0]]))).round(4).tolist()
    (7, [[0.0, -12.699999809265137, 3.200000047683716, 0.0]])
    """

    name = "pruned"

    def __init__(self, dim: int, percent: int = 50) -> None:
        self.percent = percent
        self.kept = max(1, round(dim * (100 - percent) / 100))
        super().__init__(dim)

    @property
    def label(self) -> str:
        return f"pruned{self.percent}"

    @property
    def _bitmap(self) -> slice:
        return slice(4, self.code_size - self.kept)

    @property
    def code_size(self) -> int:
        return 4 + -(-self.dim // 8) + self.kept

    def _encode(self, vectors: np.ndarray) -> np.ndarray:
        codes = np.empty((len(vectors), self.code_size), dtype=np.uint8)
        step = block_rows(16 * self.dim)
        for start in range(0, len(vectors), step):
            self._encode_block(vectors[start : start + step], codes[start : start + step])
        return codes

    def _encode_block(self, rows: np.ndarray, codes: np.ndarray) -> None:
        sizes = np.abs(rows)
        # A stable order, so that of equal magnitudes the first columns are kept, among others as alone.
        largest = np.argsort(-sizes, axis=1, kind="stable")[:, : self.kept]
        columns = np.sort(largest, axis=1)
        scales = sizes.max(axis=1) / np.float32(STEPS)
        kept = np.take_along_axis(rows, columns, axis=1)
        steps = np.divide(kept, scales[:, None], out=np.zeros_like(kept), where=scales[:, None] > 0)
        bitmap = np.zeros(rows.shape, dtype=bool)
        np.put_along_axis(bitmap, columns, True, axis=1)
        codes[:, :4] = scales.astype("<f4")[:, None].view(np.uint8)
        codes[:, self._bitmap] = np.packbits(bitmap, axis=1)
        codes[:, self._bitmap.stop :] = np.clip(np.rint(steps), -STEPS, STEPS).astype(np.int8).view(np.uint8)

    def _decode(self, codes: np.ndarray) -> np.ndarray:
        codes = np.ascontiguousarray(codes)
        scales = np.ascontiguousarray(codes[:, :4]).view("<f4")[:, 0]
        if not numba_is_installed():
            return self._decode_in_numpy(codes, scales)
        from nearkin_plugins.pruned_kernel import unpack

        rows = np.empty((len(codes), self.dim), dtype=np.float32)
        unpack(codes, scales, self._bitmap.start, self._bitmap.stop, rows)
        return rows

    def _decode_in_numpy(self, codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
        rows = np.zeros((len(codes), self.dim), dtype=np.float32)
        step = block_rows(5 * self.dim)
        for start in range(0, len(codes), step):
            block = codes[start : start + step]
            bitmap = np.unpackbits(block[:, self._bitmap], axis=1, count=self.dim).view(bool)
            values = np.ascontiguousarray(block[:, self._bitmap.stop :]).view(np.int8)
            rows[start : start + step][bitmap] = (values * scales[start : start + step, None]).ravel()
        return rows
