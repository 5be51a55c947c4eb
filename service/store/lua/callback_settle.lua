-- Keeps with a run how its callback went.
--
-- ARGV  1 run  2 HTTP status or ''  3 error or ''
-- Reply {'ok'}  {'missing'}
local run = K.run(ARGV[1])
if redis.call('EXISTS', run) == 0 then return {'missing'} end
redis.call('HDEL', run, 'callback_error')
if ARGV[2] ~= '' then redis.call('HSET', run, 'callback_status_code', ARGV[2]) end
if ARGV[3] ~= '' then redis.call('HSET', run, 'callback_error', ARGV[3]) end
return {'ok'}
