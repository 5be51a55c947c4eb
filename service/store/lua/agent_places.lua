-- agent_places(agent): the names of all indexes an agent belongs into as it is now; none for one that does not exist.
-- file_agent(agent, before): brings the indexes up to date with what an agent is now; before: its places until now.
-- agent_times(agent): where it stands in the orders that move: {order and shelf, member} of each.
-- order_agent(agent, before): moves it there; before: what agent_times gave until now.
-- include: filing
local MOVING = {'updated_at', 'last_run_completion'}

local function agent_shelf(agent)
  return shelf(redis.call('HGET', K.agent(agent), 'hidden'), '')
end

local function agent_places(agent)
  local hash = redis.call('HMGET', K.agent(agent), 'places', 'identity_ids', 'last_stop_reason')
  if not hash[1] then return {} end
  local on = agent_shelf(agent)
  local places = {}
  for _, place in ipairs(cjson.decode(hash[1])) do table.insert(places, on .. place) end
  for _, identity in ipairs(cjson.decode(hash[2] or '[]')) do table.insert(places, on .. 'identity:' .. identity) end
  if hash[3] then table.insert(places, on .. 'stop:' .. hash[3]) end
  return places
end

local function file_agent(agent, before)
  refile(K.agents_filed, before, agent_places(agent), redis.call('HGET', K.agent(agent), 'seq'), agent)
end

local function agent_times(agent)
  local times = {}
  if redis.call('HEXISTS', K.agent(agent), 'places') == 0 then return times end
  local on = agent_shelf(agent)
  for _, name in ipairs(MOVING) do
    local at = redis.call('HGET', K.agent(agent), name) or '0'
    table.insert(times, {on .. name, string.rep('0', 16 - #at) .. at .. ':' .. agent})
  end
  return times
end

local function order_agent(agent, before)
  for _, time in ipairs(before) do redis.call('ZREM', K.agents_ordered(time[1]), time[2]) end
  for _, time in ipairs(agent_times(agent)) do redis.call('ZADD', K.agents_ordered(time[1]), 0, time[2]) end
end
