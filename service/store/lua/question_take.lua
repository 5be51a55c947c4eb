-- Takes a question that waits: one worker gets it, once. Whoever asked is rung.
--
-- ARGV  1 question
-- Reply {'ok', what is asked as JSON}  {'taken'} (or nobody waits for it any more)
local question = K.question(ARGV[1])
if redis.call('HGET', question, 'status') ~= 'waiting' then return {'taken'} end
redis.call('HSET', question, 'status', 'taken')
redis.call('PUBLISH', K.output(), ARGV[1] .. ' taken')
return {'ok', redis.call('HGET', question, 'asked')}
