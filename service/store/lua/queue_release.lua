-- Gives up what a worker that stops has claimed and not begun, and rings for the next one: a claim that was under way
-- when it stopped waiting may have been carried out. The try is taken back; of the jobs that are due the first thousand
-- are looked at.
--
-- KEYS  1 queue (zset)  2 bell (list)
-- ARGV  1 prefix of in-progress keys  2 of tries  3 whose claims  4 … the jobs that it carries
-- Reply how many
-- include: clock
-- include: ring
local LOOKED_AT = 1000
local carried, count = {}, 0
for i = 4, #ARGV do carried[ARGV[i]] = true end
for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', MILLIS), 'LIMIT', 0, LOOKED_AT)) do
  if not carried[job] and redis.call('GET', ARGV[1] .. job) == ARGV[3] then
    redis.call('DEL', ARGV[1] .. job)
    redis.call('DECR', ARGV[2] .. job)
    count = count + 1
  end
end
ring(KEYS[2])
return count
