-- An agent that is `waiting` has asked others and given its lease back; agent_awaits names the runs it waits for.
-- woken: {agent, generation, pool, …}, those that this script made go on; they belong into its reply.
-- go_on(agent): a waiting agent becomes ready. replied(run): whoever awaits this run goes on if it was the last.
-- include: ready
local woken = {}

local function go_on(agent)
  local run = redis.call('HGET', K.agent_state(agent), 'run_id')
  redis.call('ZREM', K.waits(), agent)
  redis.call('HDEL', K.run(run), 'waiting_for', 'waiting_until')
  local back = raise(agent)
  for _, word in ipairs({agent, back[1], back[2]}) do table.insert(woken, word) end
  return back
end

local function is_waiting(agent)
  return redis.call('HGET', K.agent_state(agent), 'status') == 'waiting'
end

local function replied(run)
  local asker = redis.call('HGET', K.run(run), 'reply_to')
  if not asker or redis.call('HDEL', K.agent_awaits(asker), run) == 0 then return end
  if is_waiting(asker) and redis.call('EXISTS', K.agent_awaits(asker)) == 0 then go_on(asker) end
end

-- with_woken(…): a reply of this and all that this script made go on.
local function with_woken(...)
  local reply = {...}
  for _, word in ipairs(woken) do table.insert(reply, word) end
  return reply
end
