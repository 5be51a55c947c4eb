-- Keeps a webhook, new or changed, if it is still what was read. One that is turned off keeps its place in the changes
-- and goes on from there when it is turned on again, with what was under way tried as if for the first time.
--
-- ARGV  1 webhook  2 webhook as JSON  3 what it was before, empty for a new one  4 secret of a new one  5 its position
--       6 '1' on, '0' off, or empty: as it is  7 most webhooks
-- Reply {'ok'}  {'moved'}  {'many'}
-- include: webhook_due
local id, hook = ARGV[1], K.webhook(ARGV[1])
if (redis.call('HGET', K.webhooks(), id) or '') ~= ARGV[3] then return {'moved'} end
if ARGV[3] == '' then
  if redis.call('HLEN', K.webhooks()) >= tonumber(ARGV[7]) then return {'many'} end
  redis.call('HSET', hook, 'secret', ARGV[4], 'position', ARGV[5], 'on', '0')
end
redis.call('HSET', K.webhooks(), id, ARGV[2])
local on = redis.call('HGET', hook, 'on') == '1'
if ARGV[6] == '0' then redis.call('HDEL', hook, 'paused_at', 'paused_reason') end
if ARGV[6] == '0' and on then
  local told = redis.call('GET', K.dispatched()) or '0-0'
  local rests = not redis.call('ZSCORE', K.webhooks_due(), id)
  if rests and now_or_later(told, redis.call('HGET', hook, 'position')) then
    redis.call('HSET', hook, 'position', told)
  end
  redis.call('HSET', hook, 'on', '0')
  redis.call('ZREM', K.webhooks_due(), id)
elseif ARGV[6] == '1' then
  redis.call('HSET', hook, 'on', '1')
  redis.call('HDEL', hook, 'paused_at', 'paused_reason', 'dead_in_row', 'failing_since')
  local under_way = redis.call('HGET', hook, 'delivery')
  if under_way then redis.call('HSET', K.delivery(under_way), 'began', string.format('%d', MILLIS), 'tries', '0') end
  look_soon(id)
end
return {'ok'}
