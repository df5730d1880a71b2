import os
import subprocess

import pytest

SCRIPT = os.path.join(os.getcwd(), "report.sh")


def line(path, status=200, size=100, method="GET", user="ann"):
    return f'10.0.0.7 - {user} [01/Mar/2024:10:00:00] "{method} {path} HTTP/1.1" {status} {size}\n'


def report(tmp_path, text):
    log = tmp_path / "access log.txt"
    log.write_text(text)
    return subprocess.run(["bash", SCRIPT, str(log)], capture_output=True, text=True)


def summary(done):
    head, _, top = done.stdout.partition("top\n")
    return dict(pair.split() for pair in head.splitlines()), top.splitlines()


@pytest.mark.parametrize(("status", "errors"), [(200, "0"), (304, "0"), (399, "0"), (400, "1"), (599, "1"), (600, "0")])
def test_which_status_is_an_error(tmp_path, status, errors):
    counts, _ = summary(report(tmp_path, line("/400 500", status, 4045)))
    assert counts == {"requests": "1", "errors": errors, "bytes": "4045"}


def test_dash_is_no_bytes(tmp_path):
    counts, _ = summary(report(tmp_path, line("/a", 304, "-") + line("/a", 200, 7)))
    assert counts["bytes"] == "7"


def test_paths_with_spaces(tmp_path):
    counts, top = summary(report(tmp_path, line("/a b c", size=5) * 2 + line("/x y?q=1 2", size=6)))
    assert counts["bytes"] == "16"
    assert top == ["2 /a b c", "1 /x y"]


def test_numeric_order_and_ties(tmp_path):
    text = line("/b") * 2 + line("/a") * 2 + line("/B") * 2 + line("/z") * 11
    _, top = summary(report(tmp_path, text))
    assert top == ["11 /z", "2 /B", "2 /a"]


def test_query_strings_are_one_path(tmp_path):
    _, top = summary(report(tmp_path, line("/s?q=a") + line("/s?q=b&c=?") + line("/s")))
    assert top == ["3 /s"]


def test_bad_lines_are_skipped(tmp_path):
    done = report(tmp_path, "nonsense\n" + line("/a") + '10.0.0.7 - - [x] "GET / HTTP/1.1" abc 5\n')
    counts, top = summary(done)
    assert counts["requests"] == "1" and top == ["1 /a"]
    assert done.stderr.strip() == "skipped 2" and done.returncode == 0


def test_nothing_skipped_says_nothing(tmp_path):
    assert report(tmp_path, line("/a")).stderr == ""


def test_empty_log(tmp_path):
    done = report(tmp_path, "")
    assert done.stdout == "requests 0\nerrors 0\nbytes 0\ntop\n"
    assert done.stderr == "" and done.returncode == 0


def test_other_methods(tmp_path):
    counts, top = summary(report(tmp_path, line("/a", method="POST") + line("/a", method="DELETE")))
    assert counts["requests"] == "2" and top == ["2 /a"]


def test_large_sums(tmp_path):
    counts, _ = summary(report(tmp_path, line("/a", size=3_000_000_000) * 4))
    assert counts["bytes"] == "12000000000"


def test_the_other_protocol_version(tmp_path):
    counts, top = summary(report(tmp_path, line("/a").replace("HTTP/1.1", "HTTP/1.0") + line("/a")))
    assert counts["requests"] == "2" and top == ["2 /a"]


def test_a_single_bad_line_is_told(tmp_path):
    assert report(tmp_path, line("/a") + "nonsense\n").stderr == "skipped 1\n"


def test_a_file_that_is_not_there(tmp_path):
    done = subprocess.run(["bash", SCRIPT, str(tmp_path / "none.txt")], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr and not done.stdout
