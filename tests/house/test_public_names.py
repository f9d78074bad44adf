"""`nearkin.__all__` is exact: sorted, every name resolves, and type checkers see the same names as Python."""

from __future__ import annotations

import ast

import pytest

import nearkin as nk

PUBLIC_TEXT = """
ALL_AXIOMS Block Choice Clusterer ClustererSpec Clustering Codec CodecSpec Collection Compaction Description Embedder EmbedderSpec
Evaluation FileSummary Filter FormatSpec Found Health Index IndexSpec KMeans Layout Mask Metric MetricSpec NativeCodec NearkinError
Partition Plan
Quality RangeFound RangeResult Registry Repair Report Row SearchParameter SearchResult Settings Space State Task Transform
TransformSpec VectorFormat Verification add_files analogy as_filter bit_counts build build_folder build_items cluster compact
compare convert create
describe errors evaluate exact_neighbours export health hold_out hookimpl
KNNClassifier KNNRegressor LearnerSpec Reason
ContentRecommender read_interactions
Attended AttentionClassifier AttentionRegressor CentroidClassifier attend
ColumnWeights LinearRegressor LogisticClassifier
Judgement LearnerComparison LearnerRow LearningCurve EmbeddingStep PairedTest Score judge compare_learners learning_curve
CollectionClassifier Decision Decisions SureClassifier
Interactions Recommender RecommenderSpec Suggestion Suggestions
ALS ItemKNN RecommenderEvaluation RecommenderRow UserKNN evaluate_recommender
ClusterQuality KChoice MethodRow Outliers SearchCost Silhouette Stability Trouble choose_k compare_clusterers
Reembedding reembed
RowSource RowsTask StreamingClusterer measure metric open plan predicted_plans read_vectors recall repair report verify
"""
PUBLIC = PUBLIC_TEXT.split()


def typed_imports(kernel):
    """Public name to (module, name there) in the block that only type checkers read."""
    (package,) = [module for module in kernel if module.name == "nearkin"]
    (block,) = [node for node in package.tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    found = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            found[alias.asname or alias.name] = (node.module, alias.name)
    return found


def test_all_is_exact_and_sorted():
    assert nk.__all__ == sorted(PUBLIC)
    assert len(set(nk.__all__)) == len(nk.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_resolves_and_is_documented(name):
    value = getattr(nk, name)
    assert value.__doc__ or name == "hookimpl"
    assert name in dir(nk)


def test_type_checkers_see_the_same_names_from_the_same_places(kernel):
    lazy = {}
    for name, place in nk._WHERE.items():
        module, _, attribute = place.partition(":")
        lazy[name] = (f"nearkin.{module}", attribute or name) if module else ("nearkin", name)
    assert typed_imports(kernel) == lazy


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'nearkin' has no attribute 'serach'"):
        nk.serach  # noqa: B018


def test_star_import_gives_all_of_it():
    namespace: dict = {}
    exec("from nearkin import *", namespace)
    assert set(nk.__all__) <= set(namespace)
