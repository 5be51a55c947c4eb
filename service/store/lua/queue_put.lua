-- Puts a job into arq's queue in arq's own format, unless its id is known, and rings.
-- A job whose text is there and whose place in the queue is gone would never be found: it is put again.
--
-- KEYS  1 queue (zset)  2 job  3 bell (list)
-- ARGV  1 job id  2 serialized job  3 ms until it is due  4 ms until it expires
-- Reply 1 queued, 0 known
-- include: clock
-- include: ring
if redis.call('EXISTS', KEYS[2]) == 1 and redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('PSETEX', KEYS[2], ARGV[4], ARGV[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', MILLIS + tonumber(ARGV[3])), ARGV[1])
ring(KEYS[3])
return 1
