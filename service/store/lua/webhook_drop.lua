-- Ends a webhook, its deliveries and its dead letters with it.
--
-- ARGV  1 webhook
-- Reply {'ok'}  {'missing'}
local id = ARGV[1]
if redis.call('HDEL', K.webhooks(), id) == 0 then return {'missing'} end
local under_way = redis.call('HGET', K.webhook(id), 'delivery')
if under_way then redis.call('DEL', K.delivery(under_way)) end
for _, found in ipairs({
  redis.call('LRANGE', K.webhook_again(id), 0, -1),
  redis.call('ZRANGE', K.webhook_recent(id), 0, -1),
  redis.call('ZRANGE', K.webhook_dead(id), 0, -1),
}) do
  for _, delivery in ipairs(found) do redis.call('DEL', K.delivery(delivery)) end
end
redis.call('DEL', K.webhook(id), K.webhook_again(id), K.webhook_recent(id), K.webhook_dead(id))
redis.call('ZREM', K.webhooks_due(), id)
return {'ok'}
