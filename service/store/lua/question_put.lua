-- Keeps a question for whichever worker takes it.
--
-- ARGV  1 question  2 what is asked as JSON  3 seconds it is kept
-- Reply {'ok'}
redis.call('HSET', K.question(ARGV[1]), 'asked', ARGV[2], 'status', 'waiting')
redis.call('EXPIRE', K.question(ARGV[1]), ARGV[3])
return {'ok'}
