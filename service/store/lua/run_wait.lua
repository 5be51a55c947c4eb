-- Ends a lease because a run waits for replies: what its calls gave so far is stored, and no worker holds the agent
-- until the last reply is there, the deadline has passed or the run is cancelled. Where there is nothing to wait for
-- any more the agent is ready again at once. Either way the worker takes back the try it had counted.
--
-- ARGV  1 agent  2 generation  3 run  4 versions seen as JSON  then for each call that is done: its index, its result as JSON
-- Reply {'waiting'}  {'ready', generation, pool}  {'fence'}
-- include: fence
-- include: ready
local agent, run = ARGV[1], ARGV[3]
if not fenced(agent, ARGV[2]) then return {'fence'} end
redis.call('HINCRBY', K.run(run), 'tries', -1)
redis.call('HSET', K.run(run), 'seen', ARGV[4])
for i = 5, #ARGV, 2 do redis.call('HSET', K.run_calls(run), 'result:' .. ARGV[i], ARGV[i + 1]) end
local awaited = redis.call('HGETALL', K.agent_awaits(agent))
if #awaited == 0 or redis.call('HGET', K.run(run), 'cancel') then
  local back = raise(agent)
  return {'ready', back[1], back[2]}
end
local deadline, others = 0, {}
for i = 1, #awaited, 2 do
  deadline = math.max(deadline, tonumber(redis.call('HGET', K.run_calls(run), 'asked:' .. awaited[i])))
  table.insert(others, awaited[i + 1])
end
redis.call('HSET', K.agent_state(agent), 'status', 'waiting', 'worker', '')
redis.call('ZREM', K.leases(), agent)
redis.call('ZADD', K.waits(), deadline, agent)
redis.call('HSET', K.run(run), 'waiting_for', cjson.encode(others), 'waiting_until', string.format('%d', deadline))
return {'waiting'}
