"""Bundles: runs in one file, to be carried to another machine. ``docs/results.md`` describes the form.

bundle.json                 {"format": "bench-bundle", "version": 1, "runs": [ids, newest first]}
baselines.json              a list of objects, the named ones of these runs
acknowledgements.json       a list of objects, the known changes
runs/<id>/run.json          one object
runs/<id>/trials.jsonl      an object a line, each with its samples
runs/<id>/noise.jsonl       an object a line
runs/<id>/files/…           the run's directory
checksums.json              the SHA-256 of every file before it, by name: nothing is damaged, and nothing is missing
"""

from results.bundle.read import opened_bundle
from results.bundle.write import write_bundle

__all__ = ["opened_bundle", "write_bundle"]
