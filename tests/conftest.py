"""One CPU thread: the tests are small, and several threads only wait for each other on a busy machine."""

import dreamx  # noqa: F401  # pyright: ignore[reportUnusedImport]  (before torch: says how threads wait)

# isort: split
import os
import signal

import pytest
import torch

torch.set_num_threads(1)

# Under nohup SIGHUP is ignored, and so it would be in every process that a test starts to see it end by that.
# A listener that does nothing is as deaf, and is not handed on.
_UNDER_NOHUP = "DREAMX_TESTS_UNDER_NOHUP"
if hasattr(signal, "SIGHUP") and (signal.getsignal(signal.SIGHUP) == signal.SIG_IGN or _UNDER_NOHUP in os.environ):
    os.environ[_UNDER_NOHUP] = "1"
    signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips", action="store_true", help="fail where a test was skipped for want of something on this machine"
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --no-skips a green run has run everything: `.ci/run` asks for that."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("--no-skips") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"\n--no-skips: {len(reporter.stats['skipped'])} tests were skipped; the reasons are below", red=True)
