"""Questions in the store: put, taken once, answered, each in a hash that ends by itself."""

from service.errors import BudgetSpent
from service.records.budgets import Budget
from service.records.questions import Answer, Question
from service.store.budgets import limits_of, spent_of
from service.store.client import StoreClient
from service.store.keys import key


class QuestionStore:
    """One door to the scripts on questions."""

    def __init__(self, store: StoreClient, budget: Budget | None = None) -> None:
        self._store = store
        self._limits = limits_of(budget)

    async def put(self, ws: str, id: str, question: Question, seconds: int) -> None:
        await self._store.run("question_put", ws, id, question.model_dump_json(), seconds)

    async def take(self, ws: str, id: str) -> Question | None:
        """Raises BudgetSpent for one that was taken and is not to be asked."""
        reply = await self._store.run("question_take", ws, id, *self._limits)
        if reply[0] == "spent":
            raise BudgetSpent(spent_of(reply[1:]).told())
        return Question.model_validate_json(reply[1]) if reply[0] == "ok" else None

    async def answer(self, ws: str, id: str, answer: Answer, asked: bool) -> bool:
        """False when nobody waits for it any more. `asked`: whether that took a model call."""
        used = (answer.usage.total_tokens, 1 if asked else 0)
        reply = await self._store.run("question_answer", ws, id, answer.model_dump_json(), *used)
        return bool(reply[0] == "ok")

    async def drop(self, ws: str, id: str) -> None:
        await self._store.run("question_drop", ws, id)

    async def look(self, ws: str, id: str) -> tuple[bool, Answer | None]:
        """Whether a worker has it, and its answer."""
        hash = await self._store.hash(key(ws, "question", id))
        answer = Answer.model_validate_json(hash["answer"]) if "answer" in hash else None
        return hash.get("status") in ("taken", "answered"), answer
