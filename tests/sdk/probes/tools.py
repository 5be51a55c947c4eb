"""Probes of tools: custom ones, the lists, and an agent's own."""

from tests.sdk.probes.probe import Found, Probe, ids, probe, unique

_SOURCE = '''
def {name}(number: int) -> int:
    """{words}

    Args:
        number (int): the number

    Returns:
        int: the outcome
    """
    return number {does}
'''


def source(name: str, words: str = "Add one.", does: str = "+ 1") -> str:
    return _SOURCE.format(name=name, words=words, does=does)


def name_of_its_own() -> str:
    return unique("add_one").replace("-", "_")


def made(p: Probe) -> Found:
    """A custom tool, made over HTTP."""
    found: Found = p.post("/v1/tools/", {"source_code": source(name_of_its_own()), "source_type": "python"})
    return found


def names(tools: list[Found]) -> list[str]:
    return sorted(str(tool["name"]) for tool in tools)


def check_runs(p: Probe, tool: Found, number: int, outcome: int) -> None:
    """An agent calls the tool and is told the outcome."""
    agent_id = p.agent(tool_ids=[tool["id"]])["id"]
    call = {"name": tool["name"], "arguments": {"number": number}}
    answer = p.tell(agent_id, {"calls": [call]}, {"text": "Done."})
    (told,) = [one for one in answer["messages"] if one["message_type"] == "tool_return_message"]
    assert (told["status"], str(told["tool_return"])) == ("success", str(outcome))


@probe("tools.create")
def create(p: Probe) -> None:
    name = name_of_its_own()
    tool = p.call(source_code=source(name), source_type="python", description="Adds one", tags=["maths"])
    found = p.get(f"/v1/tools/{tool['id']}")
    assert (found["name"], found["tags"], found["description"]) == (name, ["maths"], "Adds one")
    assert list(found["json_schema"]["parameters"]["properties"]) == ["number"]
    check_runs(p, found, 1, 2)


@probe("tools.create_from_function")
def create_from_function(p: Probe) -> None:
    check_runs(p, p.call(func={"$function": "double_it"}), 4, 8)


@probe("tools.upsert")
def upsert(p: Probe) -> None:
    name = name_of_its_own()
    first = p.call(source_code=source(name), source_type="python")
    second = p.call(source_code=source(name, "Add two.", "+ 2"), source_type="python")
    assert second["id"] == first["id"]
    check_runs(p, second, 1, 3)


@probe("tools.upsert_from_function")
def upsert_from_function(p: Probe) -> None:
    check_runs(p, p.call(func={"$function": "triple_it"}), 3, 9)


@probe("tools.add")
def add(p: Probe) -> None:
    check_runs(p, p.call(tool={"$function": "halve_it"}), 8, 4)


@probe("tools.retrieve")
def retrieve(p: Probe) -> None:
    (tool,) = p.get("/v1/tools/", name="memory_insert")
    assert p.call(tool_id=tool["id"])["name"] == "memory_insert"


@probe("tools.update")
def update(p: Probe) -> None:
    tool = made(p)
    p.call(tool_id=tool["id"], description="Another", tags=["new"])
    found = p.get(f"/v1/tools/{tool['id']}")
    assert (found["description"], found["tags"], found["name"]) == ("Another", ["new"], tool["name"])


@probe("tools.delete")
def delete(p: Probe) -> None:
    tool = made(p)
    p.call(tool_id=tool["id"])
    assert p.get("/v1/tools/", name=tool["name"]) == []


@probe("tools.list")
def find(p: Probe) -> None:
    assert names(p.call(name="memory_insert")) == ["memory_insert"]
    assert {"conversation_search", "memory_replace"} <= set(names(p.call()))


@probe("tools.count")
def count(p: Probe) -> None:
    before = len(p.get("/v1/tools/"))
    counted = p.call()
    assert counted >= min(before, len(p.get("/v1/tools/"))) > 0  # other SDKs make tools meanwhile
    assert p.call(name="memory_insert") == 1


@probe("tools.search")
def search(p: Probe) -> None:
    assert "memory_insert" in str(p.call(query="memory insert", search_mode="fts"))


@probe("tools.run_tool_from_source")
def run_from_source(p: Probe) -> None:
    ran = p.call(source_code=source("add_one"), args={"number": 41}, source_type="python")
    assert (ran["status"], str(ran["tool_return"])) == ("success", "42")


@probe("tools.upsert_base_tools")
def upsert_base_tools(p: Probe) -> None:
    assert {"memory_insert", "conversation_search"} <= set(names(p.call()))


@probe("agents.tools.list")
def of_agent(p: Probe) -> None:
    agent = p.agent(tools=["memory_insert"], include_base_tools=False)
    assert names(p.call(agent_id=agent["id"])) == ["memory_insert"]


@probe("agents.tools.attach")
def attach(p: Probe) -> None:
    agent, (tool,) = p.agent(include_base_tools=False), p.get("/v1/tools/", name="memory_insert")
    p.call(agent_id=agent["id"], tool_id=tool["id"])
    assert names(p.get(f"/v1/agents/{agent['id']}/tools")) == ["memory_insert"]
    assert "memory_insert" in str(p.tell(agent["id"], {"echo": "tools"})["messages"])


@probe("agents.tools.detach")
def detach(p: Probe) -> None:
    agent = p.agent(tools=["memory_insert"], include_base_tools=False)
    (tool,) = p.get("/v1/tools/", name="memory_insert")
    p.call(agent_id=agent["id"], tool_id=tool["id"])
    assert ids(p.get(f"/v1/agents/{agent['id']}/tools")) == []
    assert "memory_insert" not in str(p.tell(agent["id"], {"echo": "tools"})["messages"])


@probe("agents.tools.update_approval")
def update_approval(p: Probe) -> None:
    """The next call of the tool waits for its approval."""
    agent = p.agent(p.block(label="notes", value="")["id"])
    name = "requires_approval" if p.sdk.generation == "old" else "body_requires_approval"
    p.call(agent_id=agent["id"], tool_name="memory_insert", **{name: True})
    rules = [(rule["type"], rule["tool_name"]) for rule in p.shown(agent["id"])["tool_rules"]]
    assert ("requires_approval", "memory_insert") in rules
    call = {"name": "memory_insert", "arguments": {"label": "notes", "new_string": "Noted."}}
    answer = p.tell(agent["id"], {"calls": [call]})
    assert answer["stop_reason"]["stop_reason"] == "requires_approval"


@probe("agents.tools.run")
def run(p: Probe) -> None:
    tool = made(p)
    agent = p.agent(tool_ids=[tool["id"]])
    ran = p.call(agent_id=agent["id"], tool_name=tool["name"], args={"number": 41})
    assert (ran["status"], str(ran["func_return"])) == ("success", "42")
