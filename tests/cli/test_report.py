"""``nearkin report``."""

from __future__ import annotations

import json

import numpy as np


def test_a_report_is_written_and_its_best_plans_are_printed(run, vectors, tmp_path):
    result = run("--threads", 1, "report", "v.npy", "--held-out", 30, "--seconds", 0.5, "-o", "out/mine")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(("Take ", "No plan "))
    assert "flat" in result.stdout
    assert "out/mine/report.html" in result.stdout
    assert "left out" in result.stdout
    assert "Trade-offs of v.npy" in (tmp_path / "out" / "mine" / "report.html").read_text()
    again = run("report", "v.npy", "-o", "out/mine")
    assert again.exit_code == 2
    assert "--overwrite" in again.stderr


def test_json_and_queries_of_ones_own(run, vectors, tmp_path):
    np.save(tmp_path / "q.npy", vectors[:25] + 0.01)
    result = run("report", "v.npy", "--queries", "q.npy", "-k", 3, "--seconds", 0.2, "--json", "-o", "mine")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["queries"], found["held_out"], found["k"], found["count"]) == (25, False, 3, 400)
    assert found == json.loads((tmp_path / "mine" / "report.json").read_text())


def test_a_plugin_that_breaks_is_a_note(run, vectors, tmp_path):
    (tmp_path / "broken.py").write_text(
        "import nearkin as nk\n\ndef made(dim):\n    raise RuntimeError('not today')\n\n"
        "@nk.hookimpl\ndef nearkin_codecs():\n"
        "    return [nk.CodecSpec(name='a-broken', summary='Breaks.', make=made)]\n"
    )
    result = run("--plugin", "broken.py", "report", "v.npy", "--held-out", 20, "--seconds", 0.5, "-o", "mine")
    assert result.exit_code == 0, result.output
    assert "note: flat,a-broken failed: PluginLoadError: codec 'a-broken' could not be made" in result.stderr
    assert "not today" in (tmp_path / "mine" / "report.html").read_text()


def test_wrong_values_are_refused(run, vectors):
    for arguments, said in (
        (("--recall", "2"), "between 0 and 1"),
        (("--seconds", "0"), "above 0"),
        (("--metric", "cosin"), "cosine"),
    ):
        result = run("report", "v.npy", "-o", "mine", *arguments)
        assert result.exit_code in (2, 3)
        assert said in result.stderr
    result = run("report", "v.npy", "-o", "")
    assert result.exit_code == 2
    assert "empty" in result.stderr
