-- Gives webhooks that have something to be told to one worker, each for a while: if nothing is heard of it by then,
-- another one takes it. What its receiver was to get again (a dead letter, a ping) comes before what is new.
--
-- ARGV  1 most to take  2 for how many ms
-- Reply {ms until the next is due ('' if none is), {webhook, number, as JSON, position, secret, old secret or '',
--       delivery or '', its hash as field, value, …}, …}
-- include: webhook_due

-- The delivery under way, or else the next that is to be sent again.
local function under_way(id)
  local found = redis.call('HGET', K.webhook(id), 'delivery')
  while not found do
    found = redis.call('LPOP', K.webhook_again(id))
    if not found then return '' end
    if redis.call('EXISTS', K.delivery(found)) == 1 then
      redis.call('HSET', K.webhook(id), 'delivery', found)
      redis.call('HSET', K.delivery(found), 'began', string.format('%d', MILLIS))
    else
      found = nil
    end
  end
  return found
end

local reply = {''}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.webhooks_due(), '-inf', MILLIS, 'LIMIT', 0, tonumber(ARGV[1]))) do
  local hook, until_ms = K.webhook(id), string.format('%d', MILLIS + tonumber(ARGV[2]))
  local number = string.format('%d', redis.call('HINCRBY', hook, 'claim', 1))
  redis.call('HSET', hook, 'busy_until', until_ms)
  redis.call('ZADD', K.webhooks_due(), until_ms, id)
  local delivery = under_way(id)
  local found = redis.call('HMGET', hook, 'position', 'secret', 'old_secret', 'old_until')
  local old = tonumber(found[4] or '0') > MILLIS and found[3] or ''
  table.insert(reply, {id, number, redis.call('HGET', K.webhooks(), id), found[1], found[2], old, delivery,
    delivery == '' and {} or redis.call('HGETALL', K.delivery(delivery))})
end
local soonest = redis.call('ZRANGE', K.webhooks_due(), 0, 0, 'WITHSCORES')
if soonest[2] then reply[1] = string.format('%d', math.max(0, tonumber(soonest[2]) - MILLIS)) end
return reply
