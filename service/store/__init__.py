"""The store: the only folder that knows Redis.

`keys` names everything that is kept, `lua` holds the scripts that write it, `client`
is the connection; each other module is a noun's door to its scripts. README.md tells
a person at redis-cli what lies where.
"""
