"""The bill of materials of a release, in the JSON form of CycloneDX 1.6."""

import uuid
from typing import Any

from edge_pipeline.core.files import json_bytes, sha256
from edge_pipeline.fleet.content import Content


def sbom(content: Content) -> dict[str, Any]:
    """Return the artifacts of a release as components, and the tools that made them with their versions."""
    made: dict[tuple[str, str], set[str]] = {(name, version): set() for name, version in content.tools.items()}
    for slug, one in content.targets.items():
        for tool in one.artifact.tools.items():
            made.setdefault(tool, set()).add(slug)
    components: list[dict[str, Any]] = [
        {
            "type": "machine-learning-model",
            "bom-ref": f"{slug}/{name}",
            "name": f"{one.target} {name}",
            "version": str(content.version),
            "hashes": [{"alg": "SHA-256", "content": sha256(data)}],
        }
        for slug, one in sorted(content.targets.items())
        for name, data in sorted(one.artifact.files.items())
    ]
    tools = [
        {
            "type": "application",
            "name": name,
            "version": version,
            "properties": [{"name": "edge-pipeline:target", "value": one} for one in sorted(used)],
        }
        for (name, version), used in sorted(made.items())
    ]
    root = {"type": "machine-learning-model", "bom-ref": "release", "name": content.model}
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": content.created,
            "tools": {"components": tools},
            "component": {**root, "version": str(content.version)},
        },
        "components": components,
        "dependencies": [{"ref": "release", "dependsOn": [one["bom-ref"] for one in components]}],
    }
    serial = uuid.UUID(sha256(json_bytes(body))[:32], version=4)
    return {**body, "serialNumber": serial.urn}
