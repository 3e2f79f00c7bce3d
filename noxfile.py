"""Run the tests on every CPython from 3.11 on that is installed: ``nox``."""

from __future__ import annotations

import nox

nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def tests(session: nox.Session) -> None:
    """Install as a user would, with what the tests need, and run them."""
    session.install("--editable", ".[dev]")
    session.run("python", "-m", "pytest", *session.posargs)
