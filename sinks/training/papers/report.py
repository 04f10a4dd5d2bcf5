"""The provenance report: what an auditor of training data asks of a set, answered from its signed manifest alone.

The questions are those that data sheets (Gebru et al., CACM 64, 2021) and the EU AI Act (article 10, annex XI)
share: origin, purpose, composition, processing, gaps, personal data, terms, retention, integrity, how to make it again.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sinks.training.papers import words
from sinks.training.papers.card import table
from sinks.training.papers.reading import Published


def report_of(found: Published, signed_by: str | None) -> dict[str, Any]:
    """The answers as plain data, in the order of the questions."""
    told = found.manifest
    recipe, shares, gates = told["dayone:recipe"], told["dayone:shares"], told["dayone:gates"]
    return {
        "set": found.subject,
        "name": told["name"],
        "what": f"{told['dayone:summary']}: {told['dayone:grain']}",
        "purpose": words.purpose(recipe["task"], told["dayone:kind"], recipe["product"]),
        "origin": words.origin(shares),
        "share_of_synthetic": words.share_of_synthetic(shares),
        "shares": shares,
        "runs": told["dayone:runs"],
        "mixing": recipe["mixing"],
        "rows": told["dayone:splits"],
        "split": recipe["split"],
        "time_frame": [told["dayone:snapshot"]["since"], told["dayone:snapshot"]["until"]],
        "columns": told["dayone:columns"],
        "labels": "Labels come from later events or from the simulator's ground truth; nobody annotated rows by hand.",
        "gates": gates,
        "gaps": words.gaps(shares),
        "biases": words.biases(shares),
        "personal_data": words.personal_data(shares, gates),
        "license": words.license_of(told["dayone:publisher"]),
        "publisher": told["dayone:publisher"]["name"],
        "retention": told["dayone:publisher"]["retention"],
        "made_by": f"Dayone {recipe['dayone_version']}",
        "snapshot": {**told["dayone:snapshot"], "fingerprint": recipe["snapshot"]},
        "reproduce": told["dayone:command"],
        "integrity": {
            "manifest_sha256": hashlib.sha256(found.text).hexdigest(),
            "signed_by": signed_by,
            "files": sum(1 for each in told["distribution"] if "sha256" in each),
            "audit_log_anchor": told["dayone:auditLog"]["anchor"],
        },
    }


def markdown_of(report: dict[str, Any]) -> str:
    """The same for people."""
    sealed = report["integrity"]
    rows = ", ".join(f"{count:,} {split}" for split, count in report["rows"].items())
    runs = [
        (
            f"`{run['run_id']}`", run.get("identity", {}).get("product_version", "?"),
            run.get("identity", {}).get("generator", "?"), ", ".join(run.get("models", [])) or "none",
            ", ".join(f"{name} `{sha[:12]}`" for name, sha in run.get("prompts", {}).items()) or "none",
            f"`{run.get('identity', {}).get('pack_fingerprint', '?')[:12]}`",
        )
        for run in report["runs"]
    ]  # fmt: skip
    shares = [
        (share["origin"], share["generator"], share["generation"], f"{share['rows']:,}", f"{share['weight']:,.1f}")
        for share in report["shares"]
    ]
    gates = [tuple(gate.values()) for gate in report["gates"]]
    kept = [(name, value) for name, value in report["mixing"].items() if not isinstance(value, dict)]
    pages = [
        f"# Provenance of {report['name']}",
        f"Set `{report['set']}`, made by {report['made_by']}, published by {report['publisher']}.",
        f"## What it is\n\n{report['what']}. Rows: {rows}. "
        f"Events from {' to '.join(report['time_frame'])} (virtual time).",
        f"## Purpose\n\n{report['purpose']}",
        f"## Origin\n\n{report['origin']}",
        table(("origin", "generator", "generation", "rows", "weight"), shares),
        table(("run", "product version", "generator", "models", "prompts", "pack"), runs),
        "## Real data\n\n" + (table(("mixing", "value"), kept) if kept else "None was mixed in."),
        *(
            f"The generator of run `{run['run_id']}` was fitted on real data `{run['core'][:12]}`."
            for run in report["runs"]
            if run.get("core")
        ),
        f"## Labels\n\n{report['labels']}",
        "## Checks before publishing\n\n"
        + (table(tuple(report["gates"][0]), gates) if gates else "No gate is recorded in the manifest."),
        f"## Known gaps\n\n{report['gaps']}",
        f"## Biases\n\n{report['biases']}",
        f"## Personal data\n\n{report['personal_data']}",
        f"## Terms and retention\n\nLicence: {report['license']}. Retention: {report['retention']}.",
        "## How to make it again\n\n"
        f"From a store with the same snapshot (`{report['snapshot']['fingerprint'][:12]}`, last written "
        f"{report['snapshot']['committed'] or 'at an unknown time'}), every file comes out with the same bytes:",
        f"```bash\n{report['reproduce']}\n```",
        f"## Integrity\n\nSHA-256 of the manifest: `{sealed['manifest_sha256']}`, which sums {sealed['files']} files. "
        f"Signed by: {sealed['signed_by'] or 'nobody'}. Place in the audit log: `{sealed['audit_log_anchor'][:12]}`.",
    ]  # fmt: skip
    return "\n\n".join(pages) + "\n"
