-- begin_wake(agent, run, record, reply): a wake-up into an agent's inbox, unless one waits there unread; an agent that
-- became ready is added to the reply.
-- wake_later(agent, subscription): when it is due by what its subscriptions say of bursts; unwait(agent): not any more.
-- cut(subscription, reason): one change that woke nobody. spend(subscription, rate): counts a wake-up of this minute;
-- false, and cut, when there were too many.
-- include: send
local function begin_wake(agent, run, record, reply)
  if redis.call('HGET', K.agent_state(agent), 'wake_run') then return end
  redis.call('HSET', K.agent_state(agent), 'wake_run', run)
  local woken = send(agent, run, record, '')
  if woken then
    for _, word in ipairs({agent, woken[1], woken[2]}) do table.insert(reply, word) end
  end
end

local function unwait(agent)
  redis.call('ZREM', K.wakes(), agent)
  redis.call('HDEL', K.agent_state(agent), 'wake_by', 'wake_for', 'wake_rate')
end

local function wake_later(agent, subscription)
  local state = K.agent_state(agent)
  local by = MILLIS + tonumber(subscription.max_wait)
  local before = redis.call('HGET', state, 'wake_by')
  if before then by = math.min(by, tonumber(before)) end
  local due = math.min(by, MILLIS + tonumber(subscription.debounce))
  redis.call('ZADD', K.wakes(), string.format('%d', due), agent)
  redis.call('HSET', state, 'wake_by', string.format('%d', by), 'wake_for', subscription.id, 'wake_rate', subscription.rate)
end

local function cut(subscription, reason, count)
  local state = K.subscription_state(subscription)
  local before = redis.call('HGET', state, 'cut_reason')
  if not before then redis.call('HSET', state, 'cut_at', MICROS) end
  if before ~= 'rate' then redis.call('HSET', state, 'cut_reason', reason) end
  redis.call('HINCRBY', state, 'cut_changes', count)
end

local function spend(subscription, rate)
  local state = K.subscription_state(subscription)
  local minute = string.format('%d', math.floor(MILLIS / 60000))
  if redis.call('HGET', state, 'minute') ~= minute then redis.call('HSET', state, 'minute', minute, 'woken', '0') end
  if tonumber(redis.call('HGET', state, 'woken')) >= tonumber(rate) then
    cut(subscription, 'rate', 0)
    return false
  end
  redis.call('HINCRBY', state, 'woken', 1)
  return true
end
