-- bodies(agent, ids): the messages of these ids as JSON, in order; those that are gone are left out.
local BITE = 1000

local function bodies(agent, ids)
  local found = {}
  for first = 1, #ids, BITE do
    local bite = {unpack(ids, first, math.min(first + BITE - 1, #ids))}
    for _, body in ipairs(redis.call('HMGET', K.agent_bodies(agent), unpack(bite))) do
      if body then table.insert(found, body) end
    end
  end
  return found
end
