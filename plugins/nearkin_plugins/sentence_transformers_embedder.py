"""Sentence embeddings by the library sentence-transformers: any model of the hub, or of a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from nearkin.components import Part, as_written
from nearkin.embedders import Embedder, ModelSize, Role, digest_of
from nearkin.errors import NotSupportedError, ParameterError
from nearkin.metrics import unit_rows
from nearkin.settings import load_settings
from nearkin_plugins.sentence_model_files import cached_commit, is_folder, load_model, quiet

TOLERANCES = {"float32": 1e-5, "float16": 1e-4, "bfloat16": 1e-3, "int8": 1e-2}
"""Precision to the largest cosine distance that other processors' rounding may make; docs/embedders.md has what was measured."""

_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""Names that the library looks for, in order, when it embeds documents."""

BATCH_SIZE = 32
"""The library's own."""

_ONE_AT_A_TIME = RLock()
"""Held while a model works: the number of threads is the whole process's, and tokenizers refuse two callers at once."""


class SentenceTransformerEmbedder(Embedder):
    """A model of sentence-transformers.

    Parameters
    ----------
    model
        Folder of a saved model, a name of the hub (``"all-MiniLM-L6-v2"`` means ``"sentence-transformers/all-MiniLM-L6-v2"``), or a
        loaded SentenceTransformer, which is used as it is. Its weights are read once, here: that it is trained on afterwards is not
        noticed until the collection is opened again.
    revision
        Commit, tag or branch of the hub; left out, the newest when it is first loaded, and that one from then on.
    dim
        Leading columns to keep of models that were trained for it (Matryoshka); left out, all.
    normalize
        Scale vectors to length one.
    precision
        ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"int8"`` (linear layers, each text for itself, on processors only).
    query_prompt, document_prompt
        What is put before a text; left out, what the model itself has for the role.
    batch_size
        Texts that go through the model together, those of about the same length.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"``; left out, the best there is.
    max_length
        Tokens of a text that count; left out, the model's own number.

    Raises
    ------
    MissingDependencyError
        sentence-transformers is not installed.
    UnknownNameError, StorageError
        There is no such model, or it is not on this machine and the hub cannot be reached.
    ParameterError
        A number that the model does not allow.
    NotSupportedError
        A precision that torch does not have here.
    """

    name = "sentence-transformers"
    labels = frozenset({"name", "revision"})
    at_once = 4096  # sorted by length together: in runs of 1,024 there are 4 % more padded tokens, here 0.4 %

    def __init__(
        self,
        model: Any,
        revision: str | None = None,
        dim: int | None = None,
        normalize: bool = True,
        precision: str = "float32",
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        batch_size: int = BATCH_SIZE,
        device: str | None = None,
        max_length: int | None = None,
    ) -> None:
        if precision not in TOLERANCES:
            raise ParameterError(f"precision is {precision!r}, one of {', '.join(TOLERANCES)} expected")
        if batch_size < 1:
            raise ParameterError(f"batch_size is {batch_size}, at least 1 expected")
        loaded = not isinstance(model, str)
        self._model = _as_given(model, revision, precision, device) if loaded else load_model(model, revision, device)
        self._where = _name_of(self._model) if loaded else _absolute(model)
        self.revision = cached_commit(self._where, revision) or revision
        self.normalize, self.precision, self.batch_size, self.device = normalize, precision, batch_size, device
        self.tolerance = TOLERANCES[precision]
        self.cut_texts = 0
        """Texts so far of which the model did not see the end, being longer than `max_length`."""
        self._documents, self._cut_documents = 0, 0
        self.max_length = _length(self._model, max_length)
        self._dim = _kept(dim, _dim(self._model))
        self.prompts = {
            "query": _prompt(self._model, ("query",), query_prompt),
            "document": _prompt(self._model, _DOCUMENT_PROMPTS, document_prompt),
        }
        # What the caller changed in a loaded model is not in its files: all of it is written.
        written = self.prompts if loaded else {"query": query_prompt, "document": document_prompt}
        self._written = {
            "dim": self._dim if dim is not None or getattr(self._model, "truncate_dim", None) else None,
            **{f"{role}_prompt": prompt for role, prompt in written.items()},
            "max_length": self.max_length if loaded else max_length,
        }
        self._take_weights(changeable=not loaded)

    def _take_weights(self, *, changeable: bool) -> None:
        """Note what the weights are as they were loaded, then bring them into the precision."""
        with quiet():
            self._weights = digest_of(_weights(self._model))
            self._parameters = sum(each.numel() for each in self._model.parameters())
            if changeable:
                self._model = _in_precision(self._model, self.precision)
        self._need_working()

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def model(self) -> Any:
        """The SentenceTransformer itself."""
        return self._model

    @property
    def identity(self) -> Mapping[str, Any]:
        return {
            "kind": "sentence-transformers",
            "name": Path(self._where).name,
            "revision": self.revision or "",
            "weights": self._weights,
            "modules": [_described(module) for module in self._model],
            "vocabulary": _vocabulary(self._model),
            "max_length": self.max_length,
            "prompts": dict(self.prompts),
            "normalize": self.normalize,
            "dim": self._dim,
            "precision": self.precision,
        }

    @property
    def text(self) -> str:
        revision = None if is_folder(self._where) else self.revision
        options = {
            "revision": (revision, None),
            "normalize": (self.normalize, True),
            "precision": (self.precision, "float32"),
            "batch_size": (self.batch_size, BATCH_SIZE),
            "device": (self.device, None),
            **{name: (value, None) for name, value in self._written.items()},
        }
        given = {name: value for name, (value, usual) in options.items() if value != usual}
        return str(Part(f"{self.name}:{as_written(self._where)}", given))

    @property
    def notes(self) -> Sequence[str]:
        """How many of the texts that it embedded to be stored were cut."""
        if not self._cut_documents:
            return ()
        are = "is" if self._cut_documents == 1 else "are"
        return (
            f"{self._cut_documents:,} of {self._documents:,} texts {are} longer than {self.max_length:,} tokens, and only the "
            "head of such a text counts: chunk=... (--chunk) cuts texts into parts",
        )

    def size(self) -> ModelSize:
        """Parameters of the weights, and their bytes in the present precision."""
        layers = getattr(_config(self._model), "num_hidden_layers", None)
        return ModelSize(self._parameters, _loaded_bytes(self._model), layers, self.max_length)

    def _embed(self, items: Sequence[Any], role: Role) -> np.ndarray:
        texts = [item if item.isascii() else item.encode("utf-8", "replace").decode() for item in items]
        self._count(texts, role)
        # Activations of int8 are scaled by what is in a batch: alone, a text's vector is its own.
        batch = 1 if self.precision == "int8" else self.batch_size
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        with _ONE_AT_A_TIME, quiet(), _torch_threads(self.threads or load_settings().cores):
            found = encode(texts, prompt=self.prompts[role], batch_size=batch, show_progress_bar=False)
        vectors = np.asarray(found, dtype=np.float32)[:, : self._dim]
        return unit_rows(vectors) if self.normalize else vectors

    def _count(self, texts: Sequence[str], role: Role) -> None:
        """Keep count of what is cut, and of what is stored; canaries are nobody's texts."""
        cut = self._cut(texts, role)
        stored = role == "document" and tuple(texts) != tuple(self.canaries)
        with _ONE_AT_A_TIME:
            self.cut_texts += cut
            self._documents += len(texts) * stored
            self._cut_documents += cut * stored

    def _cut(self, texts: Sequence[str], role: Role) -> int:
        """How many texts have more tokens than count; one character is one token at most."""
        limit, prompt = self.max_length, self.prompts[role]
        long = [prompt + text for text in texts if limit and len(prompt) + len(text) > limit - 2]
        tokenizer = self._model.tokenizer
        if not (long and limit and callable(tokenizer)):
            return 0
        with _ONE_AT_A_TIME, quiet():
            return sum(len(ids) > limit for ids in tokenizer(long, truncation=False)["input_ids"])

    def _need_working(self) -> None:
        """One text through the model: not every processor has every precision."""
        try:
            self._embed(["similar"], "document")
        except (RuntimeError, NotImplementedError) as error:
            raise NotSupportedError(
                f"precision {self.precision} does not run on {self._model.device} with this torch: {str(error)[:80]!r}",
                hint="float32 runs everywhere",
            ) from error
        self.cut_texts = self._documents = 0


def _as_given(model: Any, revision: str | None, precision: str, device: str | None) -> Any:
    """A model that was loaded by the caller, which stays as it is."""
    if not all(hasattr(model, name) for name in ("encode_query", "encode_document", "parameters")):
        raise ParameterError(f"model is a {type(model).__name__}, a name, a folder or a SentenceTransformer expected")
    own = str(next(model.parameters()).dtype).removeprefix("torch.")
    wrong = {"precision": (precision, own), "revision": (revision, None), "device": (device, None)}
    for name, (value, usual) in wrong.items():
        if value != usual:
            raise ParameterError(
                f"{name} is {value!r}, and a loaded model is used as it is"
                + (f", in {own}" if name == "precision" else ""),
                hint="pass its name or its folder instead" if name != "precision" else f"pass precision={own!r}",
            )
    return model


def _absolute(model: str) -> str:
    return str(Path(model).expanduser().resolve()) if is_folder(model) else model


def _name_of(model: Any) -> str:
    """Where a loaded model came from; the hub's cache has the name in that of a folder."""
    place = str(getattr(_config(model), "_name_or_path", "") or "unnamed")
    cached = next((part for part in Path(place).parts if part.startswith("models--")), None)
    return place if cached is None else cached.removeprefix("models--").replace("--", "/")


def _config(model: Any) -> Any:
    """The configuration of the network inside; None where there is none of transformers."""
    for module in model:
        for each in ("auto_model", "model"):
            config = getattr(getattr(module, each, None), "config", None)
            if config is not None:
                return config
    return None


def _dim(model: Any) -> int:
    known = getattr(model, "get_embedding_dimension", None) or model.get_sentence_embedding_dimension
    found = known()
    if found is None:
        raise ParameterError("the model does not say how many columns its vectors have")
    return int(found)


def _kept(dim: int | None, own: int) -> int:
    """Columns that are kept."""
    if dim is not None and not 1 <= dim <= own:
        raise ParameterError(f"dim is {dim}, and the model gives {own} columns: 1 to {own} expected")
    return own if dim is None else dim


def _length(model: Any, wanted: int | None) -> int | None:
    """Tokens that count, set in the model."""
    if wanted is None:
        return None if model.max_seq_length is None else int(model.max_seq_length)
    most = getattr(_config(model), "max_position_embeddings", None)
    if wanted < 3 or (most is not None and wanted > most):
        raise ParameterError(f"max_length is {wanted}, 3 to {most or 'any number of'} tokens expected")
    model.max_seq_length = wanted
    return wanted


def _prompt(model: Any, names: Sequence[str], given: str | None) -> str:
    """What the library puts before a text of a role, or what is given instead."""
    if given is not None:
        return given
    named = next((name for name in names if name in model.prompts), model.default_prompt_name)
    return str(model.prompts.get(named) or "") if named else ""


def _weights(model: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Parameters in their order as float32, which holds those of every model exactly; versions of the library name them
    differently."""
    for number, each in enumerate(model.parameters()):
        yield f"{number:06d}", each.detach().float().cpu().numpy()


def _described(module: Any) -> str:
    """A module's kind, and how it pools; the library's sixth version renamed what says so."""
    kind = type(module).__name__
    pooling = getattr(module, "get_pooling_mode_str", None)
    mode = pooling() if callable(pooling) else getattr(module, "pooling_mode", None)
    return kind if mode is None else f"{kind} {mode}"


def _vocabulary(model: Any) -> str:
    """Hash of the words and their numbers."""
    known: dict[str, int] = getattr(model.tokenizer, "get_vocab", dict)()
    text = json.dumps(sorted(known.items()), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _in_precision(model: Any, precision: str) -> Any:
    import torch

    if precision != "int8":
        return model.to(getattr(torch, precision))
    try:
        from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

        usable = torch.backends.quantized.engine != "none" and model.device.type == "cpu"
    except ImportError:
        usable = False
    if not usable:
        raise NotSupportedError(
            f"precision int8 needs torch's dynamic quantization on a processor, and torch {torch.__version__} on "
            f"{model.device} has none",
            hint="there are float32, bfloat16 and float16",
        )
    layers = {torch.nn.Linear: per_channel_dynamic_qconfig}
    return quantize_dynamic(model.float(), layers, dtype=torch.qint8)


def _loaded_bytes(model: Any) -> int:
    """Bytes of parameters; those of quantized layers are kept packed, out of sight of the module."""
    plain = sum(each.numel() * each.element_size() for each in model.parameters())
    packed = 0
    for module in model.modules():
        parts = getattr(module, "_packed_params", None)
        if parts is not None and hasattr(module, "weight") and callable(module.weight):
            each = [module.weight(), module.bias()]
            packed += sum(part.numel() * part.element_size() for part in each if part is not None)
    return int(plain + packed)


@contextmanager
def _torch_threads(wanted: int) -> Iterator[None]:
    """So many threads for torch inside, and as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)
