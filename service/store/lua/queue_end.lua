-- The end of a job (job_done.lua); its result stays for a while. One that is to be tried again keeps all but its claim,
-- and is due then.
--
-- KEYS  1 queue (zset)  2 job  3 its tries  4 its claim  5 its result  6 jobs to be aborted (zset)  7 bell (list)
-- ARGV  1 job id  2 ms until it is due again, 0 for now, or '' if it is done
--       3 result, or ''  4 ms the result is kept
-- Reply 1
-- include: clock
-- include: ring
-- include: job_done
redis.call('DEL', KEYS[4])
if ARGV[2] == '' then
  job_done(KEYS[1], ARGV[1], KEYS[2], KEYS[3], KEYS[4], KEYS[6])
  if ARGV[3] ~= '' then redis.call('SET', KEYS[5], ARGV[3], 'PX', ARGV[4]) end
elseif ARGV[2] == '0' then
  ring(KEYS[7])
else
  redis.call('ZADD', KEYS[1], 'XX', string.format('%.0f', MILLIS + tonumber(ARGV[2])), ARGV[1])
end
return 1
