-- Pauses an agent: it stops where its next step would begin, and begins nothing until it is resumed. One that is paused
-- already stays so since when it was.
--
-- ARGV  1 agent
-- Reply {'ok'}  {'missing'}
-- include: clock
if redis.call('EXISTS', K.agent(ARGV[1])) == 0 then return {'missing'} end
redis.call('HSETNX', K.agent(ARGV[1]), 'paused_at', MICROS)
return {'ok'}
