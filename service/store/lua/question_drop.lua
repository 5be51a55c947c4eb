-- Takes a question back: nobody waits for its answer any more.
--
-- ARGV  1 question
-- Reply {'ok'}
redis.call('DEL', K.question(ARGV[1]))
return {'ok'}
