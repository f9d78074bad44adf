"""What every index over faiss shares: spaces and signs, threads, search parameters, masks, state.

faiss takes float32 C-contiguous arrays, asserts without messages and can abort the process on pairs that do not go
together; everything that reaches this module was checked for legality and passed the gate.
"""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np

from nearkin.codecs import Codec
from nearkin.indexes import Found, Index, Layout, Mask, RangeFound, masked_by_growing
from nearkin.mapped_pages import let_go
from nearkin.state import State
from nearkin.vectors import block_rows
from nearkin_plugins.faiss_codecs import one_thread, set_clustering
from nearkin_plugins.faiss_exact_l2 import range_l2

IO_BYTES = 1 << 20
"""What faiss writes and reads at once."""


def faiss_metric(space_label: str) -> int:
    """faiss's number for the metric of a space.

    >>> faiss_metric("l2"), faiss_metric("faiss:METRIC_L1")
    (1, 2)
    """
    import faiss

    names = {"l2": "METRIC_L2", "inner-product": "METRIC_INNER_PRODUCT"}
    return int(getattr(faiss, names.get(space_label) or space_label.removeprefix("faiss:")))


class FaissIndex(Index):
    """Base of the indexes over faiss; a subclass makes the faiss index and its search parameters.

    Attributes
    ----------
    masks
        Whether faiss applies a mask inside the scan; otherwise more neighbours are asked for until enough are allowed.
    """

    masks = True
    tidy = True

    def __init__(self, layout: Layout, **params: Any) -> None:
        import faiss

        super().__init__(layout, **params)
        self._faiss: Any = None
        self._set_threads = faiss.omp_set_num_threads
        self._negate = layout.space.label == "inner-product"
        self._binary = layout.space.dtype == "bits"
        # Products with zeros are all 0: fast-scan stretches that table over 8 bits, to NaN, and finds no row.
        self._lost_on_zeros = self._negate and layout.codec.native is not None and layout.codec.native.family == "pqfs"
        self._cached_parameters: dict[tuple[Any, ...], Any] = {}

    # ---- what a subclass writes ------------------------------------------------------------------------------------

    @abstractmethod
    def _make(self, sample: np.ndarray) -> Any:
        """The untrained faiss index, without transform and refinement, for (n, width) rows such as these."""

    def _parameters(self, selector: Any, params: Mapping[str, int]) -> Any:
        """faiss SearchParameters of the index that `_make` makes, or None."""
        import faiss

        return None if selector is None else faiss.SearchParameters(sel=selector)

    # ---- the contract of Index -------------------------------------------------------------------------------------

    def use_threads(self, threads: int) -> None:
        self._set_threads(threads)

    def to_faiss(self) -> Any:
        refined, params = self.layout.refinement is not None, self.resolve({})
        base = base_of(self._faiss) if refined else self._faiss
        if refined:
            self._faiss.k_factor = max(1.0, params["rerank"] / 10)
        if "nprobe" in params:
            base.nprobe = min(params["nprobe"], base.nlist)
        if "ef_search" in params:
            base.hnsw.efSearch = params["ef_search"]
        return self._faiss

    def _train(self, vectors: np.ndarray) -> None:
        transform, codec = self.layout.transform, self.layout.codec
        encoded = vectors
        if transform is not None:
            transform.train(vectors, space=self.layout.space, codec=codec, seed=self.layout.seed)
            encoded = transform.apply(vectors)
            codec.check(encoded)
        index = self._make(encoded)
        with one_thread() if codec.native is not None and codec.native.family == "pqfs" else nullcontext():
            index.train(encoded)
        if codec.native is not None and codec.native.family == "pqfs":
            spread_codebook(index)
        if self.layout.refinement is not None:
            self._faiss = with_refinement(self._transformed(index), self.layout.refinement, self.layout)
            self._faiss.refine_index.train(vectors)
            self._faiss.is_trained = True
        else:
            self._faiss = self._transformed(index)

    def _transformed(self, index: Any) -> Any:
        """A faiss index that sends rows and queries through the transform of the layout first, if it has one."""
        transform = self.layout.transform
        if transform is None or transform.matrix is None:
            return index
        import faiss

        linear = faiss.LinearTransform(transform.dim, transform.width, False)
        faiss.copy_array_to_vector(transform.matrix.ravel(), linear.A)
        linear.is_trained = True
        made = faiss.IndexPreTransform(linear, index)
        made.own_fields = True
        linear.this.disown()
        index.this.disown()
        return made

    def _add(self, vectors: np.ndarray) -> None:
        step = block_rows(vectors.shape[1] * vectors.itemsize)
        for start in range(0, len(vectors), step):
            self._faiss.add(np.ascontiguousarray(vectors[start : start + step]))

    def _search(self, queries: np.ndarray, k: int, mask: Mask | None, params: Mapping[str, int]) -> Found:
        if mask is not None and not self.masks:
            return masked_by_growing(lambda ask: self._search(queries, ask, None, params), k, mask, self.n)
        parameters = self._search_parameters(k, mask, params)
        if self._lost_on_zeros and not queries.any(axis=1).all():
            zeros = np.flatnonzero(~queries.any(axis=1))
            moved = queries.copy()
            moved[zeros] = 1e-6
            distances, positions = self._faiss.search(moved, k, params=parameters)
            distances[zeros] = 0.0
        else:
            distances, positions = self._faiss.search(queries, k, params=parameters)
        return self._found(distances, positions)

    def _found(self, distances: np.ndarray, positions: np.ndarray) -> Found:
        """faiss's answer with smaller distances nearer, as float32, and +inf where faiss found nothing."""
        if self._negate:
            np.negative(distances, out=distances)
        elif self._binary:
            distances = distances.astype(np.float32)
        if positions.size and positions[:, -1].min() < 0:
            distances[positions < 0] = np.inf
        return Found(positions, distances)

    def _search_parameters(self, k: int, mask: Mask | None, params: Mapping[str, int]) -> Any:
        """SearchParameters for this call; those without a mask are kept, since making them costs microseconds."""
        if mask is not None:
            return self._made_parameters(k, mask, params)
        key = (k, self.n, *params.items())
        made = self._cached_parameters.get(key, self)
        if made is self:  # not there: other threads may be looking, and clearing, at the same time
            made = self._made_parameters(k, None, params)
            if len(self._cached_parameters) > 256:
                self._cached_parameters.clear()
            self._cached_parameters[key] = made
        return made

    def _made_parameters(self, k: int, mask: Mask | None, params: Mapping[str, int]) -> Any:
        import faiss

        selector = None if mask is None else faiss.IDSelectorBitmap(mask.packed)
        inner = self._parameters(selector, params)
        if self.layout.transform is not None:
            inner = faiss.SearchParametersPreTransform(index_params=inner)
        if self.layout.refinement is None:
            return inner
        return refine_parameters(k, min(self.n, max(k, params["rerank"])), inner)

    def _range_of(self, queries: np.ndarray, radius: float, parameters: Any) -> RangeFound:
        """faiss's own range search; it keeps values strictly inside, so the radius is moved up by one step."""
        if self._binary:
            furthest = 8 * self.layout.dim
            limits, distances, positions = self._faiss.range_search(queries, int(np.clip(radius, -1, furthest)) + 1)
            return RangeFound(limits.astype(np.int64), positions, distances.astype(np.float32))
        bound = np.float32(-radius if self._negate else radius)
        with np.errstate(over="ignore"):  # one step beyond the largest number is infinite, which is right
            outward = np.nextafter(bound, np.float32(-np.inf if self._negate else np.inf))
        if parameters is None and self.layout.space.label == "l2":
            return range_l2(self._faiss, queries, float(outward))
        limits, distances, positions = self._faiss.range_search(queries, float(outward), params=parameters)
        return RangeFound(limits.astype(np.int64), positions, -distances if self._negate else distances)

    def _allocated(self) -> dict[str, int]:
        refinement = 0
        if self.layout.refinement is not None:
            refinement = int(self._faiss.ntotal) * self.layout.refinement.code_size + self.layout.refinement.overhead()
        sizes = self._allocated_base(self._inside())
        return {**sizes, "transform": self._transform_cost(), "refinement": refinement}

    def _inside(self) -> Any:
        """The faiss index without transform and refinement."""
        index = self._faiss if self.layout.refinement is None else base_of(self._faiss)
        return index if self.layout.transform is None else after_transform(index)

    @abstractmethod
    def _allocated_base(self, index: Any) -> dict[str, int]:
        """Bytes by component of the faiss index without transform and refinement."""

    def _cost(self, n: int) -> dict[str, int]:
        refinement = sum(self.layout.refinement.cost(n).values()) if self.layout.refinement else 0
        return {**self._cost_base(n), "transform": self._transform_cost(), "refinement": refinement}

    @abstractmethod
    def _cost_base(self, n: int) -> dict[str, int]:
        """Bytes by component for n rows, without transform and refinement."""

    def _transform_cost(self) -> int:
        """The matrix twice: faiss has a copy of its own."""
        return 0 if self.layout.transform is None else 2 * self.layout.transform.cost()

    def _state(self) -> State:
        import faiss

        write = faiss.write_index_binary if self._binary else faiss.write_index
        return State({"faiss": written_by(lambda writer: write(self._faiss, writer))})

    def _restore(self, state: State) -> None:
        import faiss

        read = faiss.read_index_binary if self._binary else faiss.read_index
        self._faiss = read(reader_of(state.arrays["faiss"]))
        if self.layout.transform is not None:
            first = base_of(self._faiss) if self.layout.refinement else self._faiss
            linear = faiss.downcast_VectorTransform(first.chain.at(0))
            matrix = faiss.vector_to_array(linear.A).reshape(linear.d_out, linear.d_in)
            self.layout.transform.restore(State({"matrix": matrix}))


def written_by(write: Callable[[Any], None]) -> np.ndarray:
    """The bytes that faiss writes, mapped from a nameless file: in memory they would be there three times beside the index."""
    import faiss

    with tempfile.TemporaryFile() as file:
        writer = faiss.PyCallbackIOWriter(file.write, IO_BYTES)
        write(writer)
        del writer  # what it holds back is written now
        file.flush()
        return np.memmap(file, dtype=np.uint8, mode="r")


def reader_of(content: np.ndarray) -> Any:
    """A faiss reader of bytes that may be mapped, a piece at a time."""
    import faiss

    place = 0

    def read(size: int) -> bytes:
        nonlocal place
        piece = content[place : place + size].tobytes()
        place += len(piece)
        let_go(content[:place])  # all of it: a system maps up to 2 MiB around a page, what was let go of before too
        return piece

    return faiss.PyCallbackIOReader(read, IO_BYTES)


def with_refinement(base: Any, refinement: Codec, layout: Layout) -> Any:
    """A faiss index that re-ranks the candidates of another one on a finer copy of the rows."""
    import faiss

    metric = faiss_metric(layout.space.label)
    text = refinement.native.text if refinement.native else ""
    copy = faiss.index_factory(layout.dim, text, metric)
    index = faiss.IndexRefine(base, copy)
    index.own_fields = index.own_refine_index = True
    base.this.disown()
    copy.this.disown()
    return index


def refine_parameters(k: int, rerank: int, inner: Any) -> Any:
    """SearchParameters that re-rank so many candidates for k answers.

    faiss truncates k * k_factor to a whole number in float32, so the factor aims at the middle of the right one.
    """
    import faiss

    return faiss.IndexRefineSearchParameters(k_factor=(rerank + 0.5) / k, base_index_params=inner)


def base_of(index: Any) -> Any:
    """The index below the refinement, as its own class."""
    import faiss

    return faiss.downcast_index(index.base_index)


def after_transform(index: Any) -> Any:
    """The index below the transform, as its own class."""
    import faiss

    return faiss.downcast_index(index.index)


def spread_codebook(index: Any) -> None:
    """Move the centroids of one group a little apart where each group has found one centroid only, as in rows that are all equal.

    Fast-scan stretches each query's table of distances over 8 bits, and a table of equal values would be stretched to NaN.
    """
    import faiss

    index = faiss.downcast_index(index)
    if not hasattr(index, "pq"):
        return  # a graph reads single codes
    pq = index.pq
    centroids = faiss.vector_to_array(pq.centroids).reshape(pq.M, pq.ksub, pq.dsub).copy()
    if np.ptp(centroids, axis=1).any():
        return
    step = 1e-6 * max(1.0, float(np.abs(centroids).max()))
    centroids[0, :, 0] += np.float32(step) * np.arange(pq.ksub, dtype=np.float32)
    faiss.copy_array_to_vector(centroids.ravel(), pq.centroids)
    if hasattr(index, "precompute_table"):
        index.precompute_table()


def quiet(index: Any) -> None:
    """Stop faiss from warning on stderr that few rows train many centroids; the contract asks for enough rows itself."""
    for owner in (index, getattr(index, "pq", None)):
        parameters = getattr(owner, "cp", None)
        if parameters is not None:
            parameters.min_points_per_centroid = 1


def with_own_training(index: Any) -> Any:
    """The same index, whose product quantizer, if it has one, trains as the codec of that name does."""
    quiet(index)
    if hasattr(index, "pq"):
        set_clustering(index.pq)
    return index
