"""The script still reads the table it is given."""

import struct
import subprocess
import sys
from pathlib import Path


def test_another_table_gives_another_picture(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("month,value\nJanuary,1\nFebruary,2\n")
    sizes = []
    for source, name in ((table, "a.png"), ("/app/data.csv", "b.png")):
        subprocess.run([sys.executable, "/app/chart.py", str(source), str(tmp_path / name)], check=True)
        sizes.append((tmp_path / name).read_bytes())
    assert sizes[0] != sizes[1]
    assert struct.unpack(">II", sizes[0][16:24]) == (240, 120)


def test_the_table_is_as_it_was():
    assert Path("/app/data.csv").read_text().count("\n") == 8
