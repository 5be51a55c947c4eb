-- Keeps a subscription of an agent that exists; it goes with the agent.
--
-- ARGV  1 agent  2 subscription  3 subscription as JSON
-- Reply {'ok'}  {'missing'}
if redis.call('EXISTS', K.agent(ARGV[1])) == 0 then return {'missing'} end
redis.call('HSET', K.subscriptions(), ARGV[2], ARGV[3])
return {'ok'}
