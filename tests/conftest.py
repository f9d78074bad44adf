"""Tests run side by side, so each process keeps to one thread; it must be said before faiss starts its pool."""

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["NEARKIN_THREADS"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NEARKIN_CACHE", tempfile.mkdtemp(prefix="nearkin-tests-"))  # once, for all processes of a run

from hypothesis import settings

# The suite draws the same examples every time, so that a red run can be run again; `make soak` draws new ones, and more.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("soak", max_examples=1000, deadline=None)
settings.load_profile("soak" if os.environ.get("NEARKIN_SOAK") else "suite")
