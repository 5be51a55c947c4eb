-- Keeps a call of a tool that a person asks for, until a worker takes it or nobody waits for it any more.
--
-- ARGV  1 tool run  2 request as JSON  3 seconds
-- Reply {'ok'}
redis.call('HSET', K.tool_run(ARGV[1]), 'request', ARGV[2])
redis.call('EXPIRE', K.tool_run(ARGV[1]), ARGV[3])
return {'ok'}
