-- Has something sent to a webhook before what is new: a ping, or a dead letter again, which is one no more. What is under
-- way is tried at once. A webhook that is off gets it when it is turned on.
--
-- ARGV  1 webhook  2 delivery  3 body of a ping, empty for a dead letter  4 most that may wait so
-- Reply {'ok'}  {'missing'}  {'many'}  {what the delivery is: waiting, delivered or failed}
-- include: webhook_due
local id, delivery = ARGV[1], K.delivery(ARGV[2])
if redis.call('HEXISTS', K.webhooks(), id) == 0 then return {'missing'} end
if ARGV[3] == '' then
  local found = redis.call('HMGET', delivery, 'webhook_id', 'status')
  if found[1] ~= id then return {'missing'} end
  if found[2] ~= 'dead' then return {found[2]} end
end
if redis.call('LLEN', K.webhook_again(id)) >= tonumber(ARGV[4]) then return {'many'} end
if ARGV[3] == '' then
  redis.call('ZREM', K.webhook_dead(id), ARGV[2])
  redis.call('PERSIST', delivery)
  redis.call('HDEL', delivery, 'ended_at')
else
  redis.call('HSET', delivery, 'webhook_id', id, 'kind', 'ping', 'body', ARGV[3], 'created_at', MICROS)
end
redis.call('HSET', delivery, 'status', 'waiting', 'tries', '0')
redis.call('RPUSH', K.webhook_again(id), ARGV[2])
if redis.call('HGET', K.webhook(id), 'on') == '1' then look_soon(id) end
return {'ok'}
