-- Gives a webhook another secret; for a while the one before signs too.
--
-- ARGV  1 webhook  2 secret  3 for how many ms the one before signs
-- Reply {'ok'}  {'missing'}
-- include: clock
local id, hook = ARGV[1], K.webhook(ARGV[1])
if redis.call('HEXISTS', K.webhooks(), id) == 0 then return {'missing'} end
redis.call('HSET', hook, 'old_secret', redis.call('HGET', hook, 'secret'),
  'old_until', string.format('%d', MILLIS + tonumber(ARGV[3])), 'secret', ARGV[2])
return {'ok'}
