"""Test results as JUnit XML, for CI systems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from triroute.router.policy.testing.run import Outcome


def write(path: Path, suites: Sequence[tuple[str, Outcome]]) -> None:
    """One test suite a policy, named by its test file."""
    root = ElementTree.Element("testsuites")
    for name, outcome in suites:
        seconds = sum(result.seconds for result in outcome.results)
        counts = {"tests": str(len(outcome.results)), "failures": str(outcome.failed), "errors": "0"}
        suite = ElementTree.SubElement(root, "testsuite", {"name": name, "time": f"{seconds:.6f}", **counts})
        for result in outcome.results:
            place = {"classname": name, "file": name, "line": str(result.test.line)}
            case = ElementTree.SubElement(
                suite, "testcase", {"name": result.test.name, "time": f"{result.seconds:.6f}", **place}
            )
            if result.problems:
                ElementTree.SubElement(case, "failure", {"message": "; ".join(result.problems)})
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
