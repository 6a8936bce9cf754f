"""What the metrics load: nothing heavy."""

import subprocess
import sys

CODE = """
import sys
import tidewright.metrics.accuracy, tidewright.metrics.bootstrap, tidewright.metrics.comparison
heavy = {"scipy", "polars", "pandas", "sklearn", "torch", "numba"}
sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""


def test_the_metrics_load_no_table_library_and_no_scipy():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
