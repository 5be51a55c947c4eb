-- mark_ready(agent): an idle agent becomes ready under a new generation. Returns {generation, pool} or nil.
-- One that waits for its caller's word, or is paused, stays idle, whatever its inbox holds.
-- raise(agent): the same whatever its state was: whoever held the lease is fenced off.
-- A generation belongs to the line of writes it was raised on. On a new one it goes on from the clock: a count that
-- a failover has set back would be given twice, to a worker of before and to one of after.
-- taken(agent): an agent does not wait for a worker any more. change_pool(agent, pool): it belongs to another pool, and
-- waits there for as long as it has. Since when agents wait their pools know; `ready` tells when they were named last.
-- include: clock
-- include: lineage
local POOLS_MOST = 200
local POOL_SECONDS = 86400

local function line_up(agent, pool, since)
  redis.call('ZADD', K.queued(pool), 'NX', since, agent)
  if redis.call('SCARD', K.pools()) < POOLS_MOST then redis.call('SADD', K.pools(), pool) end
  redis.call('EXPIRE', K.pools(), POOL_SECONDS)
end

local function taken(agent)
  redis.call('ZREM', K.ready(), agent)
  redis.call('ZREM', K.queued(redis.call('HGET', K.agent_state(agent), 'pool') or 'default'), agent)
end

local function change_pool(agent, pool)
  local before = redis.call('HGET', K.agent_state(agent), 'pool') or 'default'
  local since = redis.call('ZSCORE', K.queued(before), agent)
  if since and before ~= pool then
    redis.call('ZREM', K.queued(before), agent)
    line_up(agent, pool, since)
  end
  redis.call('HSET', K.agent_state(agent), 'pool', pool)
end

local function raise(agent)
  local state = K.agent_state(agent)
  local known = redis.call('HMGET', state, 'generation', 'lineage')
  local next = tonumber(known[1] or '0') + 1
  if (known[2] or '') ~= lineage() then next = math.max(next, tonumber(MICROS)) end
  local generation = string.format('%.0f', next)
  redis.call('HSET', state, 'generation', generation, 'lineage', lineage(), 'status', 'ready', 'worker', '')
  redis.call('ZREM', K.leases(), agent)
  local pool = redis.call('HGET', state, 'pool') or 'default'
  redis.call('ZADD', K.ready(), MILLIS, agent)
  line_up(agent, pool, MILLIS)
  return {generation, pool}
end

local function mark_ready(agent)
  local status = redis.call('HGET', K.agent_state(agent), 'status')
  if status and status ~= 'idle' then return nil end
  if redis.call('HGET', K.agent_state(agent), 'pending') then return nil end
  if redis.call('HGET', K.agent(agent), 'paused_at') then return nil end
  return raise(agent)
end
