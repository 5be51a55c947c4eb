-- Replaces a step that has ended, if it is still what was read; when it goes stays as it was.
--
-- ARGV  1 step  2 the JSON that was read  3 the JSON to be
-- Reply {'ok'}  {'moved'}
if redis.call('GET', K.step(ARGV[1])) ~= ARGV[2] then return {'moved'} end
redis.call('SET', K.step(ARGV[1]), ARGV[3], 'KEEPTTL')
return {'ok'}
