"""What several files of tests look at."""

from __future__ import annotations

import pytest

from pydsm.trace import Timeline
from tests.trace.programs import many, team


@pytest.fixture(scope="package")
def large() -> Timeline:
    """Return a timeline of more than 100,000 events."""
    with team(2) as crew:
        crew.run(many, 50_000)
        found: Timeline = crew.timeline
    return found
