"""Models of sentence-transformers: found on this machine first, then on the hub, and loaded without a word on standard error."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from nearkin.errors import MissingDependencyError, ParameterError, StorageError, UnknownNameError

HUB_SECONDS = 10.0
"""How long the hub may take to answer whether it has a model; the library itself tries for more than a minute."""
_LOGGERS = ("sentence_transformers", "transformers", "huggingface_hub", "torch", "filelock")
_WITHOUT_A_MODEL = "modules.json or config.json expected"
_HOME = "sentence-transformers"


def load_model(model: str, revision: str | None, device: str | None) -> Any:
    """A SentenceTransformer of a folder, or of a name of the hub: from its cache, and only if it is not there from the network.

    Raises
    ------
    MissingDependencyError
        sentence-transformers is not installed.
    UnknownNameError
        There is no such folder, or the hub has no such model or revision.
    StorageError
        The model is not on this machine and the hub cannot be asked, or its files cannot be read.
    """
    with quiet():
        _library()
        if is_folder(model):
            return _of_folder(model, revision, device)
        try:
            return _made(model, revision, device, local_files_only=True)
        except (OSError, ValueError):  # it is not on this machine, or only a part of it
            _need_on_hub(model, revision)
        try:
            return _made(model, revision, device, local_files_only=False)
        except (OSError, ValueError) as error:
            raise StorageError(f"model {model!r} cannot be loaded from the hub: {_first_line(error)}") from error


def is_folder(model: str) -> bool:
    """Whether a model is named by its folder, not by its name on the hub.

    >>> is_folder("all-MiniLM-L6-v2"), is_folder("org/name"), is_folder("./mine"), is_folder("/models/org/name")
    (False, False, True, True)
    """
    path = Path(model).expanduser()
    return path.is_dir() or path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1


def cached_commit(model: str, revision: str | None) -> str | None:
    """Commit of a model of the hub as this machine keeps it; None for a folder."""
    if is_folder(model):
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    place = os.environ.get("SENTENCE_TRANSFORMERS_HOME")  # as the library does
    for name in [model] if "/" in model else [f"{_HOME}/{model}", model]:
        for file in ("modules.json", "config.json"):
            found = try_to_load_from_cache(name, file, cache_dir=place, revision=revision)
            if isinstance(found, str):
                parts = Path(found).parts
                return parts[parts.index("snapshots") + 1] if "snapshots" in parts else None
    return None


def _library() -> Any:
    try:
        import sentence_transformers
    except ImportError as error:
        raise MissingDependencyError(
            "embedder 'sentence-transformers' needs the package sentence_transformers",
            hint='pip install "nearkin[text]"',
        ) from error
    return sentence_transformers


def _of_folder(model: str, revision: str | None, device: str | None) -> Any:
    folder = Path(model).expanduser().resolve()
    if not folder.is_dir():
        raise UnknownNameError(
            f"there is no model folder {folder}", hint="give the folder of a saved model, or a name of the hub"
        )
    if revision is not None:
        raise ParameterError(
            f"revision is {revision!r}, and {folder} is a folder",
            hint="revisions are of models of the hub: leave it out",
        )
    if not any((folder / name).is_file() for name in ("modules.json", "config.json")):
        raise StorageError(f"{folder} is a folder without a model: {_WITHOUT_A_MODEL}")
    try:
        return _made(str(folder), None, device, local_files_only=True)
    except Exception as error:  # safetensors, tokenizers and json raise errors of their own for broken files
        if isinstance(error, ParameterError):
            raise
        raise StorageError(f"the model in {folder} cannot be read: {_first_line(error)}") from error


def _made(model: str, revision: str | None, device: str | None, *, local_files_only: bool) -> Any:
    try:
        return _library().SentenceTransformer(
            model, revision=revision, device=device, local_files_only=local_files_only
        )
    except (RuntimeError, AssertionError) as error:
        if device is None:
            raise
        raise ParameterError(f"device {device!r} cannot be used: {_first_line(error)}", hint="such as cpu") from error


def _need_on_hub(model: str, revision: str | None) -> None:
    """Ask the hub once whether it has a model, so that a machine without network is told so at once."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    what = f"model {model!r}" + (f" in revision {revision!r}" if revision else "")
    elsewhere = f"give a folder: {_HOME}:/path/to/model, or load it once where there is a network"
    if constants.HF_HUB_OFFLINE or os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
        raise StorageError(f"{what} is not on this machine, and HF_HUB_OFFLINE forbids to fetch it", hint=elsewhere)
    names = [model] if "/" in model else [f"{_HOME}/{model}", model]
    try:
        for name in names:
            try:
                HfApi().model_info(name, revision=revision, timeout=HUB_SECONDS)
                return
            except RepositoryNotFoundError:
                continue
    except RevisionNotFoundError as error:
        raise UnknownNameError(f"the hub has no {what}") from error
    except Exception as error:  # of httpx or requests, whichever this version of the hub's client is made of
        raise StorageError(
            f"{what} is not on this machine, and {constants.ENDPOINT} cannot be reached ({_first_line(error)})",
            hint=elsewhere,
        ) from error
    raise UnknownNameError(
        f"neither this machine nor the hub has {what}", hint="private ones need a login: hf auth login"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")


class _Silence:
    """What is left out for as long as somebody wants it so: levels of loggers, filters of warnings and progress bars are the whole
    process's, so that the first one changes them, and the last one of all threads puts them back."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._wanted = 0
        self._undo = ExitStack()

    def begin(self) -> None:
        with self._lock:
            if not self._wanted:
                self._undo = _silenced()
            self._wanted += 1

    def end(self) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                self._undo.close()


_SILENCE = _Silence()


@contextmanager
def quiet() -> Iterator[None]:
    """What the libraries would print besides (bars, warnings, logging) is left out inside; in several threads at once, until all
    are done."""
    _SILENCE.begin()
    try:
        yield
    finally:
        _SILENCE.end()


def _silenced() -> ExitStack:
    """Leave it out; what puts everything back as it was."""
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
        for bars in _progress_bars():
            stack.enter_context(bars)
        return stack.pop_all()


def _progress_bars() -> Iterator[Any]:
    """Contexts without the progress bars of the libraries that are there."""
    try:
        from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
        from transformers.utils import logging as bars
    except ImportError:
        return

    @contextmanager
    def of_hub() -> Iterator[None]:
        before = are_progress_bars_disabled()
        disable_progress_bars()
        try:
            yield
        finally:
            if not before:
                enable_progress_bars()

    @contextmanager
    def of_transformers() -> Iterator[None]:
        before = bars.is_progress_bar_enabled()
        bars.disable_progress_bar()
        try:
            yield
        finally:
            if before:
                bars.enable_progress_bar()

    yield from (of_hub(), of_transformers())
