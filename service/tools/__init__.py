"""Tools: what models may call: those built in, how calls are read, rules that steer them, schemas.

All of it is pure. Elsewhere: tools of people's own (toolbox.py), an agent's (agent_tools.py), calls that
people ask for (tool_runs.py), and what carries calls out (workers/tools).
"""
