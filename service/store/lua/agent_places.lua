-- agent_places(agent): the names of all indexes an agent belongs into as it is now; none for one that does not exist.
-- file_agent(agent, before): brings the indexes up to date with what an agent is now; before: its places until now.
-- agent_times(agent): where it stands in the orders that move: {order and shelf, member} of each.
-- order_agent(agent, before): moves it there; before: what agent_times gave until now.
-- include: filing
local MOVING = {'updated_at', 'last_run_completion'}

local function agent_places(agent)
  local hash = redis.call('HMGET', K.agent(agent), 'places', 'identity_ids', 'last_stop_reason', 'hidden')
  if not hash[1] then return {} end
  local on = shelf(hash[4], '')
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
  local hash = redis.call('HMGET', K.agent(agent), 'places', 'hidden', unpack(MOVING))
  if not hash[1] then return times end
  local on = shelf(hash[2], '')
  for i, name in ipairs(MOVING) do
    local at = hash[2 + i] or '0'
    table.insert(times, {on .. name, string.rep('0', 16 - #at) .. at .. ':' .. agent})
  end
  return times
end

local function order_agent(agent, before)
  local after = agent_times(agent)
  for i = 1, #MOVING do
    local was, is = before[i], after[i]
    if not (was and is and was[1] == is[1] and was[2] == is[2]) then
      if was then redis.call('ZREM', K.agents_ordered(was[1]), was[2]) end
      if is then redis.call('ZADD', K.agents_ordered(is[1]), 0, is[2]) end
    end
  end
end
