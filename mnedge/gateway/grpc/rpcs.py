"""Every RPC of the wire, and how this node serves it: the whole list."""

from collections.abc import Iterable

from mnedge.gateway.grpc import backup, cluster, jobs_v1, jobs_v2, observability, operations
from mnedge.gateway.grpc.calls import Rpc, Streaming, Unary
from mnedge.gateway.grpc.messages import (
    CLUSTER,
    JOB_V1,
    JOB_V2,
    OBSERVABILITY,
    OPERATIONS,
    Method,
    Service,
)
from mnedge.model.access import Scope

_NO_DEPLOYMENTS = "it has no deployments"
_NO_SCHEDULES = "it has no schedules"
_NO_DOCKER = "it runs no Docker workers"
_NO_MODELS = "it does not look after models"


class _Served:
    """The RPCs of one service, by name, while they are listed."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._methods = {method.name: method for method in service.methods}
        self.rpcs: list[Rpc] = []

    def reads(self, name: str, unary: Unary) -> None:
        """It changes nothing."""
        self.rpcs.append(Rpc(path=self._path(name), method=self._methods[name], unary=unary))

    def streams(self, name: str, streaming: Streaming) -> None:
        """It tells what happens."""
        method = self._methods[name]
        self.rpcs.append(Rpc(path=self._path(name), method=method, streaming=streaming))

    def changes(
        self,
        name: str,
        unary: Unary,
        action: str,
        field: str = "",
        *,
        scope: Scope = Scope.OPERATE,
    ) -> None:
        """It changes what the field names; `action`: what the audit record calls that."""
        method = self._methods[name]
        self.rpcs.append(
            Rpc(
                path=self._path(name),
                method=method,
                unary=unary,
                scope=scope,
                action=action,
                field=field,
            )
        )

    def admits(self, name: str, unary: Unary) -> None:
        """Whoever reaches the port may call it."""
        method = self._methods[name]
        self.rpcs.append(Rpc(path=self._path(name), method=method, unary=unary, public=True))

    def lacks(self, why: str, names: Iterable[str]) -> None:
        """They are not offered."""
        for name in names:
            self.rpcs.append(
                Rpc(
                    path=self._path(name),
                    method=self._methods[name],
                    absent=f"{name} is not offered by this node: {why}",
                )
            )

    def _path(self, name: str) -> str:
        return self._service.path(self._methods[name])


def _job_v1() -> list[Rpc]:
    here = _Served(JOB_V1)
    here.changes("SubmitJob", jobs_v1.submit_job, "job.submit")
    here.reads("GetJob", jobs_v1.get_job)
    here.reads("ListJobs", jobs_v1.list_jobs)
    here.changes("CancelJob", jobs_v1.cancel_job, "job.cancel", "job_id")
    here.changes("PauseJob", jobs_v1.pause_job, "job.pause", "job_id")
    here.changes("ResumeJob", jobs_v1.resume_job, "job.resume", "job_id")
    here.changes("CancelAllJobs", jobs_v1.cancel_all_jobs, "job.cancel_all")
    here.changes("ClearJobs", jobs_v1.clear_jobs, "job.clear")
    here.changes("ExportJobBackup", backup.export_job_backup, "job.export", "job_id")
    here.changes("RestoreJobBackup", backup.restore_job_backup, "job.restore", "run_id")
    here.lacks(_NO_DEPLOYMENTS, [one for one in _names(JOB_V1) if "Deploy" in one])
    here.lacks(
        _NO_SCHEDULES, [one for one in _names(JOB_V1) if "Schedule" in one or "Trigger" in one]
    )
    return here.rpcs


def _job_v2() -> list[Rpc]:
    here = _Served(JOB_V2)
    here.changes("CreateJob", jobs_v2.create_job, "definition.create", "job_id")
    here.reads("GetJob", jobs_v2.get_job)
    here.reads("ListJobs", jobs_v2.list_jobs)
    here.changes("UpdateJob", jobs_v2.update_job, "definition.update", "job_id")
    here.changes("ArchiveJob", jobs_v2.archive_job, "definition.archive", "job_id")
    here.changes("ResetJobData", jobs_v2.reset_job_data, "definition.reset", "job_id")
    here.changes("DeleteJob", jobs_v2.delete_job, "definition.delete", "job_id")
    here.changes("StartRun", jobs_v2.start_run, "definition.start", "job_id")
    here.reads("ListRuns", jobs_v2.list_runs)
    here.reads("GetRun", jobs_v2.get_run)
    here.changes("PauseRun", jobs_v2.pause_run, "job.pause", "run_id")
    here.changes("ResumeRun", jobs_v2.resume_run, "job.resume", "run_id")
    here.changes("CancelRun", jobs_v2.cancel_run, "job.cancel", "run_id")
    here.changes("DeleteRun", jobs_v2.delete_run, "job.delete", "run_id")
    here.changes("SendRunInput", jobs_v2.send_run_input, "job.respond", "run_id")
    here.lacks(_NO_SCHEDULES, ["CreateJobSchedule"])
    return here.rpcs


def _cluster() -> list[Rpc]:
    here = _Served(CLUSTER)
    here.admits("NetworkHandshake", cluster.network_handshake)
    here.reads("GetSystemSummary", cluster.get_system_summary)
    here.reads("GetResource", cluster.get_resource)
    here.changes("SetResource", cluster.set_resource, "node.limits")
    here.reads("GetRuntimeStatuses", cluster.get_runtime_statuses)
    here.lacks(_NO_MODELS, ["PublishRuntimeStatus", "AckRuntimeStatusEvents"])
    here.changes("AddNode", cluster.add_node, "node.add", "node_name", scope=Scope.ADMIN)
    here.changes("RemoveNode", cluster.remove_node, "node.remove", "node_name", scope=Scope.ADMIN)
    steering = (
        ("ReconcileNode", cluster.reconcile_node, "node.reconcile"),
        ("DrainNode", cluster.drain_node, "node.drain"),
        ("CancelNodeDrain", cluster.cancel_node_drain, "node.undrain"),
        ("SetNodeMaintenance", cluster.set_node_maintenance, "node.maintenance"),
    )
    for name, handler, action in steering:
        here.changes(name, handler, action, "node_name")
    here.reads("GetNodeDrainStatus", cluster.get_node_drain_status)
    here.reads("ListServices", cluster.list_services)
    here.reads("ResolveService", cluster.resolve_service)
    here.reads("CheckServices", cluster.check_services)
    here.lacks(
        _NO_MODELS, ["SyncLiteLLMGateway", "RemoveLiteLLMGatewayRoute", "PrepareRuntimeModel"]
    )
    here.lacks(_NO_DOCKER, ["PrepareDockerWorker", "CleanupDockerWorker"])
    return here.rpcs


def _rest() -> list[Rpc]:
    events = _Served(OBSERVABILITY)
    events.streams("StreamEvents", observability.stream_events)
    here = _Served(OPERATIONS)
    here.changes("StartOperation", operations.start_operation, "operation.start", "kind")
    here.reads("GetOperation", operations.get_operation)
    here.streams("StreamOperationEvents", operations.stream_operation_events)
    return [*events.rpcs, *here.rpcs]


def _names(service: Service) -> list[str]:
    methods: tuple[Method, ...] = service.methods
    return [method.name for method in methods]


RPCS: dict[str, Rpc] = {rpc.path: rpc for rpc in (*_job_v1(), *_job_v2(), *_cluster(), *_rest())}
"""By path: `/mirrorneuron.job.v1.JobService/GetJob`."""
