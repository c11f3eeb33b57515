"""A stage that fails, or that the system ends, is named."""

import pytest

from t2v_helpers.course.dry_run import stages


def test_a_stage_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "_CHILD", "raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="'step' .*3"):
        stages.ask(stages.Request("step", "cartoon", "float32", 4, 64), tmp_path)


def test_a_stage_that_the_system_ends_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "_CHILD", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(MemoryError, match="'step'.*memory"):
        stages.ask(stages.Request("step", "cartoon", "float32", 4, 64), tmp_path)
