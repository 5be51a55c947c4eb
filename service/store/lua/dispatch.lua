-- Records the wake-ups that a range of changes calls for and moves the workspace's cursor past it, in one act.
-- Changes that arrive while a wake-up is still unread join it; past WOKEN_KEPT of them the oldest are only counted.
--
-- ARGV  1 cursor expected  2 cursor afterwards  3 wake-ups as JSON [{agent, run, record, changes: [JSON, …]}, …]
-- Reply {'ok', agent, generation, pool, …} (agents that became ready)  {'moved'}
-- include: send
local WOKEN_KEPT = 1000
if (redis.call('GET', K.dispatched()) or '0-0') ~= ARGV[1] then return {'moved'} end
local reply = {'ok'}
for _, wake in ipairs(cjson.decode(ARGV[3])) do
  if redis.call('EXISTS', K.agent(wake.agent)) == 1 then
    for _, change in ipairs(wake.changes) do redis.call('RPUSH', K.agent_woken(wake.agent), change) end
    local over = redis.call('LLEN', K.agent_woken(wake.agent)) - WOKEN_KEPT
    if over > 0 then
      redis.call('LTRIM', K.agent_woken(wake.agent), over, -1)
      redis.call('HINCRBY', K.agent_state(wake.agent), 'wake_over', over)
    end
    if not redis.call('HGET', K.agent_state(wake.agent), 'wake_run') then
      redis.call('HSET', K.agent_state(wake.agent), 'wake_run', wake.run)
      local woken = send(wake.agent, wake.run, wake.record, '')
      if woken then
        for _, word in ipairs({wake.agent, woken[1], woken[2]}) do table.insert(reply, word) end
      end
    end
  end
end
redis.call('SET', K.dispatched(), ARGV[2])
return reply
