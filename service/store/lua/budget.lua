-- Budgets: what an agent and its workspace used in the last hour, in buckets of a minute that end by themselves.
-- run_usage(agent, run, usage, steps): the usage of a run (JSON), and what it grew by counted, with so many steps.
-- spent(agent, tokens, steps): the budget that is used up: {agent or 'workspace', 'tokens' or 'steps', how many an hour,
-- ms at which there is room again}, or nil; of several the one that is free last. The agent's own are in its hash, if
-- there is an agent; tokens, steps: what the workspace may use, 0 without a limit.
-- count(hash, what, number): so much was used now.
-- include: clock
local MINUTES = 60
local MINUTE = math.floor(MILLIS / 60000)

local function count(hash, what, number)
  if number <= 0 then return end
  local bucket = what .. ':' .. string.format('%d', MINUTE)
  if redis.call('HINCRBY', hash, bucket, string.format('%d', number)) == number then
    for _, name in ipairs(redis.call('HKEYS', hash)) do
      if tonumber(string.match(name, '%d+$')) <= MINUTE - MINUTES then redis.call('HDEL', hash, name) end
    end
    redis.call('EXPIRE', hash, (MINUTES + 1) * 60)
  end
end

local function tokens_of(usage)
  local sum = usage and cjson.decode(usage) or {}
  return (tonumber(sum.prompt_tokens) or 0) + (tonumber(sum.completion_tokens) or 0)
end

local function run_usage(agent, run, usage, steps)
  local more = tokens_of(usage) - tokens_of(redis.call('HGET', K.run(run), 'usage'))
  for _, hash in ipairs({K.agent_spent(agent), K.spent()}) do
    count(hash, 'tokens', more)
    count(hash, 'steps', steps)
  end
  redis.call('HSET', K.run(run), 'usage', usage)
end

-- When a sum over the last hour is below its limit again, in ms; nil if it is.
local function free_at(hash, what, limit)
  local minutes, used, sum = {}, {}, 0
  local found = redis.call('HGETALL', hash)
  for i = 1, #found, 2 do
    local kind, at = string.match(found[i], '^(%a+):(%d+)$')
    local minute = tonumber(at)
    if kind == what and minute > MINUTE - MINUTES then
      table.insert(minutes, minute)
      used[minute] = tonumber(found[i + 1])
      sum = sum + used[minute]
    end
  end
  if sum < limit then return nil end
  table.sort(minutes)
  for _, minute in ipairs(minutes) do
    sum = sum - used[minute]
    if sum < limit then return (minute + MINUTES) * 60000 end
  end
end

local function spent(agent, tokens, steps)
  local budgets = {{'workspace', K.spent(), 'tokens', tokens}, {'workspace', K.spent(), 'steps', steps}}
  if agent then
    local own = redis.call('HMGET', K.agent(agent), 'tokens_per_hour', 'steps_per_hour')
    table.insert(budgets, {agent, K.agent_spent(agent), 'tokens', own[1]})
    table.insert(budgets, {agent, K.agent_spent(agent), 'steps', own[2]})
  end
  local last, latest
  for _, budget in ipairs(budgets) do
    local limit = budget[4] and tonumber(budget[4]) or 0
    local at = limit > 0 and free_at(budget[2], budget[3], limit)
    if at and (not latest or at > latest) then
      latest = at
      last = {budget[1], budget[3], string.format('%d', limit), string.format('%d', at)}
    end
  end
  return last
end
