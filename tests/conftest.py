"""Tests run side by side, so each process keeps to one thread; it must be said before faiss starts its pool."""

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["NEARKIN_THREADS"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("NEARKIN_CACHE", tempfile.mkdtemp(prefix="nearkin-tests-"))  # once, for all processes of a run
