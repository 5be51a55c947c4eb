"""Questions: one model call for somebody who waits for it, beside all agents' runs.

With a schema the model is given one tool whose arguments have it and must call
that: every provider knows how to ask for such a call.
"""

import structlog

from service.bootstrap import Service
from service.errors import BudgetSpent, Invalid, UnknownModel
from service.records.messages import Message
from service.records.questions import Answer, Question
from service.records.runs import ModelReply, RunError
from workers.budgets import budget_error
from workers.models.base import ModelError, ModelRequest, ToolSpec
from workers.models.registry import Models

log = structlog.get_logger()

TOOL = "answer"


class Questioner:
    """Asks models what is waiting; one instance per worker process."""

    def __init__(self, service: Service, models: Models) -> None:
        self._service = service
        self._models = models

    async def carry(self, ws: str, id: str) -> None:
        """One question to its answer, unless somebody else has it. Raises StoreUnreachable."""
        try:
            question = await self._service.questions.take(ws, id)
        except BudgetSpent as refusal:
            log.error("question.overspent", error=str(refusal))
            refused = Answer(error=budget_error(str(refusal)))
            await self._service.questions.answer(ws, id, refused, asked=False)
            return
        if question is None:
            return
        try:
            answer = await self._ask(question)
        except ModelError as failure:
            answer = Answer(error=failure.as_run_error())
        except (Invalid, UnknownModel) as refusal:
            answer = Answer(error=RunError(type="llm_bad_request", message=str(refusal)))
        waited_for = await self._service.questions.answer(ws, id, answer)
        log.info("question.answered", failed=answer.error is not None, waited_for=waited_for)

    async def _ask(self, question: Question) -> Answer:
        entry, model = await self._models.for_handle(question.model)
        tools = []
        if question.response_schema is not None:
            tools = [
                ToolSpec(name=TOOL, description="Gives your answer.", parameters=question.response_schema)
            ]
        most = entry.max_output if question.max_tokens is None else min(question.max_tokens, entry.max_output)
        request = ModelRequest(
            model=entry.name,
            system=question.system,
            messages=[Message(id="", agent_id="", role="user", content=question.prompt, created_at=0)],
            tools=tools,
            tool_choice="required" if tools else "auto",
            max_tokens=most,
            temperature=question.temperature,
        )
        reply = await model.answer(request)
        content = _structured(question, reply) if tools else reply.text
        return Answer(content=content, model=question.model, usage=reply.usage)


def _structured(question: Question, reply: ModelReply) -> str:
    called = [call.arguments for call in reply.tool_calls if call.name == TOOL]
    if not called:
        words = f"{question.model} did not answer in the form of response_schema; ask again, or another model"
        raise ModelError("llm_error", words)
    return called[0]
