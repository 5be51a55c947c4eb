-- A run as it is, and once it has ended what it put into its agent's history; reads only.
--
-- ARGV  1 run
-- Reply {hash as a flat list, messages as JSON}  {} (there is no such run)
-- include: bodies
local run = redis.call('HGETALL', K.run(ARGV[1]))
if #run == 0 then return {} end
local status = redis.call('HGET', K.run(ARGV[1]), 'status')
if status == 'created' or status == 'running' then return {run, {}} end
local ids = redis.call('LRANGE', K.run_messages(ARGV[1]), 0, -1)
local agent = ids[1] and redis.call('HGET', K.message_agents(), ids[1])
return {run, agent and bodies(agent, ids) or {}}
