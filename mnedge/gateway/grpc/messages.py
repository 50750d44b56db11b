"""The messages and services of the wire, as tables.

Source: client surface 1.2.
"""

from msgspec import Struct

from mnedge.gateway.grpc.codec import Message, message


class Method(Struct, frozen=True):
    """One RPC as the wire knows it."""

    name: str
    request: Message
    response: Message
    streams: bool = False
    """Whether the server answers with any number of messages."""


class Service(Struct, frozen=True):
    """The RPCs of one service."""

    name: str
    """With its package: `mirrorneuron.job.v1.JobService`."""
    methods: tuple[Method, ...]

    def path(self, method: Method) -> str:
        """Return the path under which a method is called."""
        return f"/{self.name}/{method.name}"


def _acts(request: Message, response: Message, *names: str) -> list[Method]:
    return [Method(name, request, response) for name in names]


# ---- mirrorneuron.job.v1 ----

_MANIFEST = "manifest_json#1:S payloads#2:M"


def _on_job(verb: str) -> Method:
    return Method(
        verb,
        message(f"{verb}Request", "job_id#1:S version#2:u"),
        message(f"{verb}Response", "job_id#1:S status#2:S version#3:u"),
    )


_DEPLOYMENT = message("DeploymentResponse", "result_json#1:S version#2:u")
_ON_DEPLOYMENT = message("DeploymentActionRequest", "id_or_key#1:S reason#2:S version#3:u")
_SCHEDULE = message("ScheduleResponse", "result_json#1:S version#2:u")
_ON_SCHEDULE = message(
    "ScheduleActionRequest", "schedule_id#1:S attrs_json#2:S reason#3:S version#4:u"
)

JOB_V1 = Service(
    "mirrorneuron.job.v1.JobService",
    (
        Method(
            "SubmitJob",
            message("SubmitJobRequest", f"{_MANIFEST} version#3:u"),
            message("SubmitJobResponse", "job_id#1:S status#2:S version#3:u"),
        ),
        Method(
            "GetJob",
            message("GetJobRequest", "job_id#1:S version#2:u"),
            message("GetJobResponse", "job_json#1:S version#2:u"),
        ),
        Method(
            "ListJobs",
            message("ListJobsRequest", "limit#1:i include_terminal#2:B version#3:u"),
            message("ListJobsResponse", "jobs_json#1:S version#2:u"),
        ),
        _on_job("CancelJob"),
        _on_job("PauseJob"),
        _on_job("ResumeJob"),
        Method(
            "CancelAllJobs",
            message("CancelAllJobsRequest", "version#1:u"),
            message("CancelAllJobsResponse", "result_json#1:S version#2:u"),
        ),
        Method(
            "ClearJobs",
            message("ClearJobsRequest", "version#2:u"),
            message("ClearJobsResponse", "cleared_count#1:i version#2:u"),
        ),
        Method(
            "ExportJobBackup",
            message("ExportJobBackupRequest", "job_id#1:S version#2:u"),
            message("ExportJobBackupResponse", "backup_json#1:S bundle_files#2:M version#3:u"),
        ),
        Method(
            "RestoreJobBackup",
            message(
                "RestoreJobBackupRequest",
                "backup_json#1:S bundle_files#2:M blueprint_id#3:S run_id#4:S version#5:u",
            ),
            message("RestoreJobBackupResponse", "result_json#1:S version#2:u"),
        ),
        Method(
            "DeployJob",
            message(
                "DeployJobRequest",
                f"{_MANIFEST} deployment_key#3:S update_policy_json#4:S wait#5:B version#6:u",
            ),
            _DEPLOYMENT,
        ),
        Method(
            "UpdateDeployment",
            message(
                "UpdateDeploymentRequest",
                "deployment_key#1:S manifest_json#2:S payloads#3:M update_policy_json#4:S"
                " wait#5:B version#6:u",
            ),
            _DEPLOYMENT,
        ),
        Method(
            "GetDeployment",
            message("GetDeploymentRequest", "id_or_key#1:S version#2:u"),
            _DEPLOYMENT,
        ),
        Method(
            "ListDeployments",
            message("ListDeploymentsRequest", "query_json#1:S version#2:u"),
            _DEPLOYMENT,
        ),
        Method(
            "PromoteDeployment",
            message("PromoteDeploymentRequest", "id_or_key#1:S version#2:u"),
            _DEPLOYMENT,
        ),
        Method(
            "RollbackDeployment",
            message("RollbackDeploymentRequest", "id_or_key#1:S version#2:S tag#3:S reason#4:S"),
            _DEPLOYMENT,
        ),
        *_acts(
            _ON_DEPLOYMENT, _DEPLOYMENT, "PauseDeployment", "ResumeDeployment", "FailDeployment"
        ),
        Method(
            "CreateSchedule",
            message(
                "CreateScheduleRequest",
                f"{_MANIFEST} schedule_json#3:S source_json#4:S version#5:u",
            ),
            _SCHEDULE,
        ),
        Method("UpdateSchedule", _ON_SCHEDULE, _SCHEDULE),
        Method(
            "GetSchedule", message("GetScheduleRequest", "schedule_id#1:S version#2:u"), _SCHEDULE
        ),
        Method(
            "ListSchedules",
            message("ListSchedulesRequest", "query_json#1:S version#2:u"),
            _SCHEDULE,
        ),
        *_acts(_ON_SCHEDULE, _SCHEDULE, "PauseSchedule", "ResumeSchedule", "DeleteSchedule"),
        Method(
            "DispatchSchedule",
            message(
                "DispatchScheduleRequest", "schedule_id#1:S payload_json#2:S reason#3:S version#4:u"
            ),
            _SCHEDULE,
        ),
        Method(
            "EmitTriggerEvent",
            message(
                "EmitTriggerEventRequest", "event_type#1:S payload_json#2:S source#3:S version#4:u"
            ),
            _SCHEDULE,
        ),
        Method(
            "ListTriggerEvents",
            message("ListTriggerEventsRequest", "limit#1:i version#2:u"),
            _SCHEDULE,
        ),
    ),
)

# ---- mirrorneuron.job.v2 ----

_JSON = message("JsonResponse", "result_json#1:S version#2:u")
_JOB = message("JobRequest", "job_id#1:S version#2:u")
_RUN = message("RunRequest", "run_id#1:S version#2:u")

JOB_V2 = Service(
    "mirrorneuron.job.v2.JobService",
    (
        Method(
            "CreateJob",
            message(
                "CreateJobRequest",
                f"{_MANIFEST} job_id#3:S resolved_configuration_json#4:S storage_json#5:S"
                " version#6:u",
            ),
            _JSON,
        ),
        Method("GetJob", _JOB, _JSON),
        Method("ListJobs", message("ListJobsRequest", "include_archived#1:B version#2:u"), _JSON),
        Method(
            "UpdateJob",
            message(
                "UpdateJobRequest",
                "job_id#1:S attrs_json#2:S version#3:u manifest_json#4:S payloads#5:M",
            ),
            _JSON,
        ),
        *_acts(_JOB, _JSON, "ArchiveJob", "ResetJobData"),
        Method(
            "DeleteJob", message("DeleteJobRequest", "job_id#1:S confirmed#2:B version#3:u"), _JSON
        ),
        Method(
            "StartRun",
            message("StartRunRequest", "job_id#1:S run_id#2:S inputs_json#3:S version#4:u"),
            _JSON,
        ),
        Method("ListRuns", _JOB, _JSON),
        *_acts(_RUN, _JSON, "GetRun", "PauseRun", "ResumeRun", "CancelRun"),
        Method(
            "DeleteRun", message("DeleteRunRequest", "run_id#1:S confirmed#2:B version#3:u"), _JSON
        ),
        Method(
            "SendRunInput",
            message(
                "SendRunInputRequest",
                "run_id#1:S input_id#2:S payload_json#3:S idempotency_key#4:S version#5:u",
            ),
            _JSON,
        ),
        Method(
            "CreateJobSchedule",
            message(
                "CreateJobScheduleRequest",
                "job_id#1:S schedule_json#2:S source_json#3:S version#4:u",
            ),
            _JSON,
        ),
    ),
)

# ---- mirrorneuron.cluster.v1 ----

_GET_RESOURCE = message("GetResourceRequest", "version#1:u")
_RESOURCE = message("GetResourceResponse", "resource_json#1:S version#2:u")
_SET_RESOURCE = message("SetResourceRequest", "resource_json#1:S version#2:u")
_RESOURCE_SET = message("SetResourceResponse", "resource_json#1:S version#2:u")


def _with_result(verb: str, request: str) -> Method:
    return Method(
        verb,
        message(f"{verb}Request", request),
        message(f"{verb}Response", "result_json#1:S version#2:u"),
    )


def _on_node(verb: str, request: str) -> Method:
    return Method(
        verb,
        message(f"{verb}Request", request),
        message(f"{verb}Response", "node_name#1:S status#2:S version#3:u"),
    )


CLUSTER = Service(
    "mirrorneuron.cluster.v1.ClusterService",
    (
        Method(
            "NetworkHandshake",
            message(
                "NetworkHandshakeRequest",
                "token#1:S node_name#2:S node_info_json#3:S version#4:u",
            ),
            message(
                "NetworkHandshakeResponse",
                "node_name#1:S runtime_mode#2:S grpc_host#3:S grpc_port#4:i dist_port#5:i"
                " redis_host#6:S redis_port#7:i redis_url#8:S cluster_nodes#9:S network_only#10:B"
                " node_info_json#11:S grpc_auth_token#12:S grpc_admin_token#13:S version#14:u",
            ),
        ),
        Method(
            "GetSystemSummary",
            message("GetSystemSummaryRequest", "version#1:u"),
            message("GetSystemSummaryResponse", "summary_json#1:S version#2:u"),
        ),
        Method("GetResource", _GET_RESOURCE, _RESOURCE),
        Method("SetResource", _SET_RESOURCE, _RESOURCE_SET),
        Method("GetRuntimeStatuses", _GET_RESOURCE, _RESOURCE),
        *_acts(_SET_RESOURCE, _RESOURCE_SET, "PublishRuntimeStatus", "AckRuntimeStatusEvents"),
        _on_node("AddNode", "node_name#1:S token#2:S version#3:u"),
        _on_node("RemoveNode", "node_name#1:S version#2:u"),
        _with_result("ReconcileNode", "node_name#1:S reason#2:S dry_run#3:B version#4:u"),
        _with_result(
            "DrainNode",
            "node_name#1:S reason#2:S dry_run#3:B deadline_ms#4:l ignore_system_jobs#5:B wait#6:B"
            " version#7:u",
        ),
        _with_result("CancelNodeDrain", "node_name#1:S reason#2:S mark_eligible#3:B version#4:u"),
        _with_result("SetNodeMaintenance", "node_name#1:S enabled#2:B reason#3:S version#4:u"),
        _with_result("GetNodeDrainStatus", "node_name#1:S version#2:u"),
        _with_result("ListServices", "query_json#1:S version#2:u"),
        _with_result("ResolveService", "name#1:S query_json#2:S version#3:u"),
        _with_result("CheckServices", "services_json#1:S version#2:u"),
        *_acts(
            _SET_RESOURCE,
            _RESOURCE_SET,
            "SyncLiteLLMGateway",
            "RemoveLiteLLMGatewayRoute",
            "PrepareRuntimeModel",
        ),
        _with_result(
            "PrepareDockerWorker",
            f"{_MANIFEST} submission_id#3:S node_name#4:S version#5:u",
        ),
        _with_result(
            "CleanupDockerWorker", "submission_id#1:S job_id#2:S all_services#3:B version#4:u"
        ),
    ),
)

# ---- mirrorneuron.observability.v1, mirrorneuron.operations.v1 ----

OBSERVABILITY = Service(
    "mirrorneuron.observability.v1.ObservabilityService",
    (
        Method(
            "StreamEvents",
            message(
                "StreamEventsRequest",
                "job_id#1:S follow#2:B heartbeat_interval_ms#3:i limit#4:i version#5:u",
            ),
            message("EventResponse", "event_json#1:S version#2:u"),
            streams=True,
        ),
    ),
)

OPERATIONS = Service(
    "mirrorneuron.operations.v1.OperationsService",
    (
        Method(
            "StartOperation",
            message("StartOperationRequest", "kind#1:S options_json#2:S version#3:u"),
            message("StartOperationResponse", "operation_json#1:S version#2:u"),
        ),
        Method(
            "GetOperation",
            message("GetOperationRequest", "operation_id#1:S version#2:u"),
            message("GetOperationResponse", "operation_json#1:S version#2:u"),
        ),
        Method(
            "StreamOperationEvents",
            message(
                "StreamOperationEventsRequest",
                "operation_id#1:S after_sequence#2:l follow#3:B heartbeat_interval_ms#4:i"
                " version#5:u",
            ),
            message("OperationEventResponse", "event_json#1:S version#2:u"),
            streams=True,
        ),
    ),
)

SERVICES = (JOB_V1, JOB_V2, CLUSTER, OBSERVABILITY, OPERATIONS)
