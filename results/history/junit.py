"""What became of a run as JUnit's XML, a test case a metric, for whatever shows test results."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from results.history.regress import Regress
from results.history.wording import explained, summary_line

# What XML 1.0 cannot hold, escaped or not (section 2.2, Char).
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def regress_junit(found: Regress, *, strict: bool) -> str:
    """A failure for every metric that is worse; inconclusive ones are skipped, and failures where ``strict``."""
    suite = ET.Element("testsuite", name=_clean(f"bench regress {found.run.suite}"), timestamp=found.run.started[:19])
    failures = skipped = 0
    for each in found.findings:
        name = f"{each.key.metric} [{each.key.params}]" if each.key.params else each.key.metric
        arm = f"{each.key.arm} (emulated)" if each.key.accel == "tcg" else each.key.arm
        case = ET.SubElement(
            suite, "testcase", classname=_clean(f"{each.key.suite}.{arm}.{each.key.workload}"), name=_clean(name)
        )
        message = _clean(explained(each))
        if each.verdict == "worse" or (strict and each.verdict == "inconclusive"):
            failures += 1
            ET.SubElement(case, "failure", type=each.verdict, message=message)
        elif each.verdict == "inconclusive":
            skipped += 1
            ET.SubElement(case, "skipped", message=message)
        else:
            ET.SubElement(case, "system-out").text = message
    suite.attrib |= {
        "tests": str(len(found.findings)),
        "failures": str(failures),
        "errors": "0",
        "skipped": str(skipped),
    }
    ET.SubElement(suite, "system-out").text = _clean(f"run {found.run.id}: {summary_line(found)}")
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
