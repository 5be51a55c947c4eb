-- Takes a question that waits: one worker gets it, once. Whoever asked is rung.
--
-- ARGV  1 question  2 tokens  3 steps that the workspace may use in an hour (0: any)
-- Reply {'ok', what is asked as JSON}  {'taken'} (or nobody waits for it any more)
--       {'spent', whose, what, how many an hour, ms at which there is room again} (taken, and not to be asked)
-- include: budget
local question = K.question(ARGV[1])
if redis.call('HGET', question, 'status') ~= 'waiting' then return {'taken'} end
redis.call('HSET', question, 'status', 'taken')
redis.call('PUBLISH', K.output(), ARGV[1] .. ' taken')
local over = spent(nil, ARGV[2], ARGV[3])
if over then return {'spent', unpack(over)} end
return {'ok', redis.call('HGET', question, 'asked')}
