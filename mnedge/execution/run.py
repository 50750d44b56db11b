"""One run of an attempt in a workspace of its own: what is put there, started, and brought back."""

from collections.abc import Callable, Sequence
from typing import Any

import trio
from msgspec import structs

from mnedge.execution import preparation, sdk, staging
from mnedge.execution.beacons import Beacons, beacon_settings
from mnedge.execution.environment import DEFAULT_MAX_COMMAND_BYTES, positive, whole
from mnedge.execution.equipment import Equipment
from mnedge.execution.order import AttemptOrder
from mnedge.execution.output import NOTHING_SAID, Said, hidden, said, understood
from mnedge.execution.preparation import Place
from mnedge.execution.results import result_map, truncations, worker_secrets_in
from mnedge.execution.selection import Chosen
from mnedge.execution.step_result import VARIABLE, NotReadyError, result_file
from mnedge.execution.watch import Watch
from mnedge.model.facts import NamedEvent
from mnedge.model.manifest import Agent
from mnedge.model.resources import Device
from mnedge.model.states import OutcomeStatus
from mnedge.ports import Finished, Launch

MAX_OUTPUT_BYTES = 1 << 20
DEFAULT_GRACE_S = 5.0


class Run:
    """One run of a launch, in a workspace of its own."""

    def __init__(
        self,
        equipment: Equipment,
        order: AttemptOrder,
        agent: Agent,
        chosen: Chosen,
        number: int,
        tell: Callable[[str, dict[str, Any]], None],
        lent: Sequence[Device] = (),
    ) -> None:
        self._equipment = equipment
        self._order = order
        self._agent = agent
        self._chosen = chosen
        self._tell = tell
        self._lent = lent
        self._beacons = beacon_settings(
            agent.config, order.command.workflow.get("heartbeat_timeout_ms")
        )
        self._identity = preparation.identity_of(order, agent, number)
        self._result_file = result_file(agent.config, order.job.job_id, order.command, number)
        self._secrets: tuple[str, ...] = ()

    async def stage(self, workspace: str, documents: staging.Documents) -> Launch:
        """Fill the workspace; return what is to be started in it.

        Raises: RefusedError, OSError.
        """
        job, config = self._order.job, self._agent.config
        await self._copy(staging.uploads(config, job.payloads), workspace)
        staging.write_documents(workspace, documents, with_meta=self._chosen.braces_doubled)
        place = Place(workspace, staging.workdir(config, workspace))
        if preparation.config_is_large(job):
            staging.write_file(place.file(preparation.CONFIG_FILE), job.config_json.encode())
        command = preparation.command(
            self._order,
            self._agent,
            place,
            double=self._chosen.braces_doubled,
            max_bytes=self._equipment.setting("MAX_COMMAND_LENGTH") or DEFAULT_MAX_COMMAND_BYTES,
        )
        python = await self._equipment.python.variables(
            config, job.payloads, blueprint_id=job.spec.blueprint_id, job_id=job.job_id
        )
        environment = preparation.environment(
            self._order,
            self._agent,
            place,
            self._equipment.config,
            self._equipment.host,
            self._beacons,
            self._identity,
            python,
            self._equipment.device_variables(self._lent),
        )
        if self._result_file is not None:
            self._result_file.prepare()
            environment.setdefault(VARIABLE, self._result_file.path)
        self._secrets = worker_secrets_in(self._equipment.config.environ, config, environment)
        command = await self._equipment.python.settle(command, environment, job.job_id)
        await self._bring_sdk(command, environment, place)
        return self._launch(place, command, environment)

    async def carry(self, launch: Launch, publish: Callable[[NamedEvent], None]) -> Finished:
        """Run it under watch, and tell what it said too much."""
        started_at = trio.current_time()
        beacons = Beacons(
            self._beacons,
            self._identity,
            elapsed_s=lambda: trio.current_time() - started_at,
            date=self._equipment.now,
            tell=self._tell,
        )
        watch = Watch(self._chosen.runner, launch, beacons, secrets=self._secrets, publish=publish)
        finished = await watch.run()
        is_read = finished.status is OutcomeStatus.SUCCEEDED and self._result_file is None
        for told in truncations(finished, launch, stdout_is_read=is_read):
            self._tell("executor_output_truncated", told)
        return finished

    async def answer(self, finished: Finished) -> tuple[Finished, Said]:
        """Return what the worker said: in its result file, else on stdout.

        A run without the result that it owes has failed.
        """
        if finished.status is not OutcomeStatus.SUCCEEDED:
            return finished, NOTHING_SAID
        if self._result_file is None:
            text = finished.stdout.decode(errors="replace")
            return finished, said(hidden(text, self._secrets))
        try:
            value = await trio.to_thread.run_sync(
                self._result_file.read, self._secrets, limiter=self._equipment.copying
            )
        except NotReadyError as missing:
            error = f"artifact_not_ready: {missing}"
            failed = structs.replace(finished, status=OutcomeStatus.FAILED, error=error)
            return failed, NOTHING_SAID
        return finished, understood(value)

    def result(self, launch: Launch, finished: Finished) -> dict[str, Any]:
        """Return the result map, or the error map."""
        return result_map(
            finished, launch, self._chosen.runner, self._equipment.config.node, self._secrets
        )

    async def _bring_sdk(
        self, command: tuple[str, ...] | str, environment: dict[str, str], place: Place
    ) -> None:
        """Put a stand-in for the SDK on the path of a worker that needs it and lacks it."""
        if not sdk.is_wanted(self._agent.config) or sdk.comes_along(place.workdir):
            return
        equipment = self._equipment
        if not await equipment.python.has_sdk(command, environment, self._order.job.job_id):
            folder = sdk.stand_in(equipment.config.data_dir)
            environment["PYTHONPATH"] = sdk.with_path(environment, folder)

    async def _copy(self, uploads: list[staging.Upload], workspace: str) -> None:
        payloads = self._order.job.payloads
        if not uploads or payloads is None:
            return
        if staging.is_small(uploads):
            staging.copy_uploads(uploads, workspace, payloads)
        else:
            await trio.to_thread.run_sync(
                staging.copy_uploads,
                uploads,
                workspace,
                payloads,
                limiter=self._equipment.copying,
            )

    def _launch(
        self, place: Place, command: tuple[str, ...] | str, environment: dict[str, str]
    ) -> Launch:
        job, asked, config = self._order.job, self._order.command, self._agent.config
        cap = self._equipment.setting("MAX_ARTIFACT_BYTES")
        return Launch(
            token=f"{job.job_id}/{asked.attempt_id}/{asked.launch}",
            name=staging.sandbox_name(config.get("name_prefix"), job.job_id, asked.agent_id),
            command=command,
            workspace=place.workspace,
            workdir=place.workdir,
            environment=environment,
            timeout_s=positive(config.get("timeout_seconds")),
            grace_s=DEFAULT_GRACE_S,
            max_output_bytes=whole(config.get("max_output_bytes"), whole(cap, MAX_OUTPUT_BYTES)),
            config=config,
        )
