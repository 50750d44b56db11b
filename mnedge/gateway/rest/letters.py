"""Dead letters: messages that nobody could take."""

from starlette.responses import Response

from mnedge.gateway.rest import shapes
from mnedge.gateway.rest.checking import Query
from mnedge.gateway.rest.jobs import found_view, plain
from mnedge.gateway.rest.routing import Answer, Call, Route, Work, json_reply
from mnedge.gateway.rest.steering import Reason, WaitQuery, acted
from mnedge.model.access import Scope
from mnedge.model.states import Verb
from mnedge.runtime import answers


async def list_letters(call: Call[Query, None]) -> Response:
    """Return the dead letters of a job, the oldest first."""
    view = await found_view(call)
    return json_reply(plain(shapes.Listed(data=view.dead_letters)))


def disposed(verb: Verb) -> Work:
    """Return what does this with one dead letter, or with `all`."""

    async def dispose(call: Call[WaitQuery, Reason]) -> Response:
        view = await found_view(call)
        named = call.path["message_id"]
        request, letters = await answers.dispose(
            call.backend.store,
            view,
            verb,
            answers.EVERY if named == "all" else named,
            now=call.backend.now,
            by=call.principal.name,
        )
        _, done = await acted(call, request, call.query.wait if view.holder else 0)
        if done:
            answers.refuse_letters_left(await found_view(call), letters)
        told = shapes.Disposed(
            job_id=request.job_id,
            verb=str(verb),
            message_ids=[str(one["message_id"]) for one in letters],
            settled=done,
        )
        return json_reply(told, 200 if done else 202)

    return dispose


def _route(word: str, verb: Verb, summary: str) -> Route:
    return Route(
        method="POST",
        path=f"/jobs/{{job_id}}/dead-letters/{{message_id}}/{word}",
        work=disposed(verb),
        summary=summary,
        tag="dead letters",
        scope=Scope.OPERATE,
        query=WaitQuery,
        body=Reason,
        answers={200: Answer(body=shapes.Disposed), 202: Answer(body=shapes.Disposed)},
        refuses=(404, 409),
        noun="job",
        verb=str(verb),
        once=True,
    )


ROUTES = (
    Route(
        method="GET",
        path="/jobs/{job_id}/dead-letters",
        work=list_letters,
        summary="List the dead letters of a job",
        tag="dead letters",
        answers={200: Answer(body=shapes.Listed)},
        refuses=(404,),
    ),
    _route("retry", Verb.REDRIVE, "Deliver a dead letter again, or `all`"),
    _route("discard", Verb.DISCARD, "Forget a dead letter, or `all`"),
)
