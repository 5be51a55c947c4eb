-- Puts a job into a queue, unless its id is known, and rings (put_job.lua).
--
-- KEYS  1 queue (zset)  2 job  3 bell (list)
-- ARGV  1 job id  2 serialized job  3 ms until it is due  4 ms until it expires
-- Reply 1 queued, 0 known
-- include: put_job
return put_job(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3], ARGV[4])
