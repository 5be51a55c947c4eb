"""Questions: model calls that belong to no agent's conversation.

Whoever asks waits; a worker takes the question, asks the model and leaves the
answer. It waits behind no run and changes no agent. A question is taken once: a
worker that dies with it leaves whoever asked to their time-out, and one that
nobody waits for any more is not asked.

Elsewhere: who asks the model (workers/questions.py).
"""

import asyncio
from contextlib import suppress
from time import monotonic

from service.errors import TooLate
from service.queue import Queue
from service.records.ids import new_id
from service.records.questions import Answer, Question
from service.settings import Settings
from service.store.bell import Bell
from service.store.client import StoreClient
from service.store.keys import key
from service.store.questions import QuestionStore

TAKEN_WITHIN_S = 60.0
GRACE_S = 30.0
LOOK_AGAIN_S = 5.0


class Questions:
    """The room of questions, for those who ask and those who answer."""

    def __init__(self, store: StoreClient, settings: Settings, queue: Queue, bell: Bell) -> None:
        self._store = QuestionStore(store, settings.budget)
        self._queue = queue
        self._bell = bell
        self._answered_within_s = settings.model_timeout_s + GRACE_S

    async def ask(self, ws: str, question: Question, pool: str) -> Answer:
        """The answer of a worker of that pool. Raises TooLate, StoreUnreachable."""
        id = new_id("question")
        kept = int(TAKEN_WITHIN_S + self._answered_within_s + GRACE_S)
        async with self._bell.listen(key(ws, "output"), id) as rings:
            await self._store.put(ws, id, question, kept)
            try:
                await self._queue.put_answer(ws, id, pool)
                return await self._answer(ws, id, rings)
            finally:
                await self._store.drop(ws, id)

    async def take(self, ws: str, id: str) -> Question | None:
        """A question, for the one worker that is to ask it.

        Raises BudgetSpent for one that it has taken and is to answer without asking.
        """
        return await self._store.take(ws, id)

    async def answer(self, ws: str, id: str, answer: Answer, *, asked: bool = True) -> bool:
        """Leaves the answer. False when nobody waits for it any more. `asked`: a model was asked for it."""
        return await self._store.answer(ws, id, answer, asked)

    async def _answer(self, ws: str, id: str, rings: "asyncio.Queue[str | None]") -> Answer:
        began = monotonic()
        while True:
            taken, answer = await self._store.look(ws, id)
            if answer is not None:
                return answer
            waited = monotonic() - began
            if not taken and waited >= TAKEN_WITHIN_S:
                raise TooLate(f"no worker took this within {TAKEN_WITHIN_S:g} s: is one running, and free?")
            if waited >= TAKEN_WITHIN_S + self._answered_within_s:
                raise TooLate("the worker that took this was lost, or its model never answered; ask again")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await rings.get()
