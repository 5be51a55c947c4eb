-- call_back(run): a run that has ended goes on the list of those whose callback is due, if it names one; workers are rung.
-- include: clock
local function call_back(run)
  if redis.call('HGET', K.run(run), 'callback') ~= '1' then return end
  redis.call('ZADD', K.callbacks(), MILLIS, run)
  redis.call('PUBLISH', K.summons(), 'callbacks due')
end
