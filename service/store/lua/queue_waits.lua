-- Which jobs of a queue wait for a worker, besides steps, whose agents the workspaces know. Reads only; of jobs that are
-- due the first thousand are looked at.
--
-- KEYS  1 queue (zset)
-- ARGV  1 prefix of in-progress keys
-- Reply {how many wait, ms the first has waited}
-- include: clock
local LOOKED_AT = 1000
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', MILLIS), 'WITHSCORES', 'LIMIT', 0, LOOKED_AT)
local count, first = 0, MILLIS
for i = 1, #due, 2 do
  if string.sub(due[i], 1, 5) ~= 'step:' and redis.call('EXISTS', ARGV[1] .. due[i]) == 0 then
    count = count + 1
    first = math.min(first, tonumber(due[i + 1]))
  end
end
return {count, math.floor(MILLIS - first)}
