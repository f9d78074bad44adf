"""A lower layer never imports a higher one, and nothing imports itself in a circle; imports inside functions count."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

LAYERS: list[set[str]] = [
    # 0 and 1: what a plug-in's author needs; contracts, and the values that pass through them
    {
        "errors",
        "forks",
        "filters",
        "fields",
        "metadata_table",
        "metadata_text",
        "state",
        "vectors",
        "mapped_pages",
        "results",
        "accuracy",
        "paired",
        "quality",
        "resident_memory",
        "user_cache",
        "ids",
        "rows",
        "bits",
        "component_names",
        "kernel_source",
        "kernels",
        "metric_functions",
        "metrics",
        "axioms",
        "codecs",
        "centroids",
        "objectives",
        "starts",
        "lloyd",
        "nearest_centroids",
        "centroid_bounds",
        "partial_sums",
        "running_centroids",
        "row_source",
        "indexes",
        "flat_index",
        "refinement",
        "transforms",
        "transformed",
        "search_parameters",
        "reranking",
        "embedders",
        "hashing_embedder",
        "learners",
        "event_columns",
        "interactions",
        "suggestions",
        "histories",
        "recommenders",
        "items",
        "formats",
        "npy_format",
        "parts",
    },
    # 2: finding components
    {"hooks", "components", "settings", "registry"},
    # 3: what users hold
    {
        "plans",
        "legality",
        "compatibility",
        "indexing",
        "baseline",
        "renewal",
        "calibration",
        "views",
        "completion",
        "grouping",
        "survivors",
        "tail",
        "bound_embedder",
        "collection_state",
        "collection_reader",
        "collection_answers",
        "analogies",
        "model_measurement",
        "creation",
        "compaction",
        "reembedding",
        "adding",
        "item_adding",
        "item_files",
        "resuming",
        "documents",
        "chunks",
        "exporting",
        "true_distances",
        "intake",
        "collection",
        "saving",
        "soundness",
        "leftovers",
        "repairing",
        "building",
        "sources",
        "staging",
        "folder_building",
        "item_building",
        "sklearn",
        "measurement",
        "budgets",
        "candidates",
        "subsets",
        "examination",
        "operating_points",
        "trials",
        "plan_search",
        "certification",
        "planning",
        "affording",
        "truths",
        "questions",
        "losses",
        "evaluation",
        "index_health",
        "memory_accounting",
        "plan_grid",
        "setting_curves",
        "reconstruction",
        "tradeoffs",
        "tradeoff_runs",
        "recommendation",
        "claims",
        "reporting",
        "description",
        "intrinsic_dimension",
        "clustering",
        "learning",
        "labelling",
        "recommending",
        "files",
        "demo",
        "standard_library",
        "store",
    },
    # 4: programs around it
    {"testing", "cli", "__main__"},
]

LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}


class _Imports(ast.NodeVisitor):
    """Names of the nearkin modules that a module imports, those for type checkers left out."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if not ast.unparse(node.test).endswith("TYPE_CHECKING"):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports name the whole path"
        assert node.module is not None
        self.found.add(node.module)
        self.found |= {f"{node.module}.{alias.name}" for alias in node.names}


def imports_of(module, known):
    visitor = _Imports()
    visitor.visit(module.tree)
    # `from nearkin import __version__` reads a constant; the package's own module imports nothing until a name is touched
    return {name for name in visitor.found if name in known and name not in (module.name, "nearkin")}


def layer_of(name):
    return LAYER[name.split(".")[1]]


def test_every_module_has_a_layer(kernel):
    names = {module.name.split(".")[1] for module in kernel if module.name != "nearkin"}
    assert names == set(LAYER)
    assert sum(map(len, LAYERS)) == len(LAYER)


def test_no_lower_layer_imports_a_higher_one(kernel):
    known = {module.name for module in kernel}
    upward = [
        f"{module.name} (layer {layer_of(module.name)}) imports {name} (layer {layer_of(name)})"
        for module in kernel
        if module.name != "nearkin"
        for name in sorted(imports_of(module, known))
        if layer_of(name) > layer_of(module.name)
    ]
    assert not upward, "\n".join(upward)


def test_there_are_no_cycles(kernel):
    known = {module.name for module in kernel}
    packages = {name for name in known if any(other.startswith(f"{name}.") for other in known)}
    graph = {}
    for module in kernel:
        wanted = imports_of(module, known)
        if module.name in packages:  # a package's own module may gather its parts, which import it only as a place
            wanted = {name for name in wanted if not name.startswith(f"{module.name}.")}
        graph[module.name] = wanted
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_kernel_does_not_know_the_built_in_plugins(kernel):
    for module in kernel:
        visitor = _Imports()
        visitor.visit(module.tree)
        assert not {name for name in visitor.found if name.split(".")[0] == "nearkin_plugins"}, module.name


def test_plugins_use_public_modules_of_the_kernel_only(plugins):
    """Built-ins are written as a stranger would: no private name, nothing above the registry."""
    for module in plugins:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "nearkin":
                assert node.module == "nearkin" or layer_of(node.module) <= 2, f"{module.name} imports {node.module}"
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{module.name} imports {private} of {node.module}"


def test_this_test_sees_imports_inside_functions(tmp_path):
    source = (
        "def f():\n    from nearkin.plans import Plan\nif TYPE_CHECKING:\n    import nearkin.cli\nimport nearkin.errors"
    )
    visitor = _Imports()
    visitor.visit(ast.parse(source))
    assert visitor.found == {"nearkin.plans", "nearkin.plans.Plan", "nearkin.errors"}
