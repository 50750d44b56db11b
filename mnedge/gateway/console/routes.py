"""Where the pages of the console lie."""

from starlette.routing import BaseRoute, Route

from mnedge.gateway.console import (
    identity_pages,
    job_actions,
    job_pages,
    manual_pages,
    node_pages,
    start_pages,
    work_pages,
)
from mnedge.gateway.console.faults import Handler, shown
from mnedge.gateway.console.statics import alive, static

_PAGES: dict[str, Handler] = {
    "/": node_pages.overview,
    "/nodes": node_pages.nodes,
    "/resources": node_pages.resources,
    "/slo": node_pages.goals,
    "/audit": node_pages.audit,
    "/jobs": job_pages.job_list,
    "/jobs/{job_id}": job_pages.job,
    "/jobs/{job_id}/events": job_pages.job_events,
    "/jobs/{job_id}/logs": job_pages.job_logs,
    "/jobs/{job_id}/artifacts": job_pages.job_artifacts,
    "/jobs/{job_id}/lineage": job_pages.job_lineage,
    "/approvals": work_pages.approvals,
    "/dead-letters": work_pages.letters,
    "/definitions": work_pages.definitions,
    "/definitions/{definition_id}": work_pages.definition,
    "/blueprints": start_pages.blueprints,
    "/blueprints/{blueprint_id}": start_pages.blueprint,
    "/submit": start_pages.submit_page,
    "/manual": manual_pages.manual,
    "/manual/{topic}": manual_pages.manual,
    "/sign-in": identity_pages.sign_in_page,
    "/whoami": identity_pages.who_am_i,
    "/health": alive,
    "/static/{name}": static,
}
_FORMS: dict[str, Handler] = {
    "/jobs/{job_id}/retry": job_actions.retry,
    "/jobs/{job_id}/human-requests/{request_id}/respond": job_actions.respond,
    "/blueprints/{blueprint_id}/run": start_pages.run_blueprint,
    "/definitions/{definition_id}/run": work_pages.run_definition,
    "/definitions/{definition_id}/archive": work_pages.archive_definition,
    "/submit": start_pages.submit,
    "/sign-in": identity_pages.sign_in,
    "/sign-out": identity_pages.sign_out,
    "/theme": identity_pages.theme,
}
_FORMS |= {f"/jobs/{{job_id}}/{verb}": job_actions.steered(verb) for verb in job_actions.STEERED}
_FORMS |= {
    f"/jobs/{{job_id}}/dead-letters/{{message_id}}/{verb}": job_actions.letter(verb)
    for verb in ("retry", "discard")
}
_FORMS |= {f"/alerts/{{name}}/{verb}": node_pages.alert(verb) for verb in ("silence", "test")}


def routes() -> list[BaseRoute]:
    """Return every page and form of the console.

    `faults.not_here` answers for addresses that are none of them.
    """
    found: list[BaseRoute] = [Route(path, shown(page)) for path, page in _PAGES.items()]
    found += [Route(path, shown(form), methods=["POST"]) for path, form in _FORMS.items()]
    return found
