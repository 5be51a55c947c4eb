-- Adds a note about others' edits to a run's own transcript, with the versions it now knows of.
--
-- ARGV  1 agent  2 generation  3 run  4 note as JSON  5 versions as JSON
-- Reply {'ok'}  {'fence'}
-- include: fence
if not fenced(ARGV[1], ARGV[2]) then return {'fence'} end
redis.call('RPUSH', K.run_notes(ARGV[3]), ARGV[4])
redis.call('HSET', K.run(ARGV[3]), 'seen', ARGV[5])
return {'ok'}
