-- Keeps what a call that a person asked for gave, and rings its caller.
--
-- ARGV  1 tool run  2 outcome as JSON  3 seconds
-- Reply {'ok'}
redis.call('HSET', K.tool_run(ARGV[1]), 'outcome', ARGV[2])
redis.call('EXPIRE', K.tool_run(ARGV[1]), ARGV[3])
redis.call('PUBLISH', K.output(), ARGV[1] .. ' done')
return {'ok'}
