-- Gives up what a worker that stops has claimed and not begun, and rings for the next one: a claim that was under way
-- when it stopped waiting may have been carried out. The try is taken back; of the jobs that are due the first thousand
-- are looked at.
--
-- KEYS  1 queue (zset)  2 bell (list)
-- ARGV  1 prefix of in-progress keys  2 of tries  3 whose claims  4 … the jobs that it carries
-- Reply how many
local LOOKED_AT = 1000
local carried, count = {}, 0
for i = 4, #ARGV do carried[ARGV[i]] = true end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, LOOKED_AT)) do
  if not carried[job] and redis.call('GET', ARGV[1] .. job) == ARGV[3] then
    redis.call('DEL', ARGV[1] .. job)
    redis.call('DECR', ARGV[2] .. job)
    count = count + 1
  end
end
if redis.call('LLEN', KEYS[2]) == 0 then redis.call('RPUSH', KEYS[2], '1') end
return count
