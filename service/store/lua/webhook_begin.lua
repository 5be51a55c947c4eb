-- Moves the position of a claimed webhook, and records with that what of the changes up to there it is to be told:
-- from now on this very delivery is sent until it got through or is given up, whoever dies.
--
-- ARGV  1 webhook  2 number of the claim  3 position afterwards  4 for how many ms it is claimed from now on
--       5 delivery, empty if there is nothing to tell  6 kind  7 changes  8 after  9 up to  10 body
-- Reply {'begun'}  {'more'} (still claimed; look on)  {'idle'} (nothing is left)  {'lost'} (the claim is)
-- include: webhook_due
local id, hook = ARGV[1], K.webhook(ARGV[1])
local found = redis.call('HMGET', hook, 'claim', 'on', 'delivery')
if found[1] ~= ARGV[2] or found[2] ~= '1' or found[3] then return {'lost'} end
redis.call('HSET', hook, 'position', ARGV[3])
if ARGV[5] == '' and nothing_left(id) then
  redis.call('HDEL', hook, 'busy_until')
  redis.call('ZREM', K.webhooks_due(), id)
  return {'idle'}
end
local until_ms = string.format('%d', MILLIS + tonumber(ARGV[4]))
redis.call('HSET', hook, 'busy_until', until_ms)
redis.call('ZADD', K.webhooks_due(), until_ms, id)
if ARGV[5] == '' then return {'more'} end
redis.call('HSET', hook, 'delivery', ARGV[5])
redis.call('HSET', K.delivery(ARGV[5]), 'webhook_id', id, 'kind', ARGV[6], 'status', 'waiting', 'changes', ARGV[7],
  'after', ARGV[8], 'upto', ARGV[9], 'body', ARGV[10], 'created_at', MICROS, 'began', string.format('%d', MILLIS),
  'tries', '0')
return {'begun'}
