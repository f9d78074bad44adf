"""nearkin, a similarity engine: say what similar means and what you can afford, and get a measured index.

>>> import numpy as np
>>> import nearkin as nk
>>> mine = nk.build(np.eye(3), metric="cosine")
>>> mine.search([[1, 0.1, 0]], k=2).ids.tolist()
[[0, 1]]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nearkin import errors
    from nearkin.accuracy import recall
    from nearkin.adding import add_files
    from nearkin.affording import plan, predicted_plans
    from nearkin.analogies import analogy
    from nearkin.bits import bit_counts
    from nearkin.building import build
    from nearkin.building import open_collection as open
    from nearkin.centroids import Clusterer, Partition, Task
    from nearkin.clustering.comparison import MethodRow
    from nearkin.clustering.comparison import compare_methods as compare_clusterers
    from nearkin.clustering.estimator import KMeans
    from nearkin.clustering.number_of_clusters import KChoice, choose_k
    from nearkin.clustering.outliers import Outliers
    from nearkin.clustering.quality import ClusterQuality
    from nearkin.clustering.result import Clustering
    from nearkin.clustering.running import cluster
    from nearkin.clustering.search_cost import SearchCost
    from nearkin.clustering.silhouettes import Silhouette
    from nearkin.clustering.stability import Stability
    from nearkin.clustering.trouble import Trouble
    from nearkin.codecs import Codec, NativeCodec
    from nearkin.collection import Collection
    from nearkin.compaction import Compaction, compact
    from nearkin.creation import create
    from nearkin.description import Description, describe
    from nearkin.embedders import Embedder
    from nearkin.errors import NearkinError
    from nearkin.evaluation import Evaluation, evaluate
    from nearkin.exporting import export
    from nearkin.files import convert, read_vectors
    from nearkin.filters import Filter, as_filter
    from nearkin.folder_building import build_folder
    from nearkin.formats import Block, FileSummary, VectorFormat
    from nearkin.hooks import (
        ClustererSpec,
        CodecSpec,
        EmbedderSpec,
        FormatSpec,
        IndexSpec,
        LearnerSpec,
        MetricSpec,
        RecommenderSpec,
        TransformSpec,
        hookimpl,
    )
    from nearkin.index_health import Health, health
    from nearkin.indexes import Found, Index, Layout, Mask, RangeFound
    from nearkin.interactions import Interactions
    from nearkin.item_building import build_items
    from nearkin.labelling import CollectionClassifier
    from nearkin.learners import Reason
    from nearkin.learning.attention import Attended, attend
    from nearkin.learning.attention_learners import AttentionClassifier, AttentionRegressor
    from nearkin.learning.centroid_classifier import CentroidClassifier
    from nearkin.learning.column_weights import ColumnWeights
    from nearkin.learning.comparing import LearnerComparison, LearnerRow, compare_learners
    from nearkin.learning.decisions import Decision, Decisions
    from nearkin.learning.embedding_step import EmbeddingStep
    from nearkin.learning.judging import Judgement, judge
    from nearkin.learning.learning_curves import LearningCurve, learning_curve
    from nearkin.learning.linear_regression import LinearRegressor
    from nearkin.learning.logistic import LogisticClassifier
    from nearkin.learning.neighbours import KNNClassifier, KNNRegressor
    from nearkin.learning.paired_tests import PairedTest
    from nearkin.learning.score_intervals import Score
    from nearkin.learning.sure_classifier import SureClassifier
    from nearkin.measurement import exact_neighbours, hold_out, measure
    from nearkin.metric_functions import metric
    from nearkin.metrics import ALL_AXIOMS, Metric, Space
    from nearkin.paired import compare
    from nearkin.planning import Choice
    from nearkin.plans import Plan
    from nearkin.quality import Quality
    from nearkin.recommenders import Recommender
    from nearkin.recommending.als import ALS
    from nearkin.recommending.content import ContentRecommender
    from nearkin.recommending.evaluation import RecommenderEvaluation, RecommenderRow, evaluate_recommender
    from nearkin.recommending.event_files import read_interactions
    from nearkin.recommending.item_neighbours import ItemKNN
    from nearkin.recommending.user_neighbours import UserKNN
    from nearkin.reembedding import Reembedding, reembed
    from nearkin.registry import Registry
    from nearkin.repairing import Repair, repair
    from nearkin.reporting.document import Report, report
    from nearkin.results import RangeResult, SearchResult
    from nearkin.row_source import RowSource, RowsTask, StreamingClusterer
    from nearkin.rows import Row
    from nearkin.search_parameters import SearchParameter
    from nearkin.settings import Settings
    from nearkin.soundness import Verification, verify
    from nearkin.state import State
    from nearkin.suggestions import Suggestion, Suggestions
    from nearkin.transforms import Transform

__version__ = "0.1.0"

# Name to where it lives; imported on first touch, so that `import nearkin` stays quick.
_WHERE = {
    "ALL_AXIOMS": "metrics",
    "ALS": "recommending.als",
    "Attended": "learning.attention",
    "AttentionClassifier": "learning.attention_learners",
    "AttentionRegressor": "learning.attention_learners",
    "Block": "formats",
    "CentroidClassifier": "learning.centroid_classifier",
    "Choice": "planning",
    "ClusterQuality": "clustering.quality",
    "Clusterer": "centroids",
    "ClustererSpec": "hooks",
    "Clustering": "clustering.result",
    "Codec": "codecs",
    "CodecSpec": "hooks",
    "Collection": "collection",
    "CollectionClassifier": "labelling",
    "ColumnWeights": "learning.column_weights",
    "Compaction": "compaction",
    "ContentRecommender": "recommending.content",
    "Decision": "learning.decisions",
    "Decisions": "learning.decisions",
    "Description": "description",
    "Embedder": "embedders",
    "EmbedderSpec": "hooks",
    "EmbeddingStep": "learning.embedding_step",
    "Evaluation": "evaluation",
    "FileSummary": "formats",
    "Filter": "filters",
    "FormatSpec": "hooks",
    "Found": "indexes",
    "Health": "index_health",
    "Index": "indexes",
    "IndexSpec": "hooks",
    "Interactions": "interactions",
    "ItemKNN": "recommending.item_neighbours",
    "Judgement": "learning.judging",
    "KChoice": "clustering.number_of_clusters",
    "KMeans": "clustering.estimator",
    "KNNClassifier": "learning.neighbours",
    "KNNRegressor": "learning.neighbours",
    "Layout": "indexes",
    "LearnerComparison": "learning.comparing",
    "LearnerRow": "learning.comparing",
    "LearnerSpec": "hooks",
    "LearningCurve": "learning.learning_curves",
    "LinearRegressor": "learning.linear_regression",
    "LogisticClassifier": "learning.logistic",
    "Mask": "indexes",
    "MethodRow": "clustering.comparison",
    "Metric": "metrics",
    "MetricSpec": "hooks",
    "NativeCodec": "codecs",
    "NearkinError": "errors",
    "Outliers": "clustering.outliers",
    "PairedTest": "learning.paired_tests",
    "Partition": "centroids",
    "Plan": "plans",
    "Quality": "quality",
    "RangeFound": "indexes",
    "RangeResult": "results",
    "Reason": "learners",
    "Recommender": "recommenders",
    "RecommenderEvaluation": "recommending.evaluation",
    "RecommenderRow": "recommending.evaluation",
    "RecommenderSpec": "hooks",
    "Reembedding": "reembedding",
    "Registry": "registry",
    "Repair": "repairing",
    "Report": "reporting.document",
    "Row": "rows",
    "RowSource": "row_source",
    "RowsTask": "row_source",
    "Score": "learning.score_intervals",
    "SearchCost": "clustering.search_cost",
    "SearchParameter": "search_parameters",
    "SearchResult": "results",
    "Settings": "settings",
    "Silhouette": "clustering.silhouettes",
    "Space": "metrics",
    "Stability": "clustering.stability",
    "State": "state",
    "StreamingClusterer": "row_source",
    "Suggestion": "suggestions",
    "Suggestions": "suggestions",
    "SureClassifier": "learning.sure_classifier",
    "Task": "centroids",
    "Transform": "transforms",
    "TransformSpec": "hooks",
    "Trouble": "clustering.trouble",
    "UserKNN": "recommending.user_neighbours",
    "VectorFormat": "formats",
    "Verification": "soundness",
    "add_files": "adding",
    "analogy": "analogies",
    "as_filter": "filters",
    "attend": "learning.attention",
    "bit_counts": "bits",
    "build": "building",
    "build_folder": "folder_building",
    "build_items": "item_building",
    "choose_k": "clustering.number_of_clusters",
    "cluster": "clustering.running",
    "compact": "compaction",
    "compare": "paired",
    "compare_clusterers": "clustering.comparison:compare_methods",
    "compare_learners": "learning.comparing",
    "convert": "files",
    "create": "creation",
    "describe": "description",
    "errors": "",
    "evaluate": "evaluation",
    "evaluate_recommender": "recommending.evaluation",
    "exact_neighbours": "measurement",
    "export": "exporting",
    "health": "index_health",
    "hold_out": "measurement",
    "hookimpl": "hooks",
    "judge": "learning.judging",
    "learning_curve": "learning.learning_curves",
    "measure": "measurement",
    "metric": "metric_functions",
    "open": "building:open_collection",
    "plan": "affording",
    "predicted_plans": "affording",
    "read_interactions": "recommending.event_files",
    "read_vectors": "files",
    "recall": "accuracy",
    "reembed": "reembedding",
    "repair": "repairing",
    "report": "reporting.document",
    "verify": "soundness",
}

__all__ = [
    "ALL_AXIOMS",
    "ALS",
    "Attended",
    "AttentionClassifier",
    "AttentionRegressor",
    "Block",
    "CentroidClassifier",
    "Choice",
    "ClusterQuality",
    "Clusterer",
    "ClustererSpec",
    "Clustering",
    "Codec",
    "CodecSpec",
    "Collection",
    "CollectionClassifier",
    "ColumnWeights",
    "Compaction",
    "ContentRecommender",
    "Decision",
    "Decisions",
    "Description",
    "Embedder",
    "EmbedderSpec",
    "EmbeddingStep",
    "Evaluation",
    "FileSummary",
    "Filter",
    "FormatSpec",
    "Found",
    "Health",
    "Index",
    "IndexSpec",
    "Interactions",
    "ItemKNN",
    "Judgement",
    "KChoice",
    "KMeans",
    "KNNClassifier",
    "KNNRegressor",
    "Layout",
    "LearnerComparison",
    "LearnerRow",
    "LearnerSpec",
    "LearningCurve",
    "LinearRegressor",
    "LogisticClassifier",
    "Mask",
    "MethodRow",
    "Metric",
    "MetricSpec",
    "NativeCodec",
    "NearkinError",
    "Outliers",
    "PairedTest",
    "Partition",
    "Plan",
    "Quality",
    "RangeFound",
    "RangeResult",
    "Reason",
    "Recommender",
    "RecommenderEvaluation",
    "RecommenderRow",
    "RecommenderSpec",
    "Reembedding",
    "Registry",
    "Repair",
    "Report",
    "Row",
    "RowSource",
    "RowsTask",
    "Score",
    "SearchCost",
    "SearchParameter",
    "SearchResult",
    "Settings",
    "Silhouette",
    "Space",
    "Stability",
    "State",
    "StreamingClusterer",
    "Suggestion",
    "Suggestions",
    "SureClassifier",
    "Task",
    "Transform",
    "TransformSpec",
    "Trouble",
    "UserKNN",
    "VectorFormat",
    "Verification",
    "add_files",
    "analogy",
    "as_filter",
    "attend",
    "bit_counts",
    "build",
    "build_folder",
    "build_items",
    "choose_k",
    "cluster",
    "compact",
    "compare",
    "compare_clusterers",
    "compare_learners",
    "convert",
    "create",
    "describe",
    "errors",
    "evaluate",
    "evaluate_recommender",
    "exact_neighbours",
    "export",
    "health",
    "hold_out",
    "hookimpl",
    "judge",
    "learning_curve",
    "measure",
    "metric",
    "open",
    "plan",
    "predicted_plans",
    "read_interactions",
    "read_vectors",
    "recall",
    "reembed",
    "repair",
    "report",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'nearkin' has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    if not module:
        return importlib.import_module(f"nearkin.{name}")
    value = getattr(importlib.import_module(f"nearkin.{module}"), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
