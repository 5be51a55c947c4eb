-- Deletes an agent, its messages and subscriptions; its blocks stay, only detached. Runs not ended are cancelled.
--
-- ARGV  1 agent  2 author as JSON  3 changes kept  4 seconds runs are kept
-- Reply {'ok', agent, generation, pool, …} (agents that waited for this one)  {'missing'}
-- include: attachment
-- include: run_end
-- include: later
-- include: subscription_filing
local agent = ARGV[1]
if redis.call('EXISTS', K.agent(agent)) == 0 then return {'missing'} end
for _, block in ipairs(redis.call('HVALS', K.agent_blocks(agent))) do detach(agent, block, ARGV[2], ARGV[3]) end
local open = redis.call('LRANGE', K.agent_inbox(agent), 0, -1)
local current = redis.call('HGET', K.agent_state(agent), 'run_id')
if current then table.insert(open, current) end
for _, run in ipairs(redis.call('ZRANGE', K.agent_later(agent), 0, -1)) do
  drop_later(agent, run)
  table.insert(open, run)
end
for _, run in ipairs(open) do run_end(agent, run, 'cancelled', 'cancelled', '', ARGV[4]) end
for _, run in ipairs(redis.call('ZRANGE', K.agent_runs(agent), 0, -1)) do run_unlisted(agent, run) end
for _, id in ipairs(redis.call('SMEMBERS', K.subscriptions_filed('agent:' .. agent))) do drop_subscription(id, agent) end
for _, step in ipairs(redis.call('ZRANGE', K.agent_steps(agent), 0, -1)) do step_unlisted(agent, step) end
for _, message in ipairs(redis.call('ZRANGE', K.agent_messages(agent), 0, -1)) do
  redis.call('ZREM', K.messages(), message)
  redis.call('HDEL', K.message_agents(), message)
end
redis.call('ZREM', K.agents(), agent)
gone('agents', agent, redis.call('HGET', K.agent(agent), 'seq'))
refile(K.agents_filed, agent_places(agent), {}, '', agent)
for _, time in ipairs(agent_times(agent)) do redis.call('ZREM', K.agents_ordered(time[1]), time[2]) end
taken(agent)
redis.call('ZREM', K.leases(), agent)
redis.call('ZREM', K.waits(), agent)
redis.call('ZREM', K.held(), agent)
redis.call('ZREM', K.approvals(), agent)
redis.call('ZREM', K.wakes(), agent)
redis.call('DEL', K.agent(agent), K.agent_state(agent), K.agent_blocks(agent), K.agent_inbox(agent), K.agent_later(agent),
  K.agent_woken(agent), K.agent_messages(agent), K.agent_bodies(agent), K.agent_context(agent), K.agent_runs(agent),
  K.agent_steps(agent), K.agent_awaits(agent), K.agent_spent(agent), K.agent_parked(agent))
return with_woken('ok')
