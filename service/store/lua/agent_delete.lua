-- Deletes an agent, its messages and subscriptions; its blocks stay, only detached. Runs not ended are cancelled.
--
-- ARGV  1 agent  2 name  3 tags as JSON  4 subscriptions as JSON  5 author as JSON  6 changes kept  7 seconds runs are kept
-- Reply {'ok'}  {'missing'}
-- include: attachment
-- include: run_end
local agent = ARGV[1]
if redis.call('EXISTS', K.agent(agent)) == 0 then return {'missing'} end
for _, block in ipairs(redis.call('HVALS', K.agent_blocks(agent))) do detach(agent, block, ARGV[5], ARGV[6]) end
local open = redis.call('LRANGE', K.agent_inbox(agent), 0, -1)
local current = redis.call('HGET', K.agent_state(agent), 'run_id')
if current then table.insert(open, current) end
for _, run in ipairs(open) do run_end(agent, run, 'cancelled', 'cancelled', '', ARGV[7]) end
for _, run in ipairs(redis.call('ZRANGE', K.agent_runs(agent), 0, -1)) do redis.call('ZREM', K.runs(), run) end
for _, subscription in ipairs(cjson.decode(ARGV[4])) do redis.call('HDEL', K.subscriptions(), subscription) end
redis.call('ZREM', K.agents(), agent)
redis.call('ZREM', K.agents_named(ARGV[2]), agent)
for _, tag in ipairs(cjson.decode(ARGV[3])) do redis.call('ZREM', K.agents_tagged(tag), agent) end
redis.call('ZREM', K.ready(), agent)
redis.call('ZREM', K.leases(), agent)
redis.call('DEL', K.agent(agent), K.agent_state(agent), K.agent_blocks(agent), K.agent_inbox(agent),
  K.agent_woken(agent), K.agent_messages(agent), K.agent_bodies(agent), K.agent_context(agent), K.agent_runs(agent))
return {'ok'}
