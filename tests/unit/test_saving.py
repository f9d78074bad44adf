"""Saving: what is opened again is what was saved, whatever else the registry holds."""

from dataclasses import dataclass

import numpy as np
import pytest

import nearkin as nk
from nearkin import CodecSpec, IndexSpec, MetricSpec, hookimpl
from nearkin.errors import AmbiguousNameError, ParameterError, UnknownNameError
from nearkin.metrics import Euclidean
from nearkin.registry import load_registry
from nearkin.settings import load_settings
from nearkin_plugins.distances.affine import Mahalanobis
from nearkin_plugins.indexes import IVFParams


class FirstColumn(Euclidean):
    """Called euclidean, as the class it comes from."""

    def prepare(self, vectors):
        return np.ascontiguousarray(vectors[:, :1])

    def prepared_dim(self, dim):
        return 1


class Scaled(FirstColumn):
    """A parameter that its state forgets."""

    name = "scaled"

    def __init__(self, factor=1.0):
        self.factor = factor

    def prepare(self, vectors):
        return np.ascontiguousarray(vectors[:, :1] * np.float32(self.factor))


class Others:
    """A plugin with names that the built-in ones have too."""

    @hookimpl
    def nearkin_indexes(self):
        return [
            IndexSpec(
                name="ivf",
                summary="another ivf",
                make="nearkin_plugins.compiled_ivf:make_ivf",
                params=IVFParams,
                shorthand=("nlist",),
                accepts={"faiss:flat": frozenset({"l2"}), "faiss:sq": frozenset({"l2"})},
            ),
            IndexSpec(
                name="flat",
                summary="another flat",
                make="nearkin.flat_index:FlatIndex",
                accepts={"decoded": frozenset({"pairwise"})},
                exact=True,
            ),
        ]

    @hookimpl
    def nearkin_codecs(self):
        return [
            CodecSpec(name="f32", summary="another f32", make="nearkin.codecs:Float32"),
            CodecSpec(name="f16", summary="another f16", make="nearkin_plugins.faiss_codecs:Float16"),
        ]

    @hookimpl
    def nearkin_metrics(self):
        return [MetricSpec(name="scaled", summary="one column", make=Scaled)]


@pytest.fixture
def registry():
    made = load_registry(load_settings(files=(), environ={}))
    made.register(Others(), "others")
    return made


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)


@pytest.mark.parametrize("plan", ["others/ivf4", "indexes/ivf4,codecs/f16", "ivf:nlist=4"])
def test_a_plan_that_chose_a_plugin_chooses_it_again(plan, registry, rows, tmp_path):
    if "/" not in plan:
        with pytest.raises(AmbiguousNameError, match="others"):
            nk.build(rows, plan=plan, registry=registry)
        return
    mine = nk.build(rows, plan=plan, registry=registry)
    assert mine.plan == plan
    mine.save(tmp_path / "mine")
    with nk.open(tmp_path / "mine", registry=registry) as back:
        assert back.plan == plan
        assert back.uncovered == 0
        assert np.array_equal(back.search(rows[:9], 3).ids, mine.search(rows[:9], 3).ids)


def test_what_nearkin_needs_itself_is_not_asked_for_by_name(registry, rows):
    mine = nk.build(rows, plan="others/ivf4", registry=registry)
    mine.add(rows[:3] + 9)
    assert mine.search(rows[:3] + 9, k=1).ids.tolist() == [[300], [301], [302]]
    assert mine.exact_search(rows[:3] + 9, k=1).ids.tolist() == [[300], [301], [302]]


@pytest.mark.parametrize(
    ("metric", "message"),
    [(FirstColumn(), "measures something else"), (Scaled(3.0), "measures something else"), (Scaled(1.0), None)],
)
def test_a_metric_object_is_saved_if_its_name_brings_it_back(metric, message, registry, rows, tmp_path):
    mine = nk.build(rows, metric=metric, plan="indexes/flat", registry=registry)
    if message is not None:
        with pytest.raises(ParameterError, match=message):
            mine.save(tmp_path / "mine")
        assert not list(tmp_path.iterdir())
        return
    mine.save(tmp_path / "mine")
    with nk.open(tmp_path / "mine", registry=registry) as back:
        assert np.array_equal(back.search(rows[:9], 3).distances, mine.search(rows[:9], 3).distances)


def test_a_metric_that_nobody_offers_is_asked_for_when_it_is_opened(rows, tmp_path):
    mine = nk.build(rows, metric=Scaled(2.0))
    mine.save(tmp_path / "mine")
    with pytest.raises(UnknownNameError, match="no metric is called"):
        nk.open(tmp_path / "mine")
    with nk.open(tmp_path / "mine", metric=Scaled(2.0)) as back:
        assert np.array_equal(back.search(rows[:9], 3).distances, mine.search(rows[:9], 3).distances)


@pytest.mark.parametrize("keep", [True, False])
def test_a_fitted_metric_object_is_saved_with_what_it_learnt(keep, rows, tmp_path):
    mine = nk.build(rows, metric=Mahalanobis(shrinkage=0.5), keep_vectors=keep)
    mine.save(tmp_path / "mine")
    with nk.open(tmp_path / "mine") as back:
        assert np.array_equal(back.search(rows[:9], 3).distances, mine.search(rows[:9], 3).distances)


@dataclass(frozen=True)
class Steps:
    """Options of a codec that says nothing of its label."""

    steps: int = 255


class Rounded(nk.Codec):
    """Rows in so many steps between -1 and 1, one byte a column."""

    name = "rounded"

    def __init__(self, dim, steps=255):
        super().__init__(dim)
        self.steps = steps

    @property
    def code_size(self):
        return self.dim

    def _encode(self, vectors):
        return np.round((np.clip(vectors, -1, 1) + 1) / 2 * self.steps).astype(np.uint8)

    def _decode(self, codes):
        return (codes / self.steps * 2 - 1).astype(np.float32)


class RoundedPlugin:
    @nk.hookimpl
    def nearkin_codecs(self):
        return [nk.CodecSpec(name="rounded", summary="Steps between -1 and 1.", make=Rounded, params=Steps)]


def test_a_codec_without_a_label_of_its_own_is_opened_with_its_options(tmp_path):
    fresh = load_registry(load_settings({}))
    fresh.register(RoundedPlugin(), "rounded")
    cells = np.random.default_rng(0).uniform(-1, 1, size=(50, 4)).astype(np.float32)
    mine = nk.build(cells, plan="flat,rounded:steps=7", registry=fresh)
    assert mine.plan == "flat,rounded:steps=7"
    mine.save(tmp_path / "mine")
    with nk.open(tmp_path / "mine", registry=fresh) as back:
        assert back.plan == mine.plan
        np.testing.assert_array_equal(back.search(cells, 5).distances, mine.search(cells, 5).distances)
