-- Keeps the answer to a question for whoever asked, and rings. What it used is counted, whoever waits.
--
-- ARGV  1 question  2 answer as JSON  3 tokens  4 steps that this counts as (0 or 1)
-- Reply {'ok'}  {'missing'} (nobody waits for it any more)
-- include: budget
local question = K.question(ARGV[1])
count(K.spent(), 'tokens', tonumber(ARGV[3]))
count(K.spent(), 'steps', tonumber(ARGV[4]))
if redis.call('EXISTS', question) == 0 then return {'missing'} end
redis.call('HSET', question, 'status', 'answered', 'answer', ARGV[2])
redis.call('PUBLISH', K.output(), ARGV[1] .. ' answered')
return {'ok'}
