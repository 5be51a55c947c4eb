-- file_subscription(id, agent, place, wide): where changes find it; only by its place, or, of the few that are asked
-- about every change, by what it looks for. drop_subscription(id, agent): nothing of it is left.
local function unfile_subscription(id)
  local place = redis.call('HGET', K.subscription_state(id), 'place')
  if place then redis.call('SREM', K.subscriptions_filed(place), id) end
  redis.call('HDEL', K.subscriptions_wide(), id)
end

local function file_subscription(id, agent, place, wide)
  unfile_subscription(id)
  redis.call('HSET', K.subscription_state(id), 'place', place)
  if place ~= '' then redis.call('SADD', K.subscriptions_filed(place), id) end
  if wide ~= '' then redis.call('HSET', K.subscriptions_wide(), id, wide) end
  redis.call('SADD', K.subscriptions_filed('agent:' .. agent), id)
end

local function drop_subscription(id, agent)
  unfile_subscription(id)
  redis.call('HDEL', K.subscriptions(), id)
  redis.call('SREM', K.subscriptions_filed('agent:' .. agent), id)
  redis.call('DEL', K.subscription_state(id), K.subscription_told(id))
end
