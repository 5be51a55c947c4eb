-- Keeps the answer to a question for whoever asked, and rings.
--
-- ARGV  1 question  2 answer as JSON
-- Reply {'ok'}  {'missing'} (nobody waits for it any more)
local question = K.question(ARGV[1])
if redis.call('EXISTS', question) == 0 then return {'missing'} end
redis.call('HSET', question, 'status', 'answered', 'answer', ARGV[2])
redis.call('PUBLISH', K.output(), ARGV[1] .. ' answered')
return {'ok'}
