"""Services that the manifests of running jobs declare.

Nobody here asks the services how they are: one without checks counts as passing while its job runs,
one with checks as `warning`, since they have not been made.
Source: client surface 1.3, services.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mnedge.config.settings import Config
from mnedge.gateway.nodes import node_name
from mnedge.model.manifest import JobSpec
from mnedge.model.records import JobRecord


class Query(Struct, frozen=True, kw_only=True):
    """Which services are asked for."""

    name: str | None = None
    node: str | None = None
    job_id: str | None = None
    agent_id: str | None = None
    status: str | None = None
    tags: tuple[str, ...] = ()
    passing_only: bool = False

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> "Query":
        """Return what a client's JSON asks for; what is empty or odd asks for nothing."""
        texts = {
            name: value
            for name in ("name", "node", "job_id", "agent_id", "status")
            if isinstance(value := query.get(name), str) and value
        }
        tags = query.get("tags")
        named = tuple(one for one in tags if isinstance(one, str)) if isinstance(tags, list) else ()
        return cls(**texts, tags=named, passing_only=query.get("passing_only") is True)

    def wants(self, service: Mapping[str, Any]) -> bool:
        """Tell whether a service is one of those."""
        texts = ("name", "node", "job_id", "agent_id", "status")
        return (
            all(getattr(self, name) in (None, service[name]) for name in texts)
            and set(self.tags) <= set(service["tags"])
            and (not self.passing_only or service["status"] == "passing")
        )


def declared_services(spec: JobSpec, record: JobRecord, config: Config) -> list[dict[str, Any]]:
    """Return the services that a running job offers."""
    found = [_service(one, record, None, config) for one in spec.services]
    for agent in spec.agents:
        found += [_service(one, record, agent.agent_id, config) for one in agent.services]
    return [one for one in found if one["name"]]


def _service(
    declared: Mapping[str, Any], record: JobRecord, agent_id: str | None, config: Config
) -> dict[str, Any]:
    checks = declared.get("checks")
    checks = checks if isinstance(checks, list) else []
    name = _text(declared, "name")
    meta, tags = declared.get("meta"), declared.get("tags")
    port = declared.get("port")
    return {
        "id": _text(declared, "id") or ":".join(filter(None, (record.job_id, agent_id, name))),
        "name": name,
        "address": _text(declared, "address") or "127.0.0.1",
        "port": port if isinstance(port, int) else None,
        "tags": [one for one in tags if isinstance(one, str)] if isinstance(tags, list) else [],
        "meta": meta if isinstance(meta, dict) else {},
        "provider": _text(declared, "provider") or "mnedge",
        "origin": "job",
        "status": "warning" if checks else "passing",
        "checks": [
            {"name": _text(one, "name"), "type": _text(one, "type"), "status": "not_made"}
            for one in checks
            if isinstance(one, dict)
        ],
        "node": node_name(config),
        "job_id": record.job_id,
        "agent_id": agent_id or _text(declared, "agent_id") or None,
    }


def _text(declared: Mapping[str, Any], name: str) -> str:
    value = declared.get(name)
    return value if isinstance(value, str) else ""
