-- Takes a call that a person asked for. Only the first who asks gets it, so that it is carried out at most once;
-- its caller takes it back in the same way when nobody came.
--
-- ARGV  1 tool run  2 seconds until its outcome is forgotten
-- Reply {'ok', request as JSON}  {'gone'} (taken, or no longer waited for)
local run = K.tool_run(ARGV[1])
local request = redis.call('HGET', run, 'request')
if not request then return {'gone'} end
redis.call('HSET', run, 'taken', '1')
redis.call('HDEL', run, 'request')
redis.call('EXPIRE', run, ARGV[2])
return {'ok', request}
