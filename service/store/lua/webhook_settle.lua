-- What became of a delivery after a try: it got through, is tried again later, or is given up and kept as a dead letter.
-- A webhook to which nothing got through for so long is paused, as is one that refused so many in a row.
--
-- ARGV  1 webhook  2 number of the claim  3 delivery  4 outcome: delivered, again, dead, failed (not tried again, not
--       kept as a dead letter) or gone (nobody wants any)  5 HTTP status or ''  6 error or ''  7 ms until the next try
--       8 ms after the first try at which it is given up  9 ms that it is kept  10 most kept that ended, 11 that are dead
--       12 most dead in a row
-- Reply {what it is now: waiting, delivered, dead or failed, why the webhook is paused or ''}  {'lost'}
-- include: webhook_due
local id, hook, delivery = ARGV[1], K.webhook(ARGV[1]), K.delivery(ARGV[3])
local standing = redis.call('HMGET', hook, 'claim', 'delivery', 'on')
if standing[1] ~= ARGV[2] or standing[2] ~= ARGV[3] then return {'lost'} end
local outcome, paused, wait = ARGV[4], '', 0
redis.call('HDEL', hook, 'busy_until')
redis.call('HINCRBY', delivery, 'tries', 1)
redis.call('HSET', delivery, 'tried_at', MICROS)
redis.call('HDEL', delivery, 'http_status', 'error', 'next_try_at')
if ARGV[5] ~= '' then redis.call('HSET', delivery, 'http_status', ARGV[5]) end
if ARGV[6] ~= '' then redis.call('HSET', delivery, 'error', ARGV[6]) end

local function keep(list, most)
  redis.call('ZADD', list, MICROS, ARGV[3])
  redis.call('PEXPIRE', list, ARGV[9])
  redis.call('HSET', delivery, 'ended_at', MICROS)
  redis.call('PEXPIRE', delivery, ARGV[9])
  redis.call('HDEL', hook, 'delivery')
  local over = redis.call('ZCARD', list) - tonumber(most)
  for _, oldest in ipairs(over > 0 and redis.call('ZRANGE', list, 0, over - 1) or {}) do
    redis.call('ZREM', list, oldest)
    redis.call('DEL', K.delivery(oldest))
  end
  return over
end

if outcome == 'again' and MILLIS - tonumber(redis.call('HGET', delivery, 'began')) >= tonumber(ARGV[8]) then
  outcome, paused = 'dead', 'failing'
end
if outcome == 'delivered' then
  redis.call('HDEL', delivery, 'body')
  redis.call('HDEL', hook, 'failing_since', 'dead_in_row')
  redis.call('HSET', hook, 'delivered_at', MICROS)
elseif outcome ~= 'failed' then
  redis.call('HSETNX', hook, 'failing_since', MICROS)
end
if outcome == 'delivered' or outcome == 'failed' then
  redis.call('HDEL', delivery, 'body')
  keep(K.webhook_recent(id), ARGV[10])
elseif outcome == 'dead' then
  local over = keep(K.webhook_dead(id), ARGV[11])
  if over > 0 then redis.call('HINCRBY', hook, 'dropped', over) end
  local in_row = redis.call('HINCRBY', hook, 'dead_in_row', 1)
  if paused == '' and in_row >= tonumber(ARGV[12]) then paused = 'refused' end
elseif outcome == 'gone' then
  paused = 'gone'
else
  wait = tonumber(ARGV[7])
end
local status = (outcome == 'again' or outcome == 'gone') and 'waiting' or outcome
redis.call('HSET', delivery, 'status', status)
if standing[3] ~= '1' then return {status, ''} end
if paused ~= '' then
  pause_webhook(id, paused)
elseif status ~= 'waiting' and nothing_left(id) then
  redis.call('ZREM', K.webhooks_due(), id)
else
  redis.call('ZADD', K.webhooks_due(), string.format('%d', MILLIS + wait), id)
  if wait > 0 then
    redis.call('HSET', delivery, 'next_try_at', string.format('%d', MILLIS + wait) .. '000')
  elseif status == 'waiting' then
    ring_webhooks() -- whoever had it is about to go
  end
end
return {status, paused}
