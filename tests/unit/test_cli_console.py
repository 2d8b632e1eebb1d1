"""What the terminal is told."""

import pytest

from pipelines.cli.console import fail


def test_of_a_very_long_error_both_ends_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    fail(f"labels.csv: column 'Path' is '{'a' * 300_000}', expected a file")
    said = capsys.readouterr().err
    assert len(said) < 2_200
    assert "labels.csv: column 'Path'" in said
    assert said.rstrip().endswith("', expected a file")
    fail("b" * 1_500)
    assert capsys.readouterr().err.count("b") == 1_500
