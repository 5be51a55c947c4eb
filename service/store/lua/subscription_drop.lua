-- Ends a subscription; what it had its agent told of already stays told.
--
-- ARGV  1 agent  2 subscription
-- Reply {'ok'}  {'missing'}
-- include: subscription_filing
if redis.call('SISMEMBER', K.subscriptions_filed('agent:' .. ARGV[1]), ARGV[2]) == 0 then return {'missing'} end
drop_subscription(ARGV[2], ARGV[1])
return {'ok'}
