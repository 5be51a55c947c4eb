-- Records the wake-ups that a range of changes calls for, and the webhooks that have something to tell, and moves the
-- workspace's cursor past it, in one act.
-- Changes that arrive while a wake-up is still unread join it; of very many the oldest become ranges.
-- What a subscription past its rate would tell is held back for the next wake-up, as is what came too deep (`held`).
--
-- ARGV  1 cursor expected  2 cursor afterwards  3 wake-ups as JSON [{agent, run, record, subscriptions: [{id,
--       debounce, max_wait, rate, wakes, told: {block: version, '' when deleted}}, …], causes: [{by, held, text}, …]}, …]
--       4 webhooks that the changes may concern, as JSON
-- Reply {'ok', agent, generation, pool, …} (agents that became ready)  {'moved'}
-- include: wake
-- include: wake_fold
-- include: webhook_due
if (redis.call('GET', K.dispatched()) or '0-0') ~= ARGV[1] then return {'moved'} end
local reply = {'ok'}

-- 'gone', 'cut', 'now' or 'later', and with it whether the agent is told at once.
local function standing(agent, one)
  if redis.call('HEXISTS', K.subscriptions(), one.id) == 0 then return 'gone' end
  local told = K.subscription_told(one.id)
  for block, version in pairs(one.told) do
    if version == '' then redis.call('HDEL', told, block) else redis.call('HSET', told, block, version) end
  end
  if redis.call('HGET', K.subscription_state(one.id), 'cut_reason') == 'rate' then return 'cut' end
  if not one.wakes or one.debounce ~= '0' then return 'later' end
  if redis.call('HGET', K.agent_state(agent), 'wake_run') or spend(one.id, one.rate) then return 'now' end
  return 'cut'
end

for _, wake in ipairs(cjson.decode(ARGV[3])) do
  local at_once, standings = false, {}
  for _, one in ipairs(wake.subscriptions) do
    standings[one.id] = standing(wake.agent, one)
    if standings[one.id] == 'now' then at_once = true end
    if standings[one.id] == 'later' and one.wakes then wake_later(wake.agent, one) end
  end
  for _, cause in ipairs(wake.causes) do
    local stands, text = standings[cause.by], cause.text
    if stands == 'cut' then text = '{"held":"rate",' .. string.sub(text, 2) end
    if stands == 'cut' or cause.held ~= '' then cut(cause.by, stands == 'cut' and 'rate' or cause.held, 1) end
    if stands ~= 'gone' then redis.call('RPUSH', K.agent_woken(wake.agent), text) end
  end
  fold(wake.agent)
  if at_once then begin_wake(wake.agent, wake.run, wake.record, reply) end
end
mark_webhooks(cjson.decode(ARGV[4]), ARGV[1])
redis.call('SET', K.dispatched(), ARGV[2])
return reply
