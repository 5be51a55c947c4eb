-- Webhooks that have something to be told, and when: look_soon(id) has workers look at one as soon as nobody serves it;
-- mark_webhooks(ids, cursor) does for those that rest, whose position it moves up to the cursor; nothing_left(id): whether
-- one may rest; pause_webhook(id, reason); now_or_later(a, b): whether an id of a change is b's or comes after it.
-- include: clock
local function now_or_later(a, b)
  local epoch, n = string.match(a, '^(%d+)-(%d+)$')
  local other_epoch, other_n = string.match(b, '^(%d+)-(%d+)$')
  if epoch ~= other_epoch then return tonumber(epoch) > tonumber(other_epoch) end
  return tonumber(n) >= tonumber(other_n)
end

local function ring_webhooks() redis.call('PUBLISH', K.summons(), 'webhooks due') end

local function look_soon(id)
  local busy_until = tonumber(redis.call('HGET', K.webhook(id), 'busy_until') or '0')
  redis.call('ZADD', K.webhooks_due(), string.format('%d', math.max(MILLIS, busy_until)), id)
  ring_webhooks()
end

local function mark_webhooks(ids, cursor)
  local marked = false
  for _, id in ipairs(ids) do
    local found = redis.call('HMGET', K.webhook(id), 'on', 'position')
    if found[1] == '1' and not redis.call('ZSCORE', K.webhooks_due(), id) then
      if now_or_later(cursor, found[2]) then redis.call('HSET', K.webhook(id), 'position', cursor) end
      redis.call('ZADD', K.webhooks_due(), string.format('%d', MILLIS), id)
      marked = true
    end
  end
  if marked then ring_webhooks() end
end

local function nothing_left(id)
  if redis.call('LLEN', K.webhook_again(id)) > 0 then return false end
  local position = redis.call('HGET', K.webhook(id), 'position')
  if now_or_later(position, redis.call('GET', K.dispatched()) or '0-0') then return true end
  local newest = redis.call('XREVRANGE', K.changes(), '+', '-', 'COUNT', 1)
  return not newest[1] or now_or_later(position, newest[1][1])
end

local function pause_webhook(id, reason)
  redis.call('HSET', K.webhook(id), 'on', '0', 'paused_at', MICROS, 'paused_reason', reason)
  redis.call('ZREM', K.webhooks_due(), id)
end
